"""The warden: makes, assigns and ends sandboxes for the node, and nothing else.

It is the only part that keeps privileges. It speaks to one peer, the node, over one
socket, in the small language below; it opens no file that the node names except below the
directory of deployed code; and when the node is gone, it ends everything and goes too.

    node → warden   {"do": "warm", "kind": {…}}
                    {"do": "start", "id": n, "kind": {…}, "code": name, "layers": [names],
                     "volume": name, "storage_mib": m, "memory_mib": m}
                    {"do": "end", "sandbox": k}
                    {"do": "forget", "volume": name}
                    {"do": "connect", "id": n, "sandbox": k, "port": p}
    warden → node   {"id": n, "sandbox": k, "api": address, "cgroup": [names]}
                        descriptors: control, channel, output, listener, then the cgroup's
                    {"id": n, "connected": true}   descriptor: the connecting socket
                    {"id": n, "error": text}
                    {"ended": k}
"""

import collections
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdabox.isolation.guest import linux, messages
from lambdabox.isolation.warden.cgroups import Cgroups
from lambdabox.isolation.warden.flavours import Flavour, Kind
from lambdabox.isolation.warden.network import NetworkError, NetworkPool
from lambdabox.isolation.warden.orders import Orders, RefusedError
from lambdabox.isolation.warden.sandboxes import Attacher, Sandbox, open_ends
from lambdabox.isolation.warden.users import Users
from lambdabox.isolation.warden.view import View
from lambdabox.isolation.warden.volumes import Volume, Volumes

QUIET_SECONDS = 0.01
"""How long nothing must happen before sandboxes are made ahead, unless none is left."""
IDLE_FLAVOUR_SECONDS = 600.0
# Of a process, its mounts and its users.
_DESCRIPTORS = 3


@dataclass(frozen=True, slots=True)
class Workshop:
    """What sandboxes are made with."""

    cgroups: Cgroups
    network: NetworkPool
    volumes: Volumes
    users: Users
    attacher: Attacher
    orders: Orders
    view: Callable[[str | None], View]
    packages: str
    is_root: bool


class Warden:
    def __init__(self, node: socket.socket, workshop: Workshop) -> None:
        self._node = node
        self._shop = workshop
        self._flavours: dict[Kind, Flavour] = {}
        self._sandboxes: dict[int, tuple[Sandbox, Flavour]] = {}
        self._volumes: dict[str, Volume] = {}
        self._unsent: collections.deque[tuple[dict[str, Any], list[int]]] = collections.deque()
        self._number = 0
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Serve the node until it is gone; then end everything."""
        self._node.setblocking(False)
        self._selector.register(self._node, selectors.EVENT_READ, self._from_node)
        try:
            while True:
                ready = self._selector.select(self._patience())
                for key, events in ready:
                    if key.fd in self._selector.get_map():
                        key.data(events)
                if not ready:
                    self._rest()
                self._refill(only_empty=bool(ready))
        except messages.Closed:
            pass
        finally:
            self._end_all()

    # The node's requests.

    def _from_node(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send_rest()
        if not events & selectors.EVENT_READ:
            return
        for _ in range(16):
            try:
                message, descriptors = messages.receive(self._node)
            except BlockingIOError:
                return
            except ValueError:
                continue
            for descriptor in descriptors:
                os.close(descriptor)
            try:
                self._shop.orders.check(message)
                self._obey(message)
            except (OSError, RefusedError, NetworkError) as exc:
                self._refuse(message, str(exc))

    def _refuse(self, message: dict[str, Any], why: str) -> None:
        number = message.get("id")
        if type(number) is int:
            self._tell({"id": number, "error": why})
        else:
            print(f"lambdabox: not done: {why}", file=sys.stderr, flush=True)

    def _obey(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "warm":
                self._flavour(message["kind"])
            case "start":
                self._start(message)
            case "end":
                self._end(int(message["sandbox"]))
            case "forget":
                if (volume := self._volumes.pop(message["volume"], None)) is not None:
                    volume.close()
            case "connect":
                self._connect(message)

    def _start(self, order: dict[str, Any]) -> None:
        flavour = self._flavour(order["kind"])
        flavour.used()

        def take(sandbox: Sandbox | None, why: str) -> None:
            if sandbox is None:
                self._tell({"id": order["id"], "error": why})
            else:
                self._assign(sandbox, order)

        if flavour.ready:
            take(flavour.ready.popleft(), "")
        else:
            flavour.waiting.append(take)
            self._spawn(flavour)

    def _assign(self, sandbox: Sandbox, order: dict[str, Any]) -> None:
        try:
            self._furnish(sandbox, order)
        except (OSError, ValueError) as exc:
            self._tell({"id": order["id"], "error": str(exc)})
            sandbox.kill()
            return
        ends, sandbox.ends = sandbox.ends, None
        if ends is None:
            raise RuntimeError("a sandbox was assigned twice")
        cgroup = sandbox.cgroup.node_descriptors() if sandbox.cgroup else {}
        listener = sandbox.network.listener.fileno()
        self._tell(
            {
                "id": order["id"],
                "sandbox": sandbox.number,
                "api": sandbox.network.api_address,
                "cgroup": list(cgroup),
            },
            [ends.control, ends.channel, ends.output, listener, *cgroup.values()],
        )
        ends.close()
        for descriptor in cgroup.values():
            os.close(descriptor)

    def _furnish(self, sandbox: Sandbox, order: dict[str, Any]) -> None:
        trees = {}
        name, attacher = order["volume"], self._shop.attacher
        if name not in self._volumes:
            self._volumes[name] = self._shop.volumes.take(int(order["storage_mib"]))
        try:
            trees["/var/task"] = attacher.tree(order["code"])
            layers = attacher.stack(order["layers"])
            if layers is not None:
                trees["/opt"] = layers
            scratch = trees["/tmp"] = self._volumes[name].clone()  # noqa: S108  # inside
            if self._shop.is_root:
                # What a sandbox writes belongs to the next one of its environment, too.
                linux.map_mount_ids(scratch, sandbox.users)
        except BaseException:
            for tree in trees.values():
                os.close(tree)
            raise
        attacher.attach(sandbox, trees)
        if sandbox.cgroup is not None:
            sandbox.cgroup.limit(int(order["memory_mib"]))

    def _end(self, number: int) -> None:
        entry = self._sandboxes.get(number)
        if entry is None:
            self._tell({"ended": number})
        else:
            entry[0].kill()

    def _connect(self, order: dict[str, Any]) -> None:
        entry = self._sandboxes.get(int(order["sandbox"]))
        try:
            if entry is None:
                raise OSError("the sandbox has ended")
            connection = entry[0].network.connect(int(order["port"]))
        except OSError as exc:
            self._tell({"id": order["id"], "error": str(exc)})
            return
        with connection:
            self._tell({"id": order["id"], "connected": True}, [connection.fileno()])

    # Flavours and their fork servers.

    def _flavour(self, given: dict[str, Any]) -> Flavour:
        kind = Kind(
            given["account"], given["interpreter"], given["python"], tuple(given["preload"])
        )
        flavour = self._flavours.get(kind)
        if flavour is None:
            shop = self._shop
            flavour = self._flavours[kind] = Flavour(
                kind, shop.view(kind.interpreter), packages=shop.packages, is_root=shop.is_root
            )
        flavour.last_used = time.monotonic()
        if flavour.connection is None:
            connection = flavour.start()
            self._selector.register(
                connection, selectors.EVENT_READ, lambda _events: self._from_fork_server(flavour)
            )
        return flavour

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
        elif "failed" in message:
            sandbox = flavour.pending.pop(message["failed"])
            self._give_back(sandbox)
            self._could_not(flavour, message["why"])
        elif len(descriptors) != _DESCRIPTORS:
            # Some did not arrive, for we have too many.
            _close_all(descriptors)
            os.kill(message["pid"], signal.SIGKILL)
            flavour.reap(message["pid"])
            self._give_back(flavour.pending.pop(message["spawned"]))
            self._could_not(flavour, "too many open files")
        else:
            sandbox = flavour.pending.pop(message["spawned"])
            sandbox.started(message["pid"], *descriptors)
            self._sandboxes[sandbox.number] = sandbox, flavour
            self._selector.register(
                sandbox.pidfd, selectors.EVENT_READ, lambda _events: self._ended(sandbox, flavour)
            )
            if flavour.waiting:
                flavour.waiting.popleft()(sandbox, "")
            else:
                flavour.ready.append(sandbox)

    def _lose_fork_server(self, flavour: Flavour) -> None:
        was_serving = flavour.is_serving
        if flavour.connection is not None:
            self._selector.unregister(flavour.connection)
        flavour.stop()
        pending, flavour.pending = list(flavour.pending.values()), {}
        for sandbox in pending:
            self._give_back(sandbox)
        if not was_serving:
            while flavour.waiting:
                self._fail_waiting(flavour, "the fork server of this interpreter cannot start")
        elif flavour.waiting:
            try:
                self._flavour(_as_message(flavour.kind))
            except OSError as exc:
                self._could_not(flavour, str(exc))
            for _ in list(flavour.waiting):
                self._spawn(flavour)

    def _could_not(self, flavour: Flavour, why: str) -> None:
        flavour.failed(why)
        self._fail_waiting(flavour, why)

    def _fail_waiting(self, flavour: Flavour, why: str) -> None:
        if flavour.waiting:
            flavour.waiting.popleft()(None, why)

    def _spawn(self, flavour: Flavour) -> None:
        """Ask for one more sandbox of the kind."""
        try:
            sandbox, order, descriptors = self._lay_out()
        except (OSError, NetworkError) as exc:
            # The machine's limits are reached; it may have room again later.
            self._could_not(flavour, str(exc))
            return
        try:
            flavour.spawn(sandbox, order, descriptors)
        except messages.Closed:
            # It is lost; whoever waits is served when that has been noticed.
            self._give_back(sandbox)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _lay_out(self) -> tuple[Sandbox, dict[str, Any], list[int]]:
        """Return a sandbox that is yet to be forked, and the order with its descriptors."""
        shop = self._shop
        self._number += 1
        with contextlib.ExitStack() as on_failure:
            user = shop.users.take()
            on_failure.callback(shop.users.give_back, user)
            slot = shop.network.take()
            on_failure.callback(shop.network.give_back, slot)
            cgroup = shop.cgroups.create(str(self._number))
            if cgroup is not None:
                on_failure.callback(shop.cgroups.discard, cgroup)
            attach = cgroup.attach_descriptors() if cgroup else []
            on_failure.callback(_close_all, attach)
            networks = [os.dup(slot.namespace.descriptor)] if slot.namespace is not None else []
            on_failure.callback(_close_all, networks)
            ours, theirs = open_ends()
            on_failure.pop_all()
        order = {
            "spawn": self._number,
            "uids": shop.users.ids(user),
            "gids": shop.users.ids(user),
            "cgroups": len(attach),
            "network": bool(networks),
        }
        sandbox = Sandbox(self._number, user, cgroup, slot, ours)
        return sandbox, order, [*theirs, *attach, *networks]

    def _refill(self, *, only_empty: bool) -> None:
        for flavour in self._flavours.values():
            if not flavour.is_serving or (only_empty and flavour.ready):
                continue
            if flavour.wanted > 0 and len(flavour.pending) < 2:
                self._spawn(flavour)
        if not only_empty:
            # What cannot be had ahead of need is asked for again when it is needed.
            with contextlib.suppress(OSError, NetworkError):
                self._shop.network.refill()
                self._shop.volumes.refill()

    # The end.

    def _ended(self, sandbox: Sandbox, flavour: Flavour) -> None:
        """All processes of the sandbox are gone."""
        self._selector.unregister(sandbox.pidfd)
        del self._sandboxes[sandbox.number]
        with contextlib.suppress(ValueError):
            flavour.ready.remove(sandbox)
        flavour.reap(sandbox.pid)
        self._give_back(sandbox)
        self._tell({"ended": sandbox.number})

    def _give_back(self, sandbox: Sandbox) -> None:
        """Give back what a sandbox had, once its processes are gone or were never there."""
        sandbox.release()
        if sandbox.cgroup is not None:
            self._shop.cgroups.discard(sandbox.cgroup)
        self._shop.network.give_back(sandbox.network)
        self._shop.users.give_back(sandbox.user)

    def _rest(self) -> None:
        """Let go of what has not been used for long, and reap who became our child."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
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
        deadline = time.monotonic() + 5
        while self._sandboxes and time.monotonic() < deadline:
            for key, _events in self._selector.select(0.5):
                with contextlib.suppress(messages.Closed):
                    key.data(0)
        for volume in self._volumes.values():
            volume.close()
        shop = self._shop
        shop.volumes.close()
        shop.network.close()
        shop.cgroups.close()

    # Talking to the node.

    def _tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        # The descriptors may be closed by the caller: what cannot leave now keeps copies.
        if self._unsent:
            self._unsent.append((message, [os.dup(one) for one in descriptors or []]))
            return
        try:
            messages.send(self._node, message, descriptors)
        except BlockingIOError:
            self._unsent.append((message, [os.dup(one) for one in descriptors or []]))
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(self._node, both, self._from_node)

    def _send_rest(self) -> None:
        while self._unsent:
            message, descriptors = self._unsent[0]
            try:
                messages.send(self._node, message, descriptors)
            except BlockingIOError:
                return
            self._unsent.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._selector.modify(self._node, selectors.EVENT_READ, self._from_node)

    def _patience(self) -> float:
        wanted = any(f.is_serving and f.wanted > 0 for f in self._flavours.values())
        return QUIET_SECONDS if wanted else 1.0


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _as_message(kind: Kind) -> dict[str, Any]:
    return {
        "account": kind.account,
        "interpreter": kind.interpreter,
        "python": kind.python,
        "preload": list(kind.preload),
    }
