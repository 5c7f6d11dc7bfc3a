"""Functions that look for a way out of their sandbox: files, processes, the kernel's calls."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.attacks import TRY, Attack
from support.functions import invoke
from support.node import Node

from lambdabox.isolation.guest.syscall_numbers import NUMBERS

CALLS = NUMBERS[os.uname().machine]
NOBODY = 65_534
ABSENT = (None, "ENOENT", "ENOTDIR", "EACCES", "EPERM")

REFUSED_CALLS = """
    mount umount2 pivot_root chroot unshare setns bpf keyctl add_key request_key ptrace
    perf_event_open open_by_handle_at name_to_handle_at open_tree move_mount fsopen init_module
    kexec_load reboot swapon userfaultfd pidfd_getfd kcmp
"""


def test_process_1_is_neither_seen_nor_reached(attack: Attack) -> None:
    source = f"""{TRY}
import signal
def attack():
    return {{
        "listed": "1" in os.listdir("/proc"),
        "files": [
            refusal(open, "/proc/1/" + name, "rb")
            for name in ("cmdline", "environ", "maps", "mem", "status", "mountinfo")
        ],
        "links": [
            refusal(os.listdir, "/proc/1/root/"), refusal(os.readlink, "/proc/1/exe"),
            refusal(os.listdir, "/proc/1/fd"), refusal(os.readlink, "/proc/1/ns/user"),
        ],
        "signals": [refusal(os.kill, 1, number) for number in (9, 15, 19, 18, 2)],
        "pidfd": refusal(lambda: signal.pidfd_send_signal(os.pidfd_open(1), 9)),
        "ptrace": told({CALLS["ptrace"]}, 16, 1, 0, 0),
        "memory": told({CALLS["process_vm_readv"]}, 1, 0, 0, 0, 0, 0),
    }}
"""
    found = attack(source)
    assert found["listed"] is False
    assert set(found["files"]) == {"ENOENT"}
    assert set(found["links"]) == {"ENOENT"}
    assert found["signals"] == ["EPERM"] * 5
    assert found["pidfd"] == "EPERM"
    assert (found["ptrace"], found["memory"]) == ("EPERM", "EPERM")


def test_no_process_of_the_machine_can_be_signalled(attack: Attack) -> None:
    numbers = [os.getpid(), os.getppid(), *range(3, 300)]
    source = f"""{TRY}
def attack():
    own = os.getpid()
    return sorted({{str(refusal(os.kill, pid, 0)) for pid in {numbers} if pid != own}})
"""
    assert attack(source) == ["ESRCH"]
    source = f"""{TRY}
import signal
def attack():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Everybody who may be signalled at all: nobody but oneself, who ignores it.
    return [refusal(os.kill, -1, 15), refusal(os.kill, 0, 15)]
"""
    assert attack(source) in ([None, None], ["ESRCH", None])


def test_nothing_of_the_host_can_be_named(attack: Attack, data_dir: Path, tmp_path: Path) -> None:
    secret = secrets.token_hex()
    (tmp_path / "secret").write_text(secret)
    paths = [
        "/etc/shadow", "/root", "/home", "/var/lib", "/var/log", "/var/run", "/run", "/boot",
        "/mnt", "/media", "/srv", "/sys", "/work", "/etc/ssh", "/etc/machine-id", "/var/spool",
        "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/loop0", "/dev/loop-control",
        "/dev/fuse", "/dev/net", "/dev/kvm", "/dev/ptmx", "/dev/pts", "/dev/shm", "/dev/mqueue",
        str(data_dir), str(data_dir / "state.db"), str(tmp_path / "secret"), str(Path(__file__)),
    ]  # fmt: skip
    source = f"""{TRY}
import stat
def attack():
    devices = sorted(os.listdir("/dev"))
    # A way up from every directory that leads somewhere else, by name and by descriptor.
    ups = {{os.path.realpath("../" * 40), os.path.realpath("/proc/self/root/../..")}}
    for name in ("/var/task", "/tmp", "/opt", "/usr", "/proc"):
        os.chdir(name + "/../../../..")
        ups.add(os.getcwd())
    return {{
        "visible": [path for path in {paths} if os.path.lexists(path)],
        "devices": devices, "ups": sorted(ups), "top": sorted(os.listdir("/")),
        "masked": {{name: len(open("/proc/" + name, "rb").read(10)) for name in
                   ("kcore", "keys", "timer_list", "interrupts", "kallsyms", "modules")
                   if os.path.exists("/proc/" + name)}},
    }}
"""
    found = attack(source)
    assert found["visible"] == []
    assert found["ups"] == ["/"]
    assert set(found["devices"]) <= {
        "fd", "full", "null", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    }  # fmt: skip
    assert set(found["top"]) <= {
        "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin", "tmp",
        "usr", "var",
    }  # fmt: skip
    assert set(found["masked"].values()) == {0}


def test_tmp_is_the_only_place_to_write(attack: Attack) -> None:
    source = f"""{TRY}
def attack():
    written = []
    for place, names, files in os.walk("/", followlinks=False):
        if place.startswith("/proc") or place.startswith("/usr/") and place.count("/") > 3:
            names[:] = []
            continue
        if refusal(lambda: os.close(os.open(place + "/mine", os.O_CREAT | os.O_WRONLY))) is None:
            written.append(place)
    def overwrite(name):
        with open(name, "r+b", buffering=0) as file:
            file.write(b"0 0 1")
    switches = [
        refusal(overwrite, name) for name in (
            "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness",
            "/proc/sys/net/ipv4/ip_forward", "/proc/self/setgroups", "/proc/self/uid_map",
            "/proc/sys/kernel/ns_last_pid", "/var/task/app.py", "/etc/passwd", "/usr/bin/env",
        )
    ]
    return {{"written": written, "switches": switches}}
"""
    found = attack(source)
    assert found["written"] == ["/tmp"]
    assert None not in found["switches"]


def test_calls_that_lead_out_are_refused(attack: Attack) -> None:
    refused = {name: CALLS[name] for name in REFUSED_CALLS.split()}
    source = f"""{TRY}
import socket
def attack():
    kinds = (socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_PACKET, socket.SOCK_RAW, 0), (
        socket.AF_INET6, socket.SOCK_RAW, 58), (socket.AF_NETLINK, socket.SOCK_RAW, 12), (
        socket.AF_VSOCK, socket.SOCK_STREAM, 0), (socket.AF_ALG, socket.SOCK_SEQPACKET, 0)
    os.mkdir("/tmp/jail")
    return {{
        "calls": {{name: told(number, 0, 0, 0, 0, 0)
                  for name, number in { ({name: CALLS[name] for name in refused}) }.items()}},
        "chroot": refusal(os.chroot, "/tmp/jail"),
        "sockets": [refusal(socket.socket, *kind) for kind in kinds],
        "namespaces": told({CALLS["clone"]}, 0x10000000 | 17, 0, 0, 0, 0),
        "clone3": told({CALLS["clone3"]}, 0, 0),
        "root": [refusal(os.setuid, 0), refusal(os.setgid, 0), refusal(os.setgroups, [0])],
        "device": refusal(os.mknod, "/tmp/sda", 0o60666, os.makedev(8, 0)),
        "status": open("/proc/self/status").read(),
    }}
"""
    found = attack(source)
    assert set(found["calls"].values()) == {"EPERM"}, found["calls"]
    assert found["chroot"] == "EPERM"
    assert None not in found["sockets"]
    assert found["namespaces"] == "EPERM"
    assert found["clone3"] == "ENOSYS"
    assert found["root"] == ["EPERM"] * 3
    assert found["device"] == "EPERM"
    status = dict(line.split(":\t") for line in found["status"].splitlines())
    assert {status[key].strip("0") for key in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {""}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_only_its_own_descriptors_and_environment_are_there(attack: Attack) -> None:
    source = f"""{TRY}
def attack():
    kinds = {{}}
    for name in os.listdir("/proc/self/fd"):
        if refusal(os.readlink, "/proc/self/fd/" + name) is None:
            kinds[name] = os.readlink("/proc/self/fd/" + name)
    return {{
        "descriptors": kinds,
        "environment": dict(os.environ),
        "initial": open("/proc/self/environ").read(),
        "command": open("/proc/self/cmdline").read(),
    }}
"""
    found = attack(source)
    # Nothing at all, its output (which the bootstrap has a copy of), and its channel.
    targets = found["descriptors"]
    assert (targets["0"], targets["1"][:6], targets["3"][:8]) == ("/dev/null", "pipe:[", "socket:[")
    assert set(targets.values()) == {targets["0"], targets["1"], targets["3"]}
    text = found["initial"] + found["command"] + str(found["environment"])
    assert str(Path.home()) + "/" not in text
    assert "LAMBDABOX_DATA" not in text
    assert os.environ["PATH"] not in found["initial"]


def test_another_functions_code_and_tmp_are_out_of_reach(
    make: Callable[..., str], client: Any, hostile_node: Node
) -> None:
    secret = secrets.token_hex()
    keeper = make(f"""
import os
CODE = "{secret}-code"
def handler(event, context):
    with open("/tmp/secret", "w") as file:
        file.write("{secret}-tmp")
    os.chmod("/tmp/secret", 0o666)
    return os.listdir("/tmp")
""")
    assert invoke(client, keeper).value == ["secret"]
    thief = make()
    source = f"""
import os
def attack():
    found = []
    for place, names, files in os.walk("/", onerror=lambda exc: None):
        if place.startswith(("/usr", "/proc/sys", "/lib", "/var/lang", "/var/runtime")):
            names[:] = []
            continue
        for name in files:
            path = os.path.join(place, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                    with open(path, "rb") as file:
                        if b"{secret}"[:20] in file.read(1 << 20):
                            found.append(path)
            except OSError:
                pass
    return {{"found": found, "tmp": os.listdir("/tmp"), "task": os.listdir("/var/task")}}
"""
    # The attacker's own event holds the secret, in memory only.
    found = invoke(client, thief, source).value
    assert found == {"found": [], "tmp": [], "task": ["app.py"]}


def test_a_link_to_the_host_leads_nowhere(attack: Attack, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("the host's")
    source = f"""{TRY}
def attack():
    os.symlink({str(target)!r}, "/tmp/link")
    os.symlink("/", "/tmp/top")
    return [refusal(open, "/tmp/link"), refusal(open, "/tmp/top" + {str(target)!r})]
"""
    assert attack(source) == ["ENOENT", "ENOENT"]


def test_a_crash_runs_nothing_on_the_host_and_leaves_no_core(
    make: Callable[..., str], client: Any, data_dir: Path
) -> None:
    name = make("import os, resource\ndef handler(event, context):\n    os.abort()\n")
    result = invoke(client, name)
    assert result.error == "Unhandled"
    assert b"Runtime.ExitError" in result.payload
    assert not [path for path in data_dir.rglob("core*") if path.is_file()]
