"""The node's settings: from a file, from the environment, from the command line.

The only module that reads the environment. Everything else receives plain values. A
later source wins: defaults, then the TOML file, then LAMBDABOX_* variables, then what the
command line says.
"""

import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass

PREFIX = "LAMBDABOX_"


class SettingsError(Exception):
    """A setting cannot be used. The message says which, why, and what would do."""


def default_data_directory() -> Path:
    """`$XDG_DATA_HOME/lambdabox`, or `~/.local/share/lambdabox`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "lambdabox"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default. docs/settings.md describes each; a test checks that."""

    host: str = "127.0.0.1"
    port: int = 4566
    data_dir: Path = field(default_factory=default_data_directory)
    log_level: str = "info"
    region: str = "us-east-1"
    """For requests that name none."""
    allowed_origins: tuple[str, ...] = ()
    """Origins whose pages may use the node from a browser, e.g. http://localhost:3000."""
    access_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Access key id to secret: who may sign requests to function URLs with AWS_IAM."""
    console_token: str | None = field(default=None, repr=False)
    """What lets people into the console from other machines."""
    console_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach the console, beside localhost and addresses."""
    payload_memory_mb: int = 16
    """For the last events and responses, which the console shows; 0 keeps none."""
    account_concurrency: int = limits.ACCOUNT_CONCURRENCY
    organization: str | None = None
    """The AWS organization that every account of the node belongs to, if to any."""
    requests_per_concurrency: int = limits.REQUESTS_PER_CONCURRENCY
    """Requests a second for each unit of concurrency; 0 limits none."""
    scaling_environments: int = limits.SCALING_ENVIRONMENTS
    """How many environments of one function may be added in ten seconds; 0 limits none."""
    isolation: str = "auto"
    """namespaces, process (isolates nothing), or auto: the stronger one that is possible."""
    network: str = "auto"
    """What functions reach: isolated, nat, host, or auto: nat if it can be set up, else host."""
    subnet: str = "198.18.0.0/15"
    """Where the addresses of functions are taken from, if they have a network of their own."""
    cpu_limit: bool = True
    """Whether functions get processor time in proportion to their memory, as on AWS."""
    freeze: bool = True
    """Whether environments are stopped between events, as on AWS."""
    preload: tuple[str, ...] = ()
    """Packages imported ahead for Python functions, such as boto3."""
    max_environments: int = 1_000
    concurrent_starts: int = 0
    """0 means twice the number of processors."""
    idle_seconds: float = 600.0
    drain_seconds: float = 10.0
    async_retry_delays: tuple[float, ...] = (60.0, 120.0)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Where other AWS services are, by signing name, or `default`; else moto's server."""
    endpoint_credentials: str = field(default="", repr=False)
    """ID:SECRET, or ID:SECRET:TOKEN: signs what goes to the endpoints."""
    s3_endpoint: str | None = None
    """The same as `endpoints` for s3."""
    brokers: Mapping[str, str] = field(default_factory=dict)
    """Broker ARN, its name, or host:port of a Kafka server, to where that is."""
    function_endpoint: str | None = None
    """URL under which functions reach the node; by default its own address."""
    python_packages: Path | None = None
    """Directory of packages for Python functions; by default boto3 as installed here."""
    interpreters: Mapping[str, str] = field(default_factory=dict)
    """Runtime identifier to executable, e.g. {"python3.14": "/opt/python3.14/bin/python3"}."""
    signing_keys: Mapping[str, Path] = field(default_factory=dict)
    """Signing profile version ARN to the file of its public key, in PEM."""
    traces_endpoint: str | None = None
    """Where spans of invocations are sent, by OTLP over HTTP; nowhere unless set."""
    search_path: str = ""
    """Where interpreters are looked for; PATH unless set."""
    home: Path = field(default_factory=Path.home)

    @property
    def service_endpoints(self) -> Mapping[str, str]:
        """Where services other than Lambda are, by signing name."""
        return {**({"s3": self.s3_endpoint} if self.s3_endpoint else {}), **self.endpoints}


def load(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings. Raises SettingsError for a file, name or value that cannot be used."""
    merged: dict[str, Any] = {"search_path": _default_search_path()}
    merged |= _from_file(path) if path else {}
    merged |= _from_environment(os.environ)
    merged |= {name: value for name, value in overrides.items() if value is not None}
    known = {item.name: item for item in fields(Settings)}
    settings = Settings()
    for name, value in merged.items():
        if name not in known:
            raise SettingsError(
                f"There is no setting named {name!r}. Known settings: {', '.join(sorted(known))}."
            )
        settings = replace(settings, **{name: _convert(name, value)})
    return settings


def _default_search_path() -> str:
    """PATH, and then the directory of the Python that runs lambdabox."""
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([os.environ.get("PATH", os.defpath), own])


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as exc:
        raise SettingsError(f"The settings file {path} cannot be read: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The settings file {path} is not valid TOML: {exc}.") from exc


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {item.name for item in fields(Settings)}
    return {
        name: environment[PREFIX + name.upper()]
        for name in names
        if environment.get(PREFIX + name.upper())
    }


def _convert(name: str, value: Any) -> Any:
    try:
        return _CONVERTERS.get(name, str)(value)
    except (TypeError, ValueError) as exc:
        is_secret = name in ("access_keys", "brokers", "console_token", "endpoint_credentials")
        shown = "what is given" if is_secret else repr(value)
        raise SettingsError(f"The setting {name} cannot be {shown}: {exc}.") from exc


def _path(value: Any) -> Path:
    return Path(value).expanduser().absolute()


def _count(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("it must not be negative")
    return number


def _positive(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("it must be at least 1")
    return number


def _port(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= 65_535:
        raise ValueError("a port is a number from 0 to 65535")
    return number


def _seconds(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError("it must be a positive number of seconds")
    return number


def _delays(value: Any) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    delays = tuple(float(part) for part in parts)
    if not delays or any(not 0 <= delay < float("inf") for delay in delays):
        raise ValueError("give the seconds before each retry, such as 60,120")
    return delays


def _region(value: Any) -> str:
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", str(value)):
        raise ValueError("a region looks like us-east-1")
    return str(value)


def _organization(value: Any) -> str:
    if not re.fullmatch(r"o-[a-z0-9]{10,32}", str(value)):
        raise ValueError("an organization looks like o-exampleorg1")
    return str(value)


def _url(value: Any) -> str:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", str(value)):
        raise ValueError("give a URL such as http://127.0.0.1:9000")
    return str(value)


def _traces_endpoint(value: Any) -> str:
    if find_spec("opentelemetry") is None:
        raise ValueError("spans need packages of their own: pip install 'lambdabox[traces]'")
    url = _url(value).rstrip("/")
    return url if url.endswith("/v1/traces") else f"{url}/v1/traces"


def _directory(value: Any) -> Path:
    path = _path(value)
    if not path.is_dir():
        raise ValueError("there is no such directory")
    return path


def _origins(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    origins = tuple(str(part).strip() for part in parts)
    for origin in origins:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin):
            raise ValueError(f"{origin!r} is no origin such as http://localhost:3000")
    return origins


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        raise ValueError("it is true or false")
    return known[str(value).lower()]


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _token(value: Any) -> str:
    token = str(value).strip()
    if len(token) < 8:
        raise ValueError("a token has at least 8 characters")
    return token


def _host_names(value: Any) -> tuple[str, ...]:
    names = tuple(name.lower() for name in _names(value))
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
            raise ValueError(f"{name!r} is no name of a machine such as lambdabox.example.com")
    return names


def _one_of(*choices: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"it is one of {', '.join(choices)}")
        return str(value)

    return convert


def _table(value: Any) -> dict[str, str]:
    """A TOML table, or `python3.14=/path,nodejs22.x=/path` from the environment."""
    if isinstance(value, str):
        pairs = [pair.split("=", 1) for pair in value.split(",") if pair]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("give runtime=path pairs, separated by commas")
        return {name.strip(): _executable(path.strip()) for name, path in pairs}
    return {str(name): _executable(path) for name, path in dict(value).items()}


def _key_files(value: Any) -> dict[str, Path]:
    """A TOML table, or `arn:…=/path` pairs from the environment."""
    if isinstance(value, str):
        value = [pair.strip().partition("=")[::2] for pair in value.split(",") if pair.strip()]
    files = {str(profile): str(path) for profile, path in dict(value).items()}
    if any(not profile.startswith("arn:") or not path for profile, path in files.items()):
        raise ValueError("give ARN=path pairs, separated by commas")
    return {profile: _path(path) for profile, path in files.items()}


def _endpoints(value: Any) -> dict[str, str]:
    """A TOML table, or `s3=http://minio:9000,default=http://...` from the environment."""
    if isinstance(value, str):
        pairs = [pair.split("=", 1) for pair in value.split(",") if pair]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("give service=URL pairs, separated by commas")
        value = dict(pairs)
    return {str(name).strip().lower(): _url(str(url).strip()) for name, url in value.items()}


def _brokers(value: Any) -> dict[str, str]:
    """A TOML table, or `orders=amqp://rabbit:5672,events=k1:9092;k2:9092` from the environment."""
    if isinstance(value, str):
        value = [pair.strip().rpartition("=")[::2] for pair in value.split(",") if pair.strip()]
    places = {str(name): str(place) for name, place in dict(value).items()}
    for name, place in places.items():
        if not name or not re.fullmatch(_BROKER, place):
            # Without the address, in which somebody may have put a password.
            raise ValueError(
                f"the address of {name!r} is none of amqp://host:5672, amqps://host:5671, "
                "host:9092;host:9092, plaintext://host:9092, tls://host:9093"
            )
    return places


_HOSTS = r"[^\s@/:;]+:\d+(;[^\s@/:;]+:\d+)*"
_BROKER = rf"amqps?://[^\s@/:]+(:\d+)?|((plaintext|tls)://)?{_HOSTS}"


def _secrets(value: Any) -> dict[str, str]:
    """A TOML table, or `id=secret` pairs separated by commas from the environment."""
    pairs = value.split(",") if isinstance(value, str) else map("=".join, dict(value).items())
    found = {}
    for pair in pairs:
        key_id, equals, secret = pair.strip().partition("=")
        if not (key_id and equals and secret):
            # Without the pair, which may be a secret.
            raise ValueError("give id=secret pairs, separated by commas")
        found[key_id] = secret
    return found


def _credentials(value: Any) -> str:
    if not re.fullmatch(r"[^:\s]+:[^:\s]+(:[^:\s]+)?", str(value)):
        raise ValueError("give ID:SECRET or ID:SECRET:TOKEN")
    return str(value)


def _executable(value: Any) -> str:
    """A path that holds wherever the node runs; a bare name is looked for in PATH."""
    return str(_path(value)) if "/" in str(value) else str(value)


def _search_path(value: Any) -> str:
    return os.pathsep.join(str(_path(entry)) for entry in str(value).split(os.pathsep) if entry)


def _level(value: Any) -> str:
    levels = ("debug", "info", "warning", "error")
    if str(value).lower() not in levels:
        raise ValueError(f"it is one of {', '.join(levels)}")
    return str(value).lower()


_CONVERTERS: Mapping[str, Any] = {
    "port": _port,
    "data_dir": _path,
    "log_level": _level,
    "account_concurrency": _count,
    "organization": _organization,
    "access_keys": _secrets,
    "console_token": _token,
    "console_hosts": _host_names,
    "payload_memory_mb": _count,
    "requests_per_concurrency": _count,
    "scaling_environments": _count,
    "allowed_origins": _origins,
    "isolation": _one_of("auto", "namespaces", "process"),
    "network": _one_of("auto", "isolated", "nat", "host"),
    "cpu_limit": _flag,
    "freeze": _flag,
    "preload": _names,
    "max_environments": _positive,
    "concurrent_starts": _count,
    "idle_seconds": _seconds,
    "drain_seconds": _seconds,
    "async_retry_delays": _delays,
    "region": _region,
    "endpoints": _endpoints,
    "brokers": _brokers,
    "endpoint_credentials": _credentials,
    "s3_endpoint": _url,
    "function_endpoint": _url,
    "python_packages": _directory,
    "interpreters": _table,
    "signing_keys": _key_files,
    "traces_endpoint": _traces_endpoint,
    "search_path": _search_path,
    "home": _path,
}
