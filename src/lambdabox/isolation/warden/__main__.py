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
from lambdabox.isolation.warden.boot import boot  # likewise


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    node = socket.socket(fileno=settings["descriptor"])
    node.set_inheritable(False)
    is_root = os.geteuid() == 0
    # Ctrl-C in a terminal reaches the whole group; the node decides when the warden ends.
    os.setsid()
    os.umask(0o022)
    try:
        _separate(is_root)
    except OSError as exc:
        messages.send(node, {"error": f"{exc}"})
        return
    pid = os.fork()
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        boot(node, settings, is_root=is_root)
        return
    node.close()
    os.waitpid(pid, 0)


def _separate(is_root: bool) -> None:
    user, group = os.geteuid(), os.getegid()
    if not is_root:
        linux.unshare(linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)


if __name__ == "__main__":
    main()
