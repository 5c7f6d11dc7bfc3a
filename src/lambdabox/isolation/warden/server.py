"""The warden: makes, assigns and ends sandboxes for the node, and nothing else.

It is the only part that keeps privileges. It speaks to one peer, the node, over one
socket, in the small language below; it opens no file that the node names except below the
directory of deployed code; and when the node is gone, it ends everything and goes too.

    node → warden   {"do": "warm", "kind": {…}}
                    {"do": "start", "id": n, "kind": {…}, "code": name, "layers": [names],
                     "volume": name, "storage_mib": m, "memory_mib": m, "template": bool}
                    {"do": "clone", "id": n, "sandbox": template, "volume": name,
                     "storage_mib": m, "memory_mib": m}
                    {"do": "network", "id": n, "sandbox": clone}   descriptor: its namespace
                    {"do": "end", "sandbox": k}
                    {"do": "forget", "volume": name}
                    {"do": "connect", "id": n, "sandbox": k, "port": p}
    warden → node   {"id": n, "sandbox": k, "api": address, "cgroup": [names]}
                        descriptors: control, channel, output, a template's orders, listener,
                        then the cgroup's
                    {"id": n, "sandbox": k, "cgroup": [names], "clone": c}    for a clone
                        descriptors: control, channel, output, the cgroup's, and for its
                        nursery: control, channel, output, scratch, c of cgroups
                    {"id": n, "api": address}     descriptor: a clone's listener
                    {"id": n, "connected": true}   descriptor: the connecting socket
                    {"id": n, "error": text}
                    {"ended": k}
"""

import collections
import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lambdabox.isolation.guest import linux, messages
from lambdabox.isolation.warden.cgroups import Cgroups
from lambdabox.isolation.warden.flavours import Flavour, Kind
from lambdabox.isolation.warden.network import NetworkError, NetworkPool
from lambdabox.isolation.warden.sandboxes import Attacher, Ends, Sandbox
from lambdabox.isolation.warden.users import Users
from lambdabox.isolation.warden.view import View
from lambdabox.isolation.warden.volumes import Volume, Volumes

QUIET_SECONDS = 0.01
"""How long nothing must happen before sandboxes are made ahead, unless none is left."""
IDLE_FLAVOUR_SECONDS = 600.0
_OUTPUT_PIPE_BYTES = 1024 * 1024
NOBODY = -1
"""Of a sandbox that has no users of its own."""

Taker = Callable[[Sandbox | None, str], None]
"""Told a sandbox that was waited for, or why there is none."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What sandboxes are made with."""

    cgroups: Cgroups
    network: NetworkPool
    volumes: Volumes
    users: Users
    attacher: Attacher
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
        self._takers: dict[int, Taker] = {}
        """Who waits for one sandbox in particular."""
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
            try:
                self._obey(message, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> None:
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
            case "clone":
                self._clone(message)
            case "network":
                self._connect_clone(message, descriptors)

    def _start(self, order: dict[str, Any]) -> None:
        flavour = self._flavour(order["kind"])
        flavour.used()

        def take(sandbox: Sandbox | None, why: str) -> None:
            if sandbox is None:
                self._tell({"id": order["id"], "error": why})
            else:
                self._assign(sandbox, order)

        if order["template"]:
            # Its filter is another one, so none is made ahead.
            self._spawn(flavour, take)
        elif flavour.ready:
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
        if ends is None or sandbox.network is None:
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
            [*ends.descriptors, listener, *cgroup.values()],
        )
        ends.close()
        for descriptor in cgroup.values():
            os.close(descriptor)

    def _clone(self, order: dict[str, Any]) -> None:
        """Make what a clone needs, and let the node pass it on to the template's nursery."""
        entry = self._sandboxes.get(int(order["sandbox"]))
        if entry is None:
            self._tell({"id": order["id"], "error": "its template has ended"})
            return
        template, flavour = entry
        scratch = self._scratch(order, template)
        self._number += 1
        ends, theirs = _open_ends()
        cgroup = self._shop.cgroups.create(str(self._number))
        if cgroup is None:
            raise RuntimeError("there are no control groups to hold a clone")
        cgroup.limit(int(order["memory_mib"]))
        # It has its template's user, whose files it is to read.
        clone = Sandbox(self._number, NOBODY, cgroup, None, None)
        self._sandboxes[clone.number] = clone, flavour
        held, attach = cgroup.node_descriptors(), cgroup.attach_descriptors()
        self._tell(
            {
                "id": order["id"],
                "sandbox": clone.number,
                "cgroup": list(held),
                "clone": len(attach),
            },
            [*ends.descriptors, *held.values(), *theirs, scratch, *attach],
        )
        ends.close()
        for descriptor in (*theirs, *held.values(), *attach, scratch):
            os.close(descriptor)

    def _connect_clone(self, order: dict[str, Any], descriptors: list[int]) -> None:
        entry = self._sandboxes.get(int(order["sandbox"]))
        try:
            if entry is None or entry[0].network is not None:
                raise OSError("the clone has ended")
            slot = entry[0].network = self._shop.network.adopt(os.dup(descriptors[0]))
        except (OSError, NetworkError) as exc:
            self._tell({"id": order["id"], "error": str(exc)})
            return
        self._tell({"id": order["id"], "api": slot.api_address}, [slot.listener.fileno()])

    def _scratch(self, order: dict[str, Any], owner: Sandbox) -> int:
        """Return a detached mount of an environment's /tmp, whose files are `owner`'s user's."""
        name = order["volume"]
        if name not in self._volumes:
            self._volumes[name] = self._shop.volumes.take(int(order["storage_mib"]))
        scratch = self._volumes[name].clone()
        if self._shop.is_root:
            # What a sandbox writes belongs to the next one of its environment, too.
            linux.map_mount_ids(scratch, owner.users)
        return scratch

    def _furnish(self, sandbox: Sandbox, order: dict[str, Any]) -> None:
        trees = {}
        attacher = self._shop.attacher
        try:
            trees["/var/task"] = attacher.tree(order["code"])
            layers = attacher.stack(order["layers"])
            if layers is not None:
                trees["/opt"] = layers
            trees["/tmp"] = self._scratch(order, sandbox)  # noqa: S108  # inside
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
            return
        sandbox, _flavour = entry
        sandbox.kill()
        if sandbox.pidfd < 0:
            # A clone is no descendant that could be watched: its control group holds it.
            del self._sandboxes[number]
            self._give_back(sandbox)
            self._tell({"ended": number})

    def _connect(self, order: dict[str, Any]) -> None:
        entry = self._sandboxes.get(int(order["sandbox"]))
        try:
            if entry is None or entry[0].network is None:
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
            take = self._takers.pop(sandbox.number, None)
            self._give_back(sandbox)
            flavour.failed(message["why"])
            if take is not None:
                take(None, message["why"])
            else:
                self._fail_waiting(flavour, message["why"])
        else:
            sandbox = flavour.pending.pop(message["spawned"])
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
        was_serving = flavour.is_serving
        if flavour.connection is not None:
            self._selector.unregister(flavour.connection)
        flavour.stop()
        pending, flavour.pending = list(flavour.pending.values()), {}
        for sandbox in pending:
            take = self._takers.pop(sandbox.number, None)
            self._give_back(sandbox)
            if take is not None:
                take(None, "the fork server has ended")
        if not was_serving:
            self._fail_waiting(flavour, "the fork server of this interpreter cannot start")
        elif flavour.waiting:
            self._flavour(_as_message(flavour.kind))
            for _ in flavour.waiting:
                self._spawn(flavour)

    def _fail_waiting(self, flavour: Flavour, why: str) -> None:
        if flavour.waiting:
            flavour.waiting.popleft()(None, why)

    def _spawn(self, flavour: Flavour, take: Taker | None = None) -> None:
        """Ask for one more sandbox of the kind; a template, if it is for `take` alone."""
        shop = self._shop
        self._number += 1
        slot = shop.network.take()
        ours, theirs = _open_ends(is_template=take is not None)
        cgroup = shop.cgroups.create(str(self._number))
        sandbox = Sandbox(self._number, shop.users.take(), cgroup, slot, ours)
        attach = cgroup.attach_descriptors() if cgroup else []
        networks = [slot.namespace.descriptor] if slot.namespace is not None else []
        order = {
            "spawn": sandbox.number,
            "uids": shop.users.ids(sandbox.user),
            "gids": shop.users.ids(sandbox.user),
            "cgroups": len(attach),
            "network": bool(networks),
            "template": take is not None,
        }
        if take is not None:
            self._takers[sandbox.number] = take
        try:
            flavour.spawn(sandbox, order, [*theirs, *attach, *networks])
        except messages.Closed:
            # It is lost; whoever waits is served when that has been noticed.
            self._give_back(sandbox)
            if self._takers.pop(sandbox.number, None) is not None and take is not None:
                take(None, "the fork server has ended")
        finally:
            for descriptor in (*theirs, *attach):
                os.close(descriptor)

    def _refill(self, *, only_empty: bool) -> None:
        for flavour in self._flavours.values():
            if not flavour.is_serving or (only_empty and flavour.ready):
                continue
            if flavour.wanted > 0 and len(flavour.pending) < 2:
                self._spawn(flavour)
        if not only_empty:
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
        if sandbox.network is not None:
            self._shop.network.give_back(sandbox.network)
        if sandbox.user != NOBODY:
            self._shop.users.give_back(sandbox.user)

    def _rest(self) -> None:
        """Let go of what has not been used for long, and reap who became our child."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
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


def _open_ends(*, is_template: bool = False) -> tuple[Ends, list[int]]:
    """Return the node's ends, and the sandbox's: control, channel, output, and orders, if any."""
    control, control_inside = messages.pair()
    channel, channel_inside = socket.socketpair()
    output, output_inside = os.pipe()
    with contextlib.suppress(OSError):
        import fcntl

        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _OUTPUT_PIPE_BYTES)
    ours = Ends(control.detach(), channel.detach(), output)
    theirs = [control_inside.detach(), channel_inside.detach(), output_inside]
    if is_template:
        orders, orders_inside = messages.pair()
        ours.orders = orders.detach()
        theirs.append(orders_inside.detach())
    return ours, theirs


def _as_message(kind: Kind) -> dict[str, Any]:
    return {
        "account": kind.account,
        "interpreter": kind.interpreter,
        "python": kind.python,
        "preload": list(kind.preload),
    }
