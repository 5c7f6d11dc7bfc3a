"""Start the warden: `python -I -S …/warden CONFIGURATION`, with the node's socket inherited.

Two processes: the first only waits, so that the second can be process 1 of a process
namespace of its own. When that one ends, however it ends, the kernel ends every process it
has made, and with them their namespaces and mounts.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from lambdabox.isolation.guest import linux, messages  # after the path is set
from lambdabox.isolation.warden import trial, users  # likewise
from lambdabox.isolation.warden.boot import boot


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    node = socket.socket(fileno=settings["descriptor"])
    node.set_inheritable(False)
    # Root in a container that maps few users is an ordinary user as far as sandboxes go.
    is_root = os.geteuid() == 0 and users.can_be_given(users.base_of(Path(settings["data"])))
    # Ctrl-C in a terminal reaches the whole group; the node decides when the warden ends.
    os.setsid()
    os.umask(0o022)
    try:
        trial.separate(is_root=is_root, leaves_network=settings["network"] == "isolated")
    except trial.RefusedError as exc:
        messages.send(node, {"error": str(exc)})
        return
    pid = os.fork()
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        boot(node, settings, is_root=is_root)
        return
    node.close()
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
