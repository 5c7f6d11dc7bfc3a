"""What sandboxes are made of: control groups, networks, users, files, and the ends of pipes."""

import contextlib
import fcntl
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lambdabox.isolation.guest import linux, messages
from lambdabox.isolation.warden.cgroups import Cgroup, Cgroups
from lambdabox.isolation.warden.network import NetworkError, NetworkPool
from lambdabox.isolation.warden.orders import Orders
from lambdabox.isolation.warden.sandboxes import NOBODY, Attacher, Ends, Sandbox, close_all
from lambdabox.isolation.warden.users import Users
from lambdabox.isolation.warden.view import View
from lambdabox.isolation.warden.volumes import Volume, Volumes

_OUTPUT_PIPE_BYTES = 1024 * 1024


@dataclass(slots=True)
class Workshop:
    cgroups: Cgroups
    network: NetworkPool
    volumes: Volumes
    users: Users
    attacher: Attacher
    orders: Orders
    view: Callable[[str | None], View]
    packages: str
    is_root: bool
    _held: dict[str, Volume] = field(default_factory=dict)
    """The /tmp of each environment, by its name."""
    _attached: Counter[str] = field(default_factory=Counter)
    """How many sandboxes may still write to each."""
    _number: int = 0

    def make(
        self, *, is_template: bool = False, rehearses: bool = True
    ) -> tuple[Sandbox, list[int], dict[str, Any]]:
        """Return a sandbox to be, its side's descriptors, and the order for its fork server.

        The descriptors are the caller's to close. Raises OSError or NetworkError.
        """
        self._number += 1
        with contextlib.ExitStack() as on_failure:
            user = self.users.take()
            on_failure.callback(self.users.give_back, user)
            slot = self.network.take()
            on_failure.callback(self.network.give_back, slot)
            cgroup, attach = self._group(on_failure)
            networks = [] if slot.namespace is None else [os.dup(slot.namespace.descriptor)]
            on_failure.callback(close_all, networks)
            ours, theirs = _open_ends(is_template=is_template)
            on_failure.pop_all()
        order = {
            "spawn": self._number,
            "uids": self.users.ids(user),
            "gids": self.users.ids(user),
            "cgroups": len(attach),
            "network": bool(networks),
            "template": is_template,
            "rehearse": rehearses,
        }
        sandbox = Sandbox(self._number, user, cgroup, slot, ours)
        return sandbox, [*theirs, *attach, *networks], order

    def make_clone(
        self, order: dict[str, Any], template: Sandbox
    ) -> tuple[Sandbox, list[int], dict[str, Any]]:
        """Return a clone to be, descriptors for the node and for its nursery, and what they are.

        The descriptors are the caller's to close. Raises OSError.
        """
        self._number += 1
        with contextlib.ExitStack() as on_failure:
            cgroup, attach = self._group(on_failure)
            if cgroup is None:
                raise OSError("there are no control groups that could hold a clone")
            cgroup.limit(order["memory_mib"])
            held = cgroup.node_descriptors()
            on_failure.callback(close_all, held.values())
            scratch = self.scratch(order, template)
            on_failure.callback(os.close, scratch)
            ours, theirs = _open_ends()
            on_failure.pop_all()
        # Its template's users are its own, for its memory came from there.
        clone = Sandbox(self._number, NOBODY, cgroup, None, None)
        answer = {"sandbox": clone.number, "cgroup": list(held), "clone": len(attach)}
        given = [*ours.descriptors, *held.values(), *theirs, scratch, *attach]
        return clone, given, answer

    def _group(self, on_failure: contextlib.ExitStack) -> tuple[Cgroup | None, list[int]]:
        """Return a new control group, if there are any, and what lets a process into it."""
        cgroup = self.cgroups.create(str(self._number))
        if cgroup is None:
            return None, []
        on_failure.callback(self.cgroups.discard, cgroup)
        attach = cgroup.attach_descriptors()
        on_failure.callback(close_all, attach)
        return cgroup, attach

    def furnish(self, sandbox: Sandbox, order: dict[str, Any]) -> None:
        """Show a sandbox a function's files. Raises OSError."""
        trees = {}
        try:
            trees["/var/task"] = self.attacher.tree(order["code"])
            layers = self.attacher.stack(order["layers"])
            if layers is not None:
                trees["/opt"] = layers
            trees["/tmp"] = self.scratch(order, sandbox)  # noqa: S108  # inside
            sandbox.volume = order["volume"]
        except BaseException:
            close_all(trees.values())
            raise
        self.attacher.attach(sandbox, trees)
        if sandbox.cgroup is not None:
            sandbox.cgroup.limit(int(order["memory_mib"]))

    def scratch(self, order: dict[str, Any], owner: Sandbox) -> int:
        """Return a detached mount of an environment's /tmp, whose files are `owner`'s user's."""
        name = order["volume"]
        if name not in self._held:
            self._held[name] = self.volumes.take(int(order["storage_mib"]))
        scratch = self._held[name].clone()
        if self.is_root:
            # What a sandbox writes belongs to the next one of its environment, too.
            try:
                linux.map_mount_ids(scratch, owner.users)
            except OSError:
                os.close(scratch)
                raise
        self._attached[name] += 1
        return scratch

    def forget(self, name: str) -> None:
        """Let go of an environment's /tmp."""
        volume = self._held.pop(name, None)
        users = self._attached.pop(name, 0)
        if volume is None:
            return
        if users:  # that do not die yet, or that only their control group knows
            volume.close()
        else:
            self.volumes.give_back(volume)

    def give_back(self, sandbox: Sandbox) -> None:
        """Take back what a sandbox had, once its processes are gone or were never there."""
        sandbox.release()
        if sandbox.volume in self._attached:
            self._attached[sandbox.volume] -= 1
        if sandbox.cgroup is not None:
            self.cgroups.discard(sandbox.cgroup)
        if sandbox.network is not None:
            if sandbox.is_clone:
                self.network.discard(sandbox.network)
            else:
                self.network.give_back(sandbox.network)
        if not sandbox.is_clone:
            self.users.give_back(sandbox.user)

    def refill(self) -> bool:
        """Make a little of what will be needed; return whether more is missing."""
        try:
            self.volumes.refill()
            return self.network.refill()
        except (OSError, NetworkError) as exc:
            # Whoever needs it will be told. Those who have what they need must not suffer.
            print(f"lambdabox: nothing can be made ahead: {exc}", file=sys.stderr, flush=True)
            return False

    def close(self) -> None:
        for volume in self._held.values():
            volume.close()
        self._held.clear()
        self.volumes.close()
        self.network.close()
        self.cgroups.close()


def _open_ends(*, is_template: bool = False) -> tuple[Ends, list[int]]:
    """Return the node's ends, and the sandbox's: control, channel, output, and orders, if any."""
    control, control_inside = messages.pair()
    channel, channel_inside = socket.socketpair()
    output, output_inside = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _OUTPUT_PIPE_BYTES)
    ours = Ends(control.detach(), channel.detach(), output)
    theirs = [control_inside.detach(), channel_inside.detach(), output_inside]
    if is_template:
        orders, orders_inside = messages.pair()
        ours.orders = orders.detach()
        theirs.append(orders_inside.detach())
    return ours, theirs
