"""The warden: makes, assigns and ends sandboxes for the node, and nothing else.

It is the only part that keeps privileges. It speaks to one peer, the node, over one
socket, in the small language of `node_link`; it opens no file that the node names except below the
directory of deployed code; and when the node is gone, it ends everything and goes too.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from lambdabox.isolation.guest import messages
from lambdabox.isolation.warden.flavours import QUIET_SECONDS, Flavour, Kind
from lambdabox.isolation.warden.network import NetworkError
from lambdabox.isolation.warden.node_link import NodeLink
from lambdabox.isolation.warden.orders import RefusedError
from lambdabox.isolation.warden.sandboxes import Sandbox, close_all
from lambdabox.isolation.warden.workshop import Workshop

REST_SECONDS = 1.0
IDLE_FLAVOUR_SECONDS = 600.0
END_SECONDS = 5.0
# Of a process, its mounts and its users.
_DESCRIPTORS = 3

Taker = Callable[[Sandbox | None, str], None]
"""Told a sandbox that was waited for, or why there is none."""


class Warden:
    def __init__(self, node: socket.socket, workshop: Workshop) -> None:
        self._node = node
        self._link = NodeLink(node)
        self._shop = workshop
        self._flavours: dict[Kind, Flavour] = {}
        self._sandboxes: dict[int, tuple[Sandbox, Flavour]] = {}
        self._takers: dict[int, Taker] = {}
        """Who waits for one sandbox in particular."""
        self._selector = selectors.DefaultSelector()
        self._last_start = 0.0
        self._shop_lacks = True
        """Whether networks and volumes are to be made ahead."""

    def serve(self) -> None:
        """Serve the node until it is gone; then end everything."""
        self._selector.register(self._node, selectors.EVENT_READ, self._from_node)
        try:
            while True:
                ready = self._selector.select(self._patience())
                for key, events in ready:
                    if key.fd in self._selector.get_map():
                        key.data(events)
                if not ready:
                    self._rest()
                self._refill()
        except messages.Closed:
            pass
        finally:
            self._end_all()

    # The node's requests.

    def _from_node(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._link.send_rest()
            if not self._link.is_behind:
                self._selector.modify(self._node, selectors.EVENT_READ, self._from_node)
        if not events & selectors.EVENT_READ:
            return
        for _ in range(16):
            try:
                message, descriptors = self._link.receive()
            except BlockingIOError:
                return
            except ValueError:
                continue
            try:
                self._shop.orders.check(message)
                self._obey(message, descriptors)
            except (OSError, RefusedError, NetworkError) as exc:
                self._refuse(message, str(exc))
            finally:
                close_all(descriptors)

    def _refuse(self, message: dict[str, Any], why: str) -> None:
        number = message.get("id")
        if type(number) is int:
            self._tell({"id": number, "error": why})
        else:
            print(f"lambdabox: not done: {why}", file=sys.stderr, flush=True)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> None:
        match message["do"]:
            case "warm":
                self._flavour(message["kind"])
            case "start":
                self._start(message)
            case "end":
                self._end(int(message["sandbox"]))
            case "forget":
                self._shop.forget(message["volume"])
            case "connect":
                self._connect(message)
            case "clone":
                self._clone(message)
            case "network":
                self._connect_clone(message, descriptors)

    def _start(self, order: dict[str, Any]) -> None:
        flavour = self._flavour(order["kind"])
        flavour.used()
        if flavour.refusal is not None:
            self._tell({"id": order["id"], "error": flavour.refusal})
            return
        self._last_start = time.monotonic()
        self._shop_lacks = True

        def take(sandbox: Sandbox | None, why: str) -> None:
            if sandbox is None:
                self._tell({"id": order["id"], "error": why})
            else:
                self._assign(sandbox, order)

        if order["template"]:
            # Its filter is another one, so none is made ahead.
            self._spawn(flavour, take)
        elif (ready := flavour.take_ready()) is not None:
            take(ready, "")
        else:
            flavour.waiting.append(take)
            self._spawn(flavour)

    def _assign(self, sandbox: Sandbox, order: dict[str, Any]) -> None:
        try:
            self._shop.furnish(sandbox, order)
            with sandbox.handing_over() as (answer, given):
                self._tell({"id": order["id"], **answer}, given)
        except (OSError, ValueError) as exc:
            self._tell({"id": order["id"], "error": str(exc)})
            sandbox.kill()

    def _clone(self, order: dict[str, Any]) -> None:
        """Make what a clone needs, and let the node pass it on to the template's nursery."""
        template, flavour = self._living(order)
        clone, given, answer = self._shop.make_clone(order, template)
        try:
            self._tell({"id": order["id"], **answer}, given)
        except OSError:
            self._shop.give_back(clone)
            raise
        finally:
            close_all(given)
        self._sandboxes[clone.number] = clone, flavour

    def _connect_clone(self, order: dict[str, Any], descriptors: list[int]) -> None:
        clone, _flavour = self._living(order)
        if clone.network is not None or len(descriptors) != 1:
            raise OSError("a clone tells of one network, once")
        clone.network = self._shop.network.adopt(os.dup(descriptors[0]))
        listener = clone.network.listener.fileno()
        self._tell({"id": order["id"], "api": clone.network.api_address}, [listener])

    def _living(self, order: dict[str, Any]) -> tuple[Sandbox, Flavour]:
        """Return the sandbox that an order is about. Raises OSError."""
        entry = self._sandboxes.get(order["sandbox"])
        if entry is None:
            raise OSError("the sandbox has ended")
        return entry

    def _end(self, number: int) -> None:
        entry = self._sandboxes.get(number)
        if entry is None:
            self._tell({"ended": number})
            return
        sandbox, _flavour = entry
        sandbox.kill()
        if sandbox.pidfd < 0:
            # A clone is no descendant that could be watched: its control group holds it.
            del self._sandboxes[number]
            self._shop.give_back(sandbox)
            self._tell({"ended": number})

    def _connect(self, order: dict[str, Any]) -> None:
        sandbox, _flavour = self._living(order)
        if sandbox.network is None:
            raise OSError("the sandbox has no network yet")
        with sandbox.network.connect(order["port"]) as connection:
            self._tell({"id": order["id"], "connected": True}, [connection.fileno()])

    # Flavours and their fork servers.

    def _flavour(self, given: dict[str, Any]) -> Flavour:
        kind = Kind.of(given)
        flavour = self._flavours.get(kind)
        if flavour is None:
            shop = self._shop
            flavour = self._flavours[kind] = Flavour(
                kind, shop.view(kind.interpreter), packages=shop.packages, is_root=shop.is_root
            )
        flavour.last_used = time.monotonic()
        self._wake(flavour)
        return flavour

    def _wake(self, flavour: Flavour) -> None:
        if flavour.connection is None and flavour.refusal is None:
            connection = flavour.start()
            self._selector.register(
                connection, selectors.EVENT_READ, lambda _events: self._from_fork_server(flavour)
            )

    def _from_fork_server(self, flavour: Flavour) -> None:
        connection = flavour.connection
        if connection is None:
            return
        try:
            message, descriptors = messages.receive(connection)
        except messages.Closed:
            self._lose_fork_server(flavour)
            return
        if "ready" in message:
            flavour.is_serving = True
        elif "broken" in message:
            flavour.cannot_start(message["broken"])
        elif "failed" in message:
            sandbox = flavour.pending.pop(message["failed"])
            self._could_not(flavour, sandbox, message["why"])
        elif len(descriptors) != _DESCRIPTORS:
            # Some did not arrive, for we have too many.
            close_all(descriptors)
            os.kill(message["pid"], signal.SIGKILL)
            flavour.reap(message["pid"])
            sandbox = flavour.pending.pop(message["spawned"])
            self._could_not(flavour, sandbox, "too many open files")
        else:
            sandbox = flavour.pending[message["spawned"]]
            flavour.has_made(sandbox)
            sandbox.started(message["pid"], *descriptors)
            self._sandboxes[sandbox.number] = sandbox, flavour
            self._selector.register(
                sandbox.pidfd, selectors.EVENT_READ, lambda _events: self._ended(sandbox, flavour)
            )
            take = self._takers.pop(sandbox.number, None)
            if take is not None:
                take(sandbox, "")
            elif flavour.waiting:
                flavour.waiting.popleft()(sandbox, "")
            else:
                flavour.ready.append(sandbox)

    def _lose_fork_server(self, flavour: Flavour) -> None:
        if flavour.connection is not None:
            self._selector.unregister(flavour.connection)
        flavour.lost()
        why = flavour.refusal
        pending, flavour.pending = list(flavour.pending.values()), {}
        for sandbox in pending:
            take = self._takers.pop(sandbox.number, None)
            self._shop.give_back(sandbox)
            if take is not None:
                take(None, why or "the fork server has ended")
        while why is not None and flavour.waiting:
            self._fail_waiting(flavour, why)
        if flavour.waiting:
            try:
                self._wake(flavour)
            except OSError as exc:
                why = str(exc)
                while flavour.waiting:
                    self._fail_waiting(flavour, why)
            for _ in list(flavour.waiting):
                self._spawn(flavour)

    def _could_not(self, flavour: Flavour, sandbox: Sandbox, why: str) -> None:
        """A sandbox was not made: take back what it had, and tell who waits for it."""
        take = self._takers.pop(sandbox.number, None)
        self._shop.give_back(sandbox)
        flavour.failed(why)
        if take is not None:
            take(None, why)
        else:
            self._fail_waiting(flavour, why)

    def _fail_waiting(self, flavour: Flavour, why: str) -> None:
        if flavour.waiting:
            flavour.waiting.popleft()(None, why)

    def _spawn(self, flavour: Flavour, take: Taker | None = None) -> None:
        """Ask for one more sandbox of the kind; a template, if it is for `take` alone."""
        try:
            # Where somebody waits, the first that is served warms it.
            sandbox, theirs, order = self._shop.make(
                is_template=take is not None, rehearses=not flavour.waiting
            )
        except (OSError, NetworkError) as exc:
            flavour.failed(str(exc))
            if take is not None:
                take(None, str(exc))
            else:
                self._fail_waiting(flavour, str(exc))
            return
        if take is not None:
            self._takers[sandbox.number] = take
        try:
            flavour.spawn(sandbox, order, theirs)
        except messages.Closed:
            # It is lost; whoever waits is served when that has been noticed.
            self._shop.give_back(sandbox)
            if self._takers.pop(sandbox.number, None) is not None and take is not None:
                take(None, "the fork server has ended")
        finally:
            close_all(theirs)

    def _refill(self) -> None:
        """Make ahead what is missing, as far as no start in progress is slowed down."""
        since_start = time.monotonic() - self._last_start
        for flavour in self._flavours.values():
            if flavour.delay(since_start) == 0:
                self._spawn(flavour)
        if since_start >= QUIET_SECONDS:
            self._shop_lacks = self._shop.refill()

    # The end.

    def _ended(self, sandbox: Sandbox, flavour: Flavour) -> None:
        """All processes of the sandbox are gone."""
        self._selector.unregister(sandbox.pidfd)
        del self._sandboxes[sandbox.number]
        with contextlib.suppress(ValueError):
            flavour.ready.remove(sandbox)
        flavour.reap(sandbox.pid)
        self._shop.give_back(sandbox)
        self._tell({"ended": sandbox.number})

    def _rest(self) -> None:
        """Let go of what has not been used for long, and reap who became our child."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        self._shop.cgroups.clear()
        for sandbox, _flavour in self._sandboxes.values():
            if sandbox.ending:
                sandbox.kill()
        limit = time.monotonic() - IDLE_FLAVOUR_SECONDS
        for kind, flavour in list(self._flavours.items()):
            if flavour.last_used < limit and not flavour.waiting and not flavour.pending:
                for sandbox in flavour.ready:
                    sandbox.kill()
                if flavour.connection is not None:
                    self._selector.unregister(flavour.connection)
                flavour.stop()
                if not any(owner is flavour for _, owner in self._sandboxes.values()):
                    del self._flavours[kind]

    def _end_all(self) -> None:
        for flavour in self._flavours.values():
            # First, so that no more sandboxes come. One on its way ends with its cgroup.
            if flavour.connection is not None:
                self._selector.unregister(flavour.connection)
            flavour.stop()
        self._selector.unregister(self._node)
        for sandbox, _flavour in self._sandboxes.values():
            sandbox.kill()
        deadline = time.monotonic() + END_SECONDS
        while self._sandboxes and time.monotonic() < deadline:
            for key, _events in self._selector.select(0.5):
                with contextlib.suppress(messages.Closed):
                    key.data(0)
        self._shop.close()

    def _tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        self._link.tell(message, descriptors)
        if self._link.is_behind:
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(self._node, both, self._from_node)

    def _patience(self) -> float:
        """How long to wait for something to happen before there is something to make."""
        since_start = time.monotonic() - self._last_start
        delays = [flavour.delay(since_start) for flavour in self._flavours.values()]
        if self._shop_lacks:
            delays.append(max(0.0, QUIET_SECONDS - since_start))
        return min((delay for delay in delays if delay is not None), default=REST_SECONDS)
