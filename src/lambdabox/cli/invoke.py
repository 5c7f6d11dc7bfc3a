"""`lambdabox invoke`: one invocation, made for pipes.

The payload alone goes to stdout. The log tail and a function error go to stderr, and a
function error makes the exit status 1, so `lambdabox invoke f | jq` and `&&` both work.
"""

import base64
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.output import CommandError
from lambdabox.cli.templates import complete_template, template_event


class InvocationType(StrEnum):
    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


def invoke(
    name: options.FunctionName,
    *,
    event: Annotated[
        str | None,
        typer.Option(
            "--event", "-e", metavar="FILE|JSON|-", help="The event; - is stdin. [default: {}]"
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="An event as a trigger sends it; see `lambdabox templates`.",
            autocompletion=complete_template,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the template; repeat for more."),
    ] = None,
    tail: Annotated[bool, typer.Option("--tail", help="Show the end of the log.")] = False,
    type_: Annotated[
        InvocationType, typer.Option("--type", help="Wait for the result, queue, or only check.")
    ] = InvocationType.REQUEST_RESPONSE,
    qualifier: Annotated[str | None, typer.Option(help="Version or alias.")] = None,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Invoke a function and print what it returns.

    \b
    Examples:
      lambdabox invoke hello --event '{"name": "Ada"}' --tail
      echo '{"name": "Ada"}' | lambdabox invoke hello --event -
      lambdabox invoke resize --template s3-put --set Records.0.s3.bucket.name=photos
    """
    parameters: dict[str, object] = {
        "FunctionName": name,
        "InvocationType": type_.value,
        "Payload": chosen_event(event, template, set_ or ()),
    }
    if qualifier is not None:
        parameters["Qualifier"] = qualifier
    if tail and type_ is InvocationType.REQUEST_RESPONSE:
        parameters["LogType"] = "Tail"
    response = Node(endpoint, region).functions("Invoke", **parameters)
    payload: bytes = response["Payload"].read()
    if json_:
        output.as_json(summary(response, payload))
    else:
        _show(response, payload, type_)
    if "FunctionError" in response:
        raise CommandError(f"the function failed: {describe_failure(response, payload)}")


def chosen_event(event: str | None, template: str | None, changes: Sequence[str]) -> bytes:
    """Return the event that the options ask for."""
    if template is None:
        if changes:
            raise CommandError("--set changes a template: name one with --template")
        return read_event("{}" if event is None else event)
    if event is not None:
        raise CommandError("give --event or --template, not both")
    return template_event(template, changes)


def read_event(given: str) -> bytes:
    """Return the event of a file, of stdin for `-`, or of the JSON text itself."""
    if given == "-":
        return _checked(sys.stdin.buffer.read(), "stdin")
    if _is_file(given):
        return _checked(Path(given).read_bytes(), given)
    try:
        json.loads(given)
    except ValueError as exc:
        raise CommandError(f"--event {given!r} is neither a file nor JSON ({exc})") from exc
    return given.encode()


def _is_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # JSON text is no path: too long, or with a NUL
        return False


def _checked(content: bytes, source: str) -> bytes:
    try:
        json.loads(content)
    except ValueError as exc:
        raise CommandError(f"the event in {source} is not JSON: {exc}") from exc
    return content


def summary(response: dict[str, Any], payload: bytes) -> dict[str, object]:
    """Return everything about the invocation, for --json."""
    about: dict[str, object] = {
        "StatusCode": response["StatusCode"],
        "RequestId": response["ResponseMetadata"].get("RequestId"),
    }
    for name in ("ExecutedVersion", "FunctionError"):
        if name in response:
            about[name] = response[name]
    if "LogResult" in response:
        about["LogResult"] = log_tail(response)
    if payload:
        about["Payload"] = _parsed(payload)
    return about


def _parsed(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def log_tail(response: dict[str, Any]) -> str:
    return base64.b64decode(response.get("LogResult", "")).decode(errors="replace")


def _show(response: dict[str, Any], payload: bytes, type_: InvocationType) -> None:
    if "LogResult" in response:
        output.note(log_tail(response).rstrip("\n"))
    match type_:
        case InvocationType.REQUEST_RESPONSE:
            output.result(payload.decode(errors="replace"))
        case InvocationType.EVENT:
            request_id = response["ResponseMetadata"].get("RequestId", "?")
            output.note(f"Accepted as request {request_id}; its log tells how it went.")
        case InvocationType.DRY_RUN:
            output.note("The invocation would be allowed.")


def describe_failure(response: dict[str, Any], payload: bytes) -> str:
    """Return the error's type and message, as far as the payload has them."""
    error = _parsed(payload)
    if not isinstance(error, dict):
        return str(response["FunctionError"])
    told = (error.get("errorType"), error.get("errorMessage"))
    return ": ".join(str(part) for part in told if part) or str(response["FunctionError"])
