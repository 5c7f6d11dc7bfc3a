"""`lambdabox export`: whole functions, as they are, into a directory or zip.

All that the API tells of a function goes along: each version with its code, aliases, layers,
tags, policies, URLs, and what concerns concurrency and events. Logs and what other services
keep, such as a bucket's notifications, do not.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.request import ProxyHandler, build_opener

import typer

from lambdabox.cli import options, output
from lambdabox.cli.bundles import BundleWriter
from lambdabox.cli.client import MissingError, Node
from lambdabox.cli.output import CommandError

SETTINGS = (
    "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "DeadLetterConfig",
    "TracingConfig", "EphemeralStorage", "LoggingConfig", "KMSKeyArn", "FileSystemConfigs",
)  # fmt: skip
_OF_MAPPINGS_ALONE = frozenset({
    "UUID", "FunctionArn", "LastModified", "LastProcessingResult", "State",
    "StateTransitionReason", "FilterCriteriaError", "EventSourceMappingArn", "ResponseMetadata",
})  # fmt: skip
_TIMEOUT_SECONDS = 300


def export(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Functions. [default: all]")
    ] = None,
    *,
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR_OR_ZIP", help="Where to; must not exist.")
    ],
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Write functions with all that belongs to them into a directory or zip.

    It holds environment variables in clear, readable for you alone: keep it so.

    \b
    Examples:
      lambdabox export hello --to hello.zip
      lambdabox export --to ./backup
    """
    node = Node(endpoint, region)
    chosen = names or [
        function["FunctionName"]
        for page in node.pages("ListFunctions")
        for function in page["Functions"]
    ]
    if not chosen:
        raise CommandError("there are no functions to export")
    bundle = BundleWriter(to)
    with output.steps("Exporting functions", len(chosen)) as step:
        functions = []
        for name in chosen:
            functions.append(function_document(node, name, bundle.add_code))
            step(name)
        layers = _layers(node, functions, bundle.add_code)
        bundle.finish(functions, layers)
    if json_:
        exported = [each["FunctionName"] for each in functions]
        output.as_json({"To": str(to), "Functions": exported, "Layers": len(layers)})
    else:
        output.note(f"Exported to {to}: {', '.join(each['FunctionName'] for each in functions)}.")


def function_document(node: Node, name: str, add_code: Callable[[bytes], str]) -> dict[str, Any]:
    """Return what there is to know of a function, in the API's words."""
    shown = node.functions("GetFunction", FunctionName=name)
    arn = shown["Configuration"]["FunctionArn"]
    versions = [
        each
        for page in node.pages("ListVersionsByFunction", FunctionName=name)
        for each in page["Versions"]
        if each["Version"] != "$LATEST"
    ]
    aliases = _all(node, "ListAliases", "Aliases", name)
    qualifiers = [*(each["Version"] for each in versions), *(each["Name"] for each in aliases)]
    return {
        "FunctionName": shown["Configuration"]["FunctionName"],
        "FunctionArn": arn,
        "Latest": _state(node, name, "$LATEST", add_code),
        "Versions": [_state(node, name, each["Version"], add_code) for each in versions],
        "Aliases": [_without(each, {"AliasArn", "RevisionId"}) for each in aliases],
        "Tags": shown.get("Tags", {}),
        "ReservedConcurrency": shown.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        "Policies": _policies(node, name, [None, *qualifiers]),
        "Urls": [_url(each) for each in _all(node, "ListFunctionUrlConfigs",
                                                  "FunctionUrlConfigs", name)],
        "EventInvokeConfigs": [
            {"Qualifier": qualifier_of(each["FunctionArn"]),
             **_without(each, {"FunctionArn", "LastModified"})}
            for each in _all(node, "ListFunctionEventInvokeConfigs",
                             "FunctionEventInvokeConfigs", name)
        ],
        "ProvisionedConcurrency": [
            {"Qualifier": qualifier_of(each["FunctionArn"]),
             "ProvisionedConcurrentExecutions": each["RequestedProvisionedConcurrentExecutions"]}
            for each in _all(node, "ListProvisionedConcurrencyConfigs",
                             "ProvisionedConcurrencyConfigs", name)
        ],
        "RecursiveLoop": node.functions("GetFunctionRecursionConfig", FunctionName=name)[
            "RecursiveLoop"
        ],
        "CodeSigningConfigArn": node.functions(
            "GetFunctionCodeSigningConfig", FunctionName=name
        ).get("CodeSigningConfigArn"),
        "EventSourceMappings": [
            _mapping(each)
            for each in _all(node, "ListEventSourceMappings", "EventSourceMappings", name)
        ],
    }  # fmt: skip


def qualifier_of(arn: str) -> str | None:
    """Return what follows the name in a function's ARN, None for $LATEST or nothing."""
    parts = arn.split(":")
    return parts[7] if len(parts) > 7 and parts[7] != "$LATEST" else None


def _state(node: Node, name: str, version: str, add_code: Callable[[bytes], str]) -> dict[str, Any]:
    """Return one version's settings and code."""
    shown = node.functions("GetFunction", FunctionName=name, Qualifier=version)
    configuration = shown["Configuration"]
    if configuration.get("PackageType", "Zip") != "Zip":
        raise CommandError(f"{name} is a container image, which cannot be exported")
    environment = configuration.get("Environment", {})
    if "Error" in environment:
        raise CommandError(f"the variables of {name} cannot be read: {environment['Error']}")
    variables = environment.get("Variables")
    vpc = {
        key: configuration["VpcConfig"][key]
        for key in ("SubnetIds", "SecurityGroupIds")
        if "VpcConfig" in configuration
    }
    return {
        "Version": version,
        "Settings": {
            **{key: configuration[key] for key in SETTINGS if key in configuration},
            **({"Environment": {"Variables": variables}} if variables is not None else {}),
            **({"VpcConfig": vpc} if vpc else {}),
            "Layers": [layer["Arn"] for layer in configuration.get("Layers", [])],
            "SnapStart": {"ApplyOn": configuration.get("SnapStart", {}).get("ApplyOn", "None")},
        },
        "Architectures": configuration["Architectures"],
        "Code": add_code(fetch(shown["Code"]["Location"])),
    }


def fetch(url: str) -> bytes:
    """Return what is at a link that the API gave."""
    with build_opener(ProxyHandler({})).open(url, timeout=_TIMEOUT_SECONDS) as response:
        content: bytes = response.read()
    return content


def _all(node: Node, operation: str, member: str, name: str) -> list[dict[str, Any]]:
    pages = node.pages(operation, FunctionName=name)
    return [each for page in pages for each in page[member]]


def _without(document: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in names}


def _policies(node: Node, name: str, qualifiers: Sequence[str | None]) -> list[dict[str, Any]]:
    found = []
    for qualifier in qualifiers:
        named = {} if qualifier is None else {"Qualifier": qualifier}
        try:
            policy = node.functions("GetPolicy", FunctionName=name, **named)
        except MissingError:
            continue
        found.append({"Qualifier": qualifier, "Policy": policy["Policy"]})
    return found


def _url(config: Mapping[str, Any]) -> dict[str, Any]:
    members = ("AuthType", "Cors", "InvokeMode")
    return {
        "Qualifier": qualifier_of(config["FunctionArn"]),
        **{key: config[key] for key in members if key in config},
    }


def _mapping(shown: Mapping[str, Any]) -> dict[str, Any]:
    document = {key: value for key, value in shown.items() if key not in _OF_MAPPINGS_ALONE}
    if "StartingPositionTimestamp" in document:
        document["StartingPositionTimestamp"] = document["StartingPositionTimestamp"].timestamp()
    is_enabled = shown["State"] not in ("Disabled", "Disabling")
    return {**document, "Qualifier": qualifier_of(shown["FunctionArn"]), "Enabled": is_enabled}


def _layers(
    node: Node, functions: list[dict[str, Any]], add_code: Callable[[bytes], str]
) -> list[dict[str, Any]]:
    """Return the layer versions that the functions use."""
    states = [state for each in functions for state in (each["Latest"], *each["Versions"])]
    arns = sorted({arn for state in states for arn in state["Settings"]["Layers"]})
    found = []
    for arn in arns:
        try:
            shown = node.functions("GetLayerVersionByArn", Arn=arn)
        except MissingError as exc:
            raise CommandError(
                f"the layer {arn} is deleted, so functions that use it cannot be exported: "
                "give them another one first"
            ) from exc
        members = ("Description", "LicenseInfo", "CompatibleRuntimes", "CompatibleArchitectures")
        found.append(
            {
                "Arn": arn,
                "LayerName": arn.split(":")[6],
                "CodeSha256": shown["Content"]["CodeSha256"],
                "About": {key: shown[key] for key in members if shown.get(key)},
                "Code": add_code(fetch(shown["Content"]["Location"])),
            }
        )
    return found
