"""The warden's end of its socket to the node: what cannot leave at once leaves later.

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

import os
import socket
from collections import deque
from typing import Any

from lambdabox.isolation.guest import messages


class NodeLink:
    """Owns what waits to be sent, not the socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._unsent: deque[tuple[dict[str, Any], list[int]]] = deque()

    @property
    def is_behind(self) -> bool:
        """Whether something waits until the node has read more."""
        return bool(self._unsent)

    def tell(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        """Send, now or later. The descriptors stay yours. Raises messages.Closed, OSError."""
        if not self._unsent:
            try:
                messages.send(self.connection, message, descriptors)
            except BlockingIOError:
                pass
            else:
                return
        self._unsent.append((message, _copies(descriptors or [])))

    def send_rest(self) -> None:
        while self._unsent:
            message, descriptors = self._unsent[0]
            try:
                messages.send(self.connection, message, descriptors)
            except BlockingIOError:
                return
            self._unsent.popleft()
            for descriptor in descriptors:
                os.close(descriptor)

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """Return what the node asks next. Raises BlockingIOError or messages.Closed."""
        return messages.receive(self.connection)


def _copies(descriptors: list[int]) -> list[int]:
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return copies
