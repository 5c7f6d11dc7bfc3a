"""Serve a function's invocations until the node closes the channel.

Importing this module has no effect on the process, so that a fork server can import it
(and much else) once and call `serve` in each child.
"""

import builtins
import os
import sys

from . import channel, faults, handlers, logs, output, paths
from .context import LambdaContext, Surroundings
from .payloads import Marshaller


class Quit:
    """`exit` and `quit`, which only the site module would provide."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"Use {self._name}() or Ctrl-D (i.e. EOF) to exit"

    def __call__(self, code: object = None) -> None:
        raise SystemExit(code)


class Server:
    """One function in one process: its handler, its log and the channel to the node."""

    def __init__(self, descriptor: int, environ: "os._Environ[str]") -> None:
        self._channel = channel.Channel(descriptor)
        self._log = output.Log(1)
        self._marshaller = Marshaller(environ.get("AWS_EXECUTION_ENV", ""))
        self._settings = logs.LogSettings(
            environ.get("AWS_LAMBDA_LOG_FORMAT", ""), environ.get("AWS_LAMBDA_LOG_LEVEL", "")
        )
        self._subject = logs.Subject()
        self._handler: object = None
        self._surroundings: Surroundings | None = None
        logs.set_up(self._log, self._settings, self._subject)

    def load(self, handler: str) -> bool:
        """Import the user's code; what goes wrong is reported as a failed init."""
        try:
            self._handler = handlers.load(handler)
        except Exception as failure:
            self._channel.send(*self._error(b"X", failure))
            return False
        return True

    def close(self) -> None:
        """Let go of the log. The channel is the caller's."""
        self._log.close()

    def pass_restore_point(self) -> "int | None":
        """Go through the snapshot. Returns the status to exit with, None to go on serving."""
        from . import snapshot  # for SnapStart functions alone

        try:
            snapshot.run_before_hooks()
        except Exception as failure:
            error_type = snapshot.BEFORE_SNAPSHOT_ERROR
            self._channel.send(*self._error(b"X", failure, error_type=error_type))
            return snapshot.BEFORE_SNAPSHOT_STATUS
        output.flush_streams()
        if not snapshot.wait_at_restore_point(self._channel, self._log):
            return 0
        try:
            snapshot.reseed()
            snapshot.run_after_hooks()
        except Exception as failure:
            error_type = snapshot.AFTER_RESTORE_ERROR
            self._channel.send(*self._error(b"H", failure, error_type=error_type))
            return snapshot.AFTER_RESTORE_STATUS
        return None

    def run(self) -> None:
        answer: tuple[bytes, ...] = ()
        while True:
            self._channel.send(*answer, channel.NEXT)
            answer = ()
            invocation = self._channel.receive()
            if invocation is None:
                return
            answer = self._answer(invocation)

    def _answer(self, invocation: channel.Invocation) -> "tuple[bytes, ...]":
        self._subject.request_id = invocation.request_id
        self._subject.tenant_id = invocation.tenant_id or None
        if invocation.trace_header:
            os.environ["_X_AMZN_TRACE_ID"] = invocation.trace_header
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        try:
            frame = channel.result_frame(self._invoke(invocation))
        except Exception as failure:
            return self._error(b"E", failure, invocation.request_id)
        output.flush_streams()
        return frame

    def _invoke(self, invocation: channel.Invocation) -> bytes:
        # At the first invocation, not before: this process may be a copy of one that was
        # initialised elsewhere, with a log stream of its own.
        if self._surroundings is None:
            self._surroundings = Surroundings()
        context = LambdaContext(invocation, self._log, self._surroundings)
        try:
            event = self._marshaller.decode(invocation.payload)
        except Exception as error:
            raise faults.Fault(
                "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
            ) from None
        result = self._handler(event, context)  # type: ignore[operator]  # if it is no function, the TypeError is the user's
        try:
            return self._marshaller.encode(result)
        except Exception as error:
            raise faults.Fault(
                "Runtime.MarshalError",
                f"Unable to marshal response: {faults.text_of(error)}",
            ) from None

    def _error(
        self, kind: bytes, failure: Exception, request_id: str = "", *, error_type: str = ""
    ) -> "tuple[bytes, ...]":
        report = faults.describe(failure, request_id)
        output.flush_streams()
        logs.write_error(report.error, self._log, self._settings, self._marshaller)
        return channel.error_frame(
            kind,
            error_type or report.error_type,
            self._marshaller.encode_report(report.cause),
            self._marshaller.encode_report(report.error),
        )


def prepare(descriptor: int) -> Server:
    """Make the process one that serves the function of `os.environ` on a channel."""
    environ = os.environ
    settings = {name: environ.pop(name) for name in list(environ) if name.startswith("LAMBDABOX_")}
    builtins.exit = Quit("exit")  # type: ignore[assignment]  # site's own class has no public name
    builtins.quit = Quit("quit")  # type: ignore[assignment]  # as above
    output.unbuffer_streams()
    server = Server(descriptor, environ)
    sys.path[:] = paths.search_path(
        sys.path,
        task_root=environ.get("LAMBDA_TASK_ROOT") or os.getcwd(),
        layers=settings.get("LAMBDABOX_LAYER_PATHS", "/opt").split(os.pathsep),
        packages=settings.get("LAMBDABOX_RUNTIME_PACKAGES", ""),
    )
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.meta_path.append(paths.OwnPackages(os.path.join(here, "packages")))  # type: ignore[arg-type]  # a finder in all but base class
    return server


def serve(descriptor: int) -> int:
    """Run the function on the channel `descriptor`; return the process's exit status."""
    server = prepare(descriptor)
    if not server.load(os.environ.get("_HANDLER", "")):
        return 1
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        status = server.pass_restore_point()
        if status is not None:
            return status
    server.run()
    return 0
