"""Run a node: the order in which its parts start, when it is ready, and how it stops.

Starting: hold the data directory, bind the port, open the databases, clear what a crash
left, then serve. Stopping goes the other way round: no new connections, running events
end or are ended, logs are written, databases close. Every part is an async `serve` owned
by the task group here.
"""

import errno
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import uvloop

from lambdabox.backends.schema import SchemaError
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.server.config import Settings
from lambdabox.server.dns_relay import DnsRelay
from lambdabox.server.http import HttpServer
from lambdabox.server.isolation import (
    IsolationError,
    Warden,
    give_up_privileges,
    start_warden,
)
from lambdabox.server.lock import DataDirectoryInUse, hold
from lambdabox.server.wiring import Parts, build

log = logging.getLogger("lambdabox")

BACKLOG = 2_048


class StartError(Exception):
    """The node cannot start. The message says why and what to do."""


def run(settings: Settings, *, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Run a node until SIGTERM or SIGINT. Calls `ready` with its URL once it accepts requests.

    Raises StartError.
    """
    _configure_logging(settings.log_level)
    os.umask(0o077)  # code, environment variables and logs are nobody else's
    _make_directory(settings.data_dir)
    try:
        with hold(settings.data_dir), _bind(settings) as listener:
            warden = start_warden(settings, listener.getsockname()[1])
            try:
                if warden is not None:
                    give_up_privileges(settings)
                anyio.run(
                    _serve, settings, listener, warden, ready,
                    backend="asyncio", backend_options={"loop_factory": uvloop.new_event_loop},
                )  # fmt: skip
            finally:
                if warden is not None:
                    warden.stop()
    except (DataDirectoryInUse, SchemaError, IsolationError) as exc:
        raise StartError(str(exc)) from exc
    except PermissionError as exc:
        raise _unusable(settings.data_dir, exc) from exc


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise _unusable(path, exc) from exc


def _unusable(directory: Path, exc: OSError) -> StartError:
    place = f" ({exc.filename})" if exc.filename not in (None, str(directory)) else ""
    return StartError(
        f"The data directory {directory} cannot be used: {exc.strerror}{place}. "
        "Name another --data-dir."
    )


async def _serve(
    settings: Settings,
    listener: socket.socket,
    warden: Warden | None,
    ready: Callable[[str], None],
) -> None:
    address = _address(listener)
    async with AsyncExitStack() as stack:
        # Listened for from the start, so that a node told to stop while it starts also stops
        # in an orderly way.
        signals = stack.enter_context(anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT))
        router = warden.router if warden is not None else None
        parts = build(
            settings,
            address=address,
            functions_address=f"{router.address}:{listener.getsockname()[1]}" if router else None,
            warden=warden,
        )
        if isinstance(parts.driver, NamespaceDriver):
            stack.callback(parts.driver.close)
        await stack.enter_async_context(parts.journal_database)
        await stack.enter_async_context(parts.state)
        await _clear_leftovers(settings, parts)
        # The outer group stops last: what the inner one runs still writes to the journal.
        outer = await stack.enter_async_context(anyio.create_task_group())
        await outer.start(parts.journal.serve)
        async with anyio.create_task_group() as tasks:
            await tasks.start(parts.executor.serve)
            await tasks.start(parts.resolver.serve)
            await tasks.start(parts.reconciler.serve)
            await tasks.start(parts.consumer.serve)
            await tasks.start(parts.sweeper.serve)
            listeners = [listener]
            if router is not None:
                listeners.append(router.endpoint)
                await tasks.start(DnsRelay(router.dns_udp, router.dns_tcp).serve)
            server = HttpServer(parts.gateway, listeners, drain_seconds=settings.drain_seconds)
            await tasks.start(server.serve_forever)
            ready(f"http://{address}")
            await anext(aiter(signals))
            log.info("stopping")
            tasks.cancel_scope.cancel()
        outer.cancel_scope.cancel()


async def _clear_leftovers(settings: Settings, parts: Parts) -> None:
    """Remove what a node that was killed left behind, and code that nothing refers to."""
    if isinstance(parts.driver, ProcessDriver):
        await parts.driver.sweep_leftovers()
    await parts.queue.end_loans()
    environments = settings.data_dir / "environments"
    await anyio.to_thread.run_sync(partial(shutil.rmtree, environments, ignore_errors=True))
    used = await parts.repository.digests()
    await parts.staging.sweep(used)
    await parts.blobs.sweep(used)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as exc:
        listener.close()
        hint = (
            "Another program uses the port: name another one with --port."
            if exc.errno == errno.EADDRINUSE
            else "Name another address with --host, or another port with --port."
        )
        raise StartError(
            f"Cannot listen on {settings.host}:{settings.port}: {exc.strerror}. {hint}"
        ) from exc
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _configure_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("botocore", "urllib3", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
