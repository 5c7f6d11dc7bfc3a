"""Serve: the order in which a node's parts start, when it is ready, and how it stops.

Starting: open the databases, clear what a crash left, then serve. Stopping goes the other
way round: no new connections, running events end or are ended, logs are written, databases
close. Every part is an async `serve` owned by the task group here.
"""

import logging
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import anyio
import uvloop

from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.isolation.warden_client import WardenClient
from lambdabox.server.config import Settings
from lambdabox.server.dns_relay import DnsRelay
from lambdabox.server.http import HttpServer
from lambdabox.server.isolation import Isolation
from lambdabox.server.wiring import Parts, build

log = logging.getLogger("lambdabox")

Ready = Callable[[str, Isolation], None]
"""Told the node's URL and how functions are held, once it accepts requests."""


def run(settings: Settings, listener: socket.socket, isolation: Isolation, ready: Ready) -> bool:
    """Serve until told to stop. Return whether that was because the warden is lost.

    Raises SchemaError.
    """
    return anyio.run(
        _serve, settings, listener, isolation, ready,
        backend="asyncio", backend_options={"loop_factory": uvloop.new_event_loop},
    )  # fmt: skip


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
            await tasks.start(parts.resolver.serve)
            await tasks.start(parts.reconciler.serve)
            await tasks.start(parts.sweeper.serve)
            for serve in parts.services:
                await tasks.start(serve)
            # Events wait until it is known which functions may run, and how often at once.
            await tasks.start(parts.consumer.serve)
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
    environments = settings.data_dir / "environments"
    await anyio.to_thread.run_sync(partial(shutil.rmtree, environments, ignore_errors=True))
    used = await parts.repository.digests()
    await parts.staging.sweep(used)
    await parts.blobs.sweep(used)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
