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
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import uvloop

from lambdabox.backends.schema import SchemaError
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.isolation.warden.users import base_of
from lambdabox.isolation.warden_client import WardenClient
from lambdabox.server.config import Settings
from lambdabox.server.dns_relay import DnsRelay
from lambdabox.server.http import HttpServer
from lambdabox.server.isolation import (
    Isolation,
    announce,
    give_up_privileges,
    start_isolation,
)
from lambdabox.server.lock import DataDirectoryInUse, hold
from lambdabox.server.warden import IsolationError
from lambdabox.server.wiring import Parts, build

log = logging.getLogger("lambdabox")

BACKLOG = 2_048


class StartError(Exception):
    """The node cannot start. The message says why and what to do."""


class NodeFailedError(Exception):
    """The node had to stop. The message says why."""


Ready = Callable[[str, Isolation], None]
"""Told the node's URL and how functions are held, once it accepts requests."""


def run(settings: Settings, *, ready: Ready = lambda _url, _isolation: None) -> None:
    """Run a node until SIGTERM or SIGINT. Raises StartError or NodeFailedError."""
    _configure_logging(settings.log_level)
    _open_standard_streams()
    os.umask(0o077)  # code, environment variables and logs are nobody else's
    _make_directory(settings.data_dir)
    # Where a link leads is found while every directory on the way can be entered.
    settings = replace(settings, data_dir=settings.data_dir.resolve())
    try:
        with hold(settings.data_dir), _bind(settings) as listener:
            isolation = start_isolation(settings, listener.getsockname()[1])
            try:
                announce(isolation)
                give_up_privileges(settings, isolation)
                # The directory we were started in may be one that we cannot enter any more.
                os.chdir("/")
                is_lost = anyio.run(
                    _serve, settings, listener, isolation, ready,
                    backend="asyncio", backend_options={"loop_factory": uvloop.new_event_loop},
                )  # fmt: skip
            finally:
                isolation.stop()
    except (DataDirectoryInUse, SchemaError, IsolationError) as exc:
        raise StartError(str(exc)) from exc
    except PermissionError as exc:
        raise _unusable(settings.data_dir, exc) from exc
    if is_lost:
        raise NodeFailedError(
            "The process that makes sandboxes has ended, and every sandbox with it. Start the "
            "node again; if nobody has killed that process, what it wrote above says why it ended."
        )


def _open_standard_streams() -> None:
    """Give the numbers 0 to 2 to nothing else, if we were started without them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise _unusable(path, exc) from exc


def _unusable(directory: Path, exc: OSError) -> StartError:
    place = f" ({exc.filename})" if exc.filename not in (None, str(directory)) else ""
    return StartError(
        f"The data directory {directory} cannot be used: {exc.strerror}{place}. "
        f"{_owner_hint(directory)}Name another --data-dir."
    )


def _owner_hint(directory: Path) -> str:
    try:
        owner = directory.stat().st_uid
    except OSError:
        return ""
    if owner == os.geteuid() or os.geteuid() == 0:
        return ""
    if owner == base_of(directory):
        return "It belongs to a node that was started as root: start it as root again. "
    return f"It belongs to another user (uid {owner}). "


async def _serve(
    settings: Settings,
    listener: socket.socket,
    isolation: Isolation,
    ready: Ready,
) -> bool:
    """Serve until told to stop. Return whether that was because the warden is lost."""
    address = _address(listener)
    async with AsyncExitStack() as stack:
        # Listened for from the start, so that a node told to stop while it starts also stops
        # in an orderly way.
        signals = stack.enter_context(anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT))
        router = isolation.warden.router if isolation.warden is not None else None
        parts = build(
            settings,
            address=address,
            functions_address=f"{router.address}:{listener.getsockname()[1]}" if router else None,
            isolation=isolation,
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
            await tasks.start(parts.reconciler.serve)
            await tasks.start(parts.consumer.serve)
            await tasks.start(parts.sweeper.serve)
            listeners = [listener]
            if router is not None:
                listeners.append(router.endpoint)
                await tasks.start(DnsRelay(router.dns_udp, router.dns_tcp).serve)
            server = HttpServer(
                parts.gateway, parts.warm_path, listeners, drain_seconds=settings.drain_seconds
            )
            await tasks.start(server.serve_forever)
            ready(f"http://{address}", isolation)
            is_lost = await _await_end(signals, parts.driver)
            if is_lost:
                log.error("the process that makes sandboxes has ended: the node stops")
            else:
                log.info("stopping")
            tasks.cancel_scope.cancel()
        outer.cancel_scope.cancel()
    return is_lost


async def _await_end(
    signals: AsyncIterator[signal.Signals], driver: ProcessDriver | NamespaceDriver
) -> bool:
    """Wait until the node is told to stop, or cannot go on: then return True."""
    is_lost = False

    async def watch(warden: WardenClient) -> None:
        nonlocal is_lost
        await warden.gone()
        is_lost = True
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        if isinstance(driver, NamespaceDriver):
            tasks.start_soon(watch, driver.warden)
        await anext(aiter(signals))
        tasks.cancel_scope.cancel()
    return is_lost


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
