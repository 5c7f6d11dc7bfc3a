"""What a deployment needs to start: its command, its environment variables, its files.

Turns a deployment into the `SandboxSpec` that an isolation driver starts. The variables
are AWS's, in AWS's order of precedence: defaults that the user may override, then the
user's, then the reserved ones.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdabox.domain.functions import Deployment
from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.runtimes import CREATABLE, Family, Runtime
from lambdabox.domain.values import dataclass
from lambdabox.ports import (
    CREDENTIALS_TOKEN_VARIABLE,
    IsolationDriver,
    Layout,
    LogStream,
    SandboxSpec,
)
from lambdabox.runtime import credentials, layer_files
from lambdabox.runtime.interpreters import Interpreter, Interpreters
from lambdabox.runtime.staging import Staging

BOOTSTRAPS = Path(__file__).parent / "bootstraps"

TASK_ROOT, LAYER_ROOT = "/var/task", layer_files.LAYER_ROOT

# A wrapper that cannot be run ends like a command of a shell, with a line in the log: as on AWS.
_WRAP = """
[ -f "$0" ] || { echo "$0: does not exist"; exit 127; }
[ -x "$0" ] || { echo "$0: is not an executable"; exit 126; }
exec "$0" "$@"
"""


_READ_BY_NODE = (
    "NODE_", "UV_", "LD_", "MALLOC_", "GLIBC_", "SSL_", "OPENSSL_", "ICU_", "LC_", "LANG",
)  # fmt: skip


class LaunchError(Exception):
    """The sandbox cannot be started, for a reason that is the function's or the machine's.

    It becomes the function error `error_type` with this message.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """What every function's environment learns of the node."""

    endpoint: str
    """URL under which functions reach the node."""
    python_packages: Path | None
    """A directory with the packages that AWS's Python runtimes bring along: boto3 and its like."""


@dataclass(frozen=True, slots=True)
class Files:
    """A deployment's own files: on the host, and where they appear inside."""

    code: Path
    layers: Sequence[Path]
    layout: Layout


class Launcher:
    def __init__(
        self,
        driver: IsolationDriver,
        interpreters: Interpreters,
        staging: Staging,
        settings: LaunchSettings,
    ) -> None:
        self._driver = driver
        self._interpreters = interpreters
        self._staging = staging
        self._settings = settings

    async def spec(
        self,
        deployment: Deployment,
        *,
        id: str,
        scratch: Path,
        stream: LogStream,
        initialization_type: InitializationType,
    ) -> SandboxSpec:
        """Return how to start `deployment`. Raises LaunchError."""
        runtime = CREATABLE[deployment.settings.runtime or ""]
        code, *layers = [await self._staging.stage(digest) for digest in deployment.digests]
        interpreter = await self._interpreter(runtime)
        prefix = interpreter.prefix if interpreter else None
        layout = self._driver.layout(code, layers, BOOTSTRAPS, prefix)
        files = Files(code, layers, layout)
        environment = self._environment(deployment, runtime, layout, stream, initialization_type)
        return SandboxSpec(
            id=id,
            command=_command(runtime, interpreter, environment, files),
            environment=environment,
            code=code,
            layers=layers,
            scratch=scratch,
            memory_mib=deployment.settings.memory_mib,
            ephemeral_storage_mib=deployment.settings.ephemeral_storage_mib,
            runtime_files=BOOTSTRAPS,
            interpreter=prefix,
            executable=interpreter.executable if interpreter else None,
            account=deployment.key.account,
            is_forkable=runtime.family is Family.PYTHON
            and not _needs_fresh_interpreter(deployment.settings.variables),
            is_awaitable=runtime.family is Family.NODE
            and not _needs_fresh_node(deployment.settings.variables),
        )

    async def prepare(self, deployment: Deployment) -> None:
        """Let the driver know that `deployment` will be started. Its code must be staged."""
        nowhere = LogStream(deployment.key.account, deployment.key.region, "", "")
        with contextlib.suppress(LaunchError):  # it is told when the function is invoked
            spec = await self.spec(
                deployment,
                id="",
                scratch=Path(),
                stream=nowhere,
                initialization_type=InitializationType.ON_DEMAND,
            )
            await self._driver.prepare(spec)

    async def _interpreter(self, runtime: Runtime) -> Interpreter | None:
        if runtime.family is Family.PROVIDED:
            return None
        interpreter = await self._interpreters.find(runtime)
        if interpreter is None:
            raise LaunchError("Runtime.InvalidRuntime", self._interpreters.missing_message(runtime))
        return interpreter

    def _environment(
        self,
        deployment: Deployment,
        runtime: Runtime,
        layout: Layout,
        stream: LogStream,
        initialization_type: InitializationType,
    ) -> dict[str, str]:
        defaults = {
            "LANG": "en_US.UTF-8",
            "PATH": _program_path(layout),
            "LD_LIBRARY_PATH": _library_path(layout),
            "TZ": ":UTC",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_ENDPOINT_URL": self._settings.endpoint,
            **_logging(deployment),
        }
        return {
            **defaults,
            **deployment.settings.variables,
            **_reserved(deployment, runtime, layout, stream, initialization_type),
            **self._private(layout),
        }

    def _private(self, layout: Layout) -> dict[str, str]:
        """Variables for the bundled bootstraps, which remove them before user code runs."""
        layers = layer_files.search_path(layout)
        variables = {"LAMBDABOX_LAYER_PATHS": os.pathsep.join(layers)}
        packages = layout.packages_root or self._settings.python_packages
        if packages is not None:
            variables["LAMBDABOX_RUNTIME_PACKAGES"] = str(packages)
        return variables


def _reserved(
    deployment: Deployment,
    runtime: Runtime,
    layout: Layout,
    stream: LogStream,
    initialization_type: InitializationType,
) -> dict[str, str]:
    key, settings = deployment.key, deployment.settings
    reserved = {
        "_HANDLER": settings.handler or "",
        "AWS_REGION": key.region,
        "AWS_DEFAULT_REGION": key.region,
        "AWS_LAMBDA_FUNCTION_NAME": key.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory_mib),
        "AWS_LAMBDA_FUNCTION_VERSION": deployment.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type.value,
        "LAMBDA_TASK_ROOT": layout.task_root,
        "LAMBDA_RUNTIME_DIR": layout.runtime_root,
        **_own_to_the_environment(deployment, stream, initialization_type),
    }
    if runtime.execution_env is not None:
        reserved["AWS_EXECUTION_ENV"] = runtime.execution_env
    return reserved


def _own_to_the_environment(
    deployment: Deployment, stream: LogStream, initialization_type: InitializationType
) -> dict[str, str]:
    """Return variables that one environment must not have from another's snapshot."""
    if initialization_type is InitializationType.SNAP_START:
        return {CREDENTIALS_TOKEN_VARIABLE: credentials.new_token()}
    return {
        "AWS_LAMBDA_LOG_GROUP_NAME": stream.group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream.name,
        # The node takes the account from a 12-digit access key, so that what a function
        # calls through AWS_ENDPOINT_URL happens in the function's own account.
        "AWS_ACCESS_KEY_ID": deployment.key.account,
        "AWS_SECRET_ACCESS_KEY": credentials.SECRET,
        "AWS_SESSION_TOKEN": credentials.SECRET,
    }


def _logging(deployment: Deployment) -> dict[str, str]:
    logging = deployment.settings.logging
    variables = {"AWS_LAMBDA_LOG_FORMAT": logging.format}
    if logging.application_level is not None:
        variables["AWS_LAMBDA_LOG_LEVEL"] = logging.application_level
    return variables


def _program_path(layout: Layout) -> str:
    layers = layer_files.search_path(layout, "bin") or [f"{LAYER_ROOT}/bin"]
    return ":".join(["/var/lang/bin:/usr/local/bin:/usr/bin/:/bin", *layers])


def _library_path(layout: Layout) -> str:
    """AWS's list, as far as its directories exist in the sandbox."""
    own = [layout.task_root, f"{layout.task_root}/lib"]
    layers = layer_files.search_path(layout, "lib")
    system = ["/var/lang/lib", "/lib64", "/usr/lib64", "/var/runtime", "/var/runtime/lib"]
    return ":".join([*(system if layout.task_root == TASK_ROOT else []), *own, *layers])


def _command(
    runtime: Runtime,
    interpreter: Interpreter | None,
    environment: dict[str, str],
    files: Files,
) -> tuple[str, ...]:
    if interpreter is None:
        return (_own_bootstrap(files),)
    root = files.layout.runtime_root
    executable = _executable(interpreter, files.layout)
    match runtime.family:
        case Family.PYTHON:
            command: tuple[str, ...] = (executable, "-S", f"{root}/python/bootstrap.py")
        case Family.NODE:
            command = (executable, f"{root}/node/bootstrap.mjs")
        case Family.RUBY:
            command = (executable, f"{root}/ruby/bootstrap.rb")
        case _:
            raise LaunchError("Runtime.InvalidRuntime", f"{runtime.name} cannot be run here")
    wrapper = environment.get("AWS_LAMBDA_EXEC_WRAPPER")
    return ("/bin/sh", "-c", _WRAP, _inside(wrapper, files), *command) if wrapper else command


def _executable(interpreter: Interpreter, layout: Layout) -> str:
    inside = interpreter.executable.relative_to(interpreter.prefix)
    return f"{layout.interpreter_root or interpreter.prefix}/{inside}"


def _needs_fresh_interpreter(environment: Mapping[str, str]) -> bool:
    """Tell whether the function sets what an interpreter reads only when it starts."""
    return "AWS_LAMBDA_EXEC_WRAPPER" in environment or any(
        name.startswith(("PYTHON", "LD_")) and name != "PYTHONPATH" for name in environment
    )


def _needs_fresh_node(environment: Mapping[str, str]) -> bool:
    """Likewise, for Node.js, its thread pool and its libraries."""
    return "AWS_LAMBDA_EXEC_WRAPPER" in environment or any(
        name.startswith(_READ_BY_NODE) and name != "NODE_PATH" for name in environment
    )


def _own_bootstrap(files: Files) -> str:
    """Return the function's bootstrap, or the layers' if it has none."""
    own = files.code / "bootstrap"
    if own.is_file() and os.access(own, os.X_OK):
        return f"{files.layout.task_root}/bootstrap"
    found = layer_files.find("bootstrap", files.layers, files.layout)
    if found is not None and os.access(found[0], os.X_OK):
        return found[1]
    raise LaunchError(
        "Runtime.InvalidEntrypoint",
        f"Couldn't find valid bootstrap(s): [{TASK_ROOT}/bootstrap {LAYER_ROOT}/bootstrap]",
    )


def _inside(path: str, files: Files) -> str:
    """Translate a path below /var/task or /opt where the driver cannot show those themselves."""
    if path.startswith(f"{TASK_ROOT}/"):
        return files.layout.task_root + path.removeprefix(TASK_ROOT)
    if path.startswith(f"{LAYER_ROOT}/"):
        name = path.removeprefix(f"{LAYER_ROOT}/")
        found = layer_files.find(name, files.layers, files.layout)
        return path if found is None else found[1]
    return path
