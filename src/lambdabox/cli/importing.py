"""`lambdabox import`: make functions again of what `lambdabox export` wrote.

Versions cannot be written, only published: the function goes through the settings and code
of each in turn. Numbers may differ afterwards, where versions had been deleted, and what
names a version follows. A function that cannot be made as a whole is removed again.
"""

import json
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.bundles import Bundle
from lambdabox.cli.client import MissingError, Node
from lambdabox.cli.output import CommandError
from lambdabox.cli.readiness import wait_until_ready

# What takes a setting away again that the version before had.
_UNSET: Mapping[str, Any] = {
    "Description": "", "DeadLetterConfig": {"TargetArn": ""}, "KMSKeyArn": "",
    "FileSystemConfigs": [], "Environment": {"Variables": {}},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}  # fmt: skip


def import_(
    source: Annotated[Path, typer.Argument(metavar="DIR_OR_ZIP", help="What was exported.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Another name, for a single function.")
    ] = None,
    mappings: Annotated[
        bool,
        typer.Option(
            "--mappings/--no-mappings",
            help="Whether event source mappings are made, which may read from sources at once.",
        ),
    ] = True,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Make functions of an export, here or on another node.

    Functions that exist are not touched: delete them first, or give another name.

    \b
    Examples:
      lambdabox import hello.zip --endpoint http://other:4566
      lambdabox import hello.zip --name hello-copy
    """
    bundle = Bundle(source)
    if name is not None and len(bundle.functions) != 1:
        raise CommandError(f"--name is for one function, and {source} has {len(bundle.functions)}")
    node = Node(endpoint, region)
    try:
        made = _make_all(node, bundle, name, with_mappings=mappings)
    except (KeyError, TypeError) as exc:
        raise CommandError(f"{source} is damaged: it lacks {exc}") from exc
    if json_:
        output.as_json(made)
    else:
        output.note(f"Imported {', '.join(each['FunctionName'] for each in made)}.")


def _make_all(
    node: Node, bundle: Bundle, name: str | None, *, with_mappings: bool
) -> list[dict[str, Any]]:
    wanted = [(name or each["FunctionName"], each) for each in bundle.functions]
    _refuse_existing(node, [called for called, _ in wanted])
    made = []
    with output.steps("Importing functions", len(wanted)) as step:
        layers = {each["Arn"]: _layer(node, bundle, each) for each in bundle.layers}
        for called, document in wanted:
            imported = _Import(node, bundle, called, document, layers)
            made.append(imported.run(with_mappings=with_mappings))
            step(called)
    return made


def _refuse_existing(node: Node, names: list[str]) -> None:
    for name in names:
        with suppress(MissingError):
            node.functions("GetFunctionConfiguration", FunctionName=name)
            raise CommandError(f"{name} exists already: delete it first, or import with --name")


def _layer(node: Node, bundle: Bundle, layer: Mapping[str, Any]) -> str:
    """Return the ARN of the same layer here; publish it if there is none."""
    with suppress(CommandError):  # not there, or not ours to see
        shown = node.functions("GetLayerVersionByArn", Arn=layer["Arn"])
        if shown["Content"]["CodeSha256"] == layer["CodeSha256"]:
            return str(layer["Arn"])
    published = node.functions(
        "PublishLayerVersion",
        LayerName=layer["LayerName"],
        Content={"ZipFile": bundle.code(layer["Code"])},
        **layer["About"],
    )
    return str(published["LayerVersionArn"])


class _Import:
    """One function on its way in."""

    def __init__(
        self,
        node: Node,
        bundle: Bundle,
        name: str,
        document: Mapping[str, Any],
        layers: Mapping[str, str],
    ) -> None:
        self._node = node
        self._bundle = bundle
        self._name = name
        self._document = document
        self._layers = layers
        self._arn = ""
        self._before: Set[str] = set()
        """Names of the settings that the function has now."""
        self._numbers = {"$LATEST": "$LATEST"}
        """Of versions: the exported to the published."""

    def run(self, *, with_mappings: bool) -> dict[str, Any]:
        try:
            self._versions()
            self._aliases()
            self._attachments()
            if with_mappings:
                self._mappings()
        except BaseException:
            if self._arn:  # half a function is worse than none
                self._call("DeleteFunction")
            raise
        versions = {old: new for old, new in self._numbers.items() if old != "$LATEST"}
        return {"FunctionName": self._name, "FunctionArn": self._arn, "Versions": versions}

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        given = {key: value for key, value in parameters.items() if value is not None}
        return self._node.functions(operation, FunctionName=self._name, **given)

    def _versions(self) -> None:
        for state in [*self._document["Versions"], self._document["Latest"]]:
            self._become(state)
            if state["Version"] != "$LATEST":
                published = self._call("PublishVersion")["Version"]
                self._numbers[state["Version"]] = published
                wait_until_ready(self._node, self._name)

    def _become(self, state: Mapping[str, Any]) -> None:
        """Give the function a version's code and settings."""
        code = self._bundle.code(state["Code"])
        settings = dict(state["Settings"])
        settings["Layers"] = [self._layers.get(arn, arn) for arn in settings["Layers"]]
        if not self._arn:
            made = self._call(
                "CreateFunction",
                Code={"ZipFile": code},
                Architectures=state["Architectures"],
                CodeSigningConfigArn=self._document.get("CodeSigningConfigArn"),
                Tags=self._document["Tags"] or None,
                **settings,
            )
            self._arn = made["FunctionArn"]
        else:
            gone = {key: _UNSET[key] for key in self._before - settings.keys() if key in _UNSET}
            self._call("UpdateFunctionConfiguration", **gone, **settings)
            wait_until_ready(self._node, self._name)
            self._call("UpdateFunctionCode", ZipFile=code, Architectures=state["Architectures"])
        self._before = settings.keys()
        wait_until_ready(self._node, self._name)

    def _aliases(self) -> None:
        for alias in self._document["Aliases"]:
            given = dict(alias)
            given["FunctionVersion"] = self._numbers[given["FunctionVersion"]]
            weights = given.get("RoutingConfig", {}).get("AdditionalVersionWeights")
            if weights:
                mapped = {self._numbers[number]: weight for number, weight in weights.items()}
                given["RoutingConfig"] = {"AdditionalVersionWeights": mapped}
            self._call("CreateAlias", **given)

    def _attachments(self) -> None:
        document = self._document
        for policy in document["Policies"]:
            self._policy(policy)
        for url in document["Urls"]:
            self._call("CreateFunctionUrlConfig", **self._qualified(url))
        for config in document["EventInvokeConfigs"]:
            self._call("PutFunctionEventInvokeConfig", **self._qualified(config))
        if document["ReservedConcurrency"] is not None:
            reserved = document["ReservedConcurrency"]
            self._call("PutFunctionConcurrency", ReservedConcurrentExecutions=reserved)
        for config in document["ProvisionedConcurrency"]:
            self._call("PutProvisionedConcurrencyConfig", **self._qualified(config))
        if document["RecursiveLoop"] != "Terminate":
            self._call("PutFunctionRecursionConfig", RecursiveLoop=document["RecursiveLoop"])

    def _policy(self, kept: Mapping[str, Any]) -> None:
        qualifier = self._number(kept["Qualifier"])
        arn = self._arn if qualifier is None else f"{self._arn}:{qualifier}"
        policy = json.loads(kept["Policy"])
        for statement in policy["Statement"]:
            statement["Resource"] = arn
        self._node.functions("PutResourcePolicy", ResourceArn=arn, Policy=json.dumps(policy))

    def _mappings(self) -> None:
        for mapping in self._document["EventSourceMappings"]:
            given = dict(mapping)
            qualifier = self._number(given.pop("Qualifier"))
            name = self._name if qualifier is None else f"{self._name}:{qualifier}"
            self._node.functions("CreateEventSourceMapping", FunctionName=name, **given)

    def _qualified(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {**document, "Qualifier": self._number(document["Qualifier"])}

    def _number(self, qualifier: str | None) -> str | None:
        return None if qualifier is None else self._numbers.get(qualifier, qualifier)
