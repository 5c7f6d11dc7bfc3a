"""Clones of a template, as the node has them made: the way around a snapshot's restore.

The warden prepares what a clone needs, the template's nursery forks it into that, and the
node passes between them what the one hands out and the other takes. What comes from the
nursery comes from a process that has run user code, and is believed in nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from lambdabox.domain.values import dataclass
from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden_client import WardenClient, WardenError
from lambdabox.ports import CannotCloneError, SandboxSpec

CLONE_SECONDS = 5.0
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Ends:
    """The node's descriptors of one sandbox, and what the warden says of it."""

    number: int
    control: int
    channel: int
    output: int
    listener: int
    api: str
    cgroup: Mapping[str, int]
    orders: int | None = None
    status: int | None = None
    """Its runtime's file in /proc, if that is known already."""


class Nursery:
    """Asks a template for clones, one at a time. Owns its descriptor."""

    def __init__(self, orders: int) -> None:
        self._orders = socket.socket(fileno=orders)
        self._orders.setblocking(False)
        self._turn = asyncio.Lock()
        self._is_ready = False

    def close(self) -> None:
        """Let go of it: the nursery then ends. May be called twice."""
        self._orders.close()

    async def clone(self, warden: WardenClient, template: int, spec: SandboxSpec) -> Ends:
        """Return the node's ends of a new clone. Raises CannotCloneError."""
        async with self._turn:
            try:
                async with asyncio.timeout(CLONE_SECONDS):
                    await self._await_ready()
                    return await self._make(warden, template, spec)
            except (TimeoutError, WardenError, messages.Closed, OSError, ValueError) as exc:
                reason = str(exc) or "its template does not answer"
                raise CannotCloneError(reason[:_LONGEST_REASON]) from exc

    async def _await_ready(self) -> None:
        if self._is_ready:
            return
        message, descriptors = await _receive(self._orders)
        _close(descriptors)
        if "obstacle" in message:
            raise CannotCloneError(str(message["obstacle"])[:_LONGEST_REASON], is_final=True)
        self._is_ready = True

    async def _make(self, warden: WardenClient, template: int, spec: SandboxSpec) -> Ends:
        answer, descriptors = await warden.ask(
            {
                "do": "clone",
                "sandbox": template,
                "volume": spec.scratch.name,
                "storage_mib": spec.ephemeral_storage_mib,
                "memory_mib": spec.memory_mib,
            }
        )
        number, names = answer["sandbox"], answer["cgroup"]
        ours, theirs = descriptors[: 3 + len(names)], descriptors[3 + len(names) :]
        try:
            try:
                messages.send(self._orders, {"clone": answer["clone"]}, theirs)
            finally:
                _close(theirs)
            api, listener, status = await self._connect(warden, number, ours[0])
        except BaseException:
            _close(ours)
            with contextlib.suppress(WardenError):
                warden.tell({"do": "end", "sandbox": number})
            raise
        control, channel, output, *cgroup = ours
        files = dict(zip(names, cgroup, strict=True))
        return Ends(number, control, channel, output, listener, api, files, status=status)

    async def _connect(
        self, warden: WardenClient, number: int, control: int
    ) -> tuple[str, int, int]:
        """Wait until the clone has namespaces, and give it its network."""
        with socket.socket(fileno=os.dup(control)) as end:
            end.setblocking(False)
            message, descriptors = await _receive(end)
        try:
            if "started" not in message or len(descriptors) != 2:
                raise CannotCloneError(str(message.get("failed"))[:_LONGEST_REASON])
            answer, [listener] = await warden.ask(
                {"do": "network", "sandbox": number}, descriptors[1:]
            )
        except BaseException:
            _close(descriptors)
            raise
        status, network = descriptors
        os.close(network)
        return answer["api"], listener, status


async def _receive(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for the next message. Raises messages.Closed, or ValueError for no message."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return messages.receive(end)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(end, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(end)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
