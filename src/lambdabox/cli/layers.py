"""`lambdabox layers`: publish a directory as a layer, and list what there is."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdabox.cli import options, output
from lambdabox.cli.client import Node
from lambdabox.cli.deploy import name_for
from lambdabox.cli.deployment import this_architecture
from lambdabox.cli.layer_packaging import REQUIREMENTS, package_layer
from lambdabox.cli.output import CommandError
from lambdabox.domain.runtimes import CREATABLE, Family

_HEADINGS = ("Name", "Version", "Runtimes", "Created", "ARN")


@dataclass(frozen=True, slots=True)
class About:
    """What the user says of a layer."""

    runtimes: Sequence[str] = ()
    architectures: Sequence[str] = ()
    description: str | None = None
    license: str | None = None

    def members(self) -> dict[str, object]:
        """Return the parameters of the API, of those given."""
        given = {
            "CompatibleRuntimes": self.runtimes,
            "CompatibleArchitectures": self.architectures,
            "Description": self.description,
            "LicenseInfo": self.license,
        }
        return {member: value for member, value in given.items() if value}


layers = typer.Typer(
    help="Publish and list layers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@layers.command()
def publish(
    source: Annotated[
        Path, typer.Argument(metavar="DIR_OR_ZIP", help="Directory with the files, or a .zip.")
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Layer name. [default: the directory's]")
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="Runtime the layer is for; repeat for more. The first decides what "
            f"{REQUIREMENTS} installs. [default: not said, and this Python's]"
        ),
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(help="x86_64 or arm64; repeat for both. [default: not said]"),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What the layer holds.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Such as MIT, a URL or the text.")
    ] = None,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """Publish a directory or zip as a layer's next version, and print its ARN.

    A directory with python/, nodejs/, bin/, lib/ or the like is packed as it is; any other is
    taken for packages of Python, or of Node.js if it has a package.json, and goes below
    python/ or nodejs/. What its requirements.txt asks for is installed below python/.

    \b
    Example:
      lambdabox deploy ./app --layer $(lambdabox layers publish ./shared)
    """
    about = About(runtime or (), architecture or (), description, license_)
    published = publish_source(Node(endpoint, region), source, name or name_for(source), about)
    if json_:
        output.as_json(published)
    else:
        output.result(published["LayerVersionArn"])


@layers.command("list")
def list_layers(
    *,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.Json = False,
) -> None:
    """List the layers with their newest versions.

    \b
    Example:
      lambdabox layers list --json | jq -r '.[].LatestMatchingVersion.LayerVersionArn'
    """
    node = Node(endpoint, region)
    found = [each for page in node.pages("ListLayers") for each in page["Layers"]]
    if json_:
        output.as_json(found)
    elif found:
        output.table(_HEADINGS, [_row(each) for each in found])
    else:
        output.note("No layers yet. Publish one: lambdabox layers publish DIR")


def publish_source(node: Node, source: Path, name: str, about: About) -> dict[str, Any]:
    """Publish a layer's next version, and return what the node says of it."""
    package = package_layer(
        source,
        runtime=_python_of(about.runtimes),
        architecture=next(iter(about.architectures), this_architecture()),
    )
    with output.progress(f"Publishing {name} ({output.size(len(package.content))})"):
        published = node.functions(
            "PublishLayerVersion",
            LayerName=name,
            Content={"ZipFile": package.content},
            **about.members(),
        )
    return {key: value for key, value in published.items() if key != "ResponseMetadata"}


def _row(layer: dict[str, Any]) -> tuple[str, ...]:
    version = layer["LatestMatchingVersion"]
    return (
        layer["LayerName"],
        str(version["Version"]),
        ", ".join(version.get("CompatibleRuntimes", [])) or "-",
        version["CreatedDate"][:16].replace("T", " "),
        version["LayerVersionArn"],
    )


def _python_of(runtimes: Sequence[str]) -> str:
    """Return the Python that requirements are installed for."""
    for name in runtimes:
        if name not in CREATABLE:
            raise CommandError(f"--runtime {name!r} is no runtime; one looks like python3.12")
        if CREATABLE[name].family is Family.PYTHON:
            return name
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"
