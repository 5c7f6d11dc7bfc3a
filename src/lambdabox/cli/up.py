"""`lambdabox up`: start a node here. The one command that is the node, not its client.

Options left out are left to the settings file, the environment and the defaults, which
`server.config` knows; the help repeats the defaults that people ask for.
"""

import gc
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambdabox import __version__
from lambdabox.cli import options, output
from lambdabox.cli.output import CommandError

if TYPE_CHECKING:
    from lambdabox.server.config import Settings
    from lambdabox.server.isolation import Isolation


class Holding(StrEnum):
    """Values of the setting `isolation`."""

    AUTO = "auto"
    NAMESPACES = "namespaces"
    PROCESS = "process"


class Network(StrEnum):
    AUTO = "auto"
    ISOLATED = "isolated"
    NAT = "nat"
    HOST = "host"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def up(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port to listen on; 0 takes a free one. [default: 4566]"),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            readable=False,  # what is wrong with it is told by the node, with what to do
            help="Where functions and logs are kept. [default: ~/.local/share/lambdabox]",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings file, in TOML.")
    ] = None,
    isolation: Annotated[
        Holding | None,
        typer.Option(help="How functions are held; process isolates nothing. [default: auto]"),
    ] = None,
    network: Annotated[
        Network | None, typer.Option(help="What functions reach. [default: auto]")
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="How much the node says. [default: info]")
    ] = None,
    json_: options.Json = False,
) -> None:
    """Start a node and run it until Ctrl-C.

    Every setting can also come from the file or from a variable LAMBDABOX_NAME; an
    option here wins.

    \b
    Example:
      lambdabox up --port 4566 --data-dir ./data
    """
    # Nothing made while starting is garbage, and looking for some takes a tenth of the start.
    gc.disable()
    settings = load_settings(
        config,
        {
            "host": host,
            "port": port,
            "data_dir": data_dir,
            "isolation": None if isolation is None else isolation.value,
            "network": None if network is None else network.value,
            "log_level": None if log_level is None else log_level.value,
        },
    )
    from lambdabox.server import node  # deferred: the client commands start without the node

    def ready(url: str, isolation: "Isolation") -> None:
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        gc.enable()
        # The loop shares the interpreter with threads that write to databases, and by default
        # waits for up to 5 ms until they let go of it.
        sys.setswitchinterval(SWITCH_SECONDS)
        if json_:
            output.as_json(_as_object(url, settings, isolation))
        else:
            _welcome(url, settings, isolation)

    try:
        node.run(settings, ready=ready)
    except (node.StartError, node.NodeFailedError) as exc:
        raise CommandError(str(exc)) from exc


GARBAGE_THRESHOLD = 10_000
SWITCH_SECONDS = 0.0005

REACH = {
    "isolated": "isolated: functions reach nothing but themselves",
    "nat": "nat: functions reach the outside and this node",
    "host": "host: functions reach all that this machine reaches",
}


def _welcome(url: str, settings: "Settings", isolation: "Isolation") -> None:
    output.result(f"lambdabox {__version__} is ready at {url}")
    output.facts(
        {
            "Data": str(settings.data_dir),
            "Isolation": isolation.strength,
            "Network": REACH[isolation.network],
            "AWS tools": f"export AWS_ENDPOINT_URL={url}",
            "Console": f"{url}/console",
            "Next": "lambdabox deploy DIR, in another terminal",
            "Stop": "Ctrl-C",
        },
        err=True,
    )


def _as_object(url: str, settings: "Settings", isolation: "Isolation") -> dict[str, object]:
    return {
        "url": url,
        "version": __version__,
        "data_dir": str(settings.data_dir),
        "isolation": isolation.strength,
        "network": isolation.network,
        "lacks": list(isolation.lacks),
    }


def load_settings(config: Path | None, overrides: Mapping[str, object]) -> "Settings":
    """Return the node's settings; None among the overrides leaves one as it is."""
    from lambdabox.server.config import SettingsError, load  # deferred, likewise

    try:
        return load(config, overrides)
    except SettingsError as exc:
        raise CommandError(str(exc)) from exc
