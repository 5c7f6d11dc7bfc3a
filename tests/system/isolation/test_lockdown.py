"""Each step of the lockdown, done by a process of its own and looked at from inside."""

import json
import subprocess
import sys
from typing import Any

from support import confined

from lambdabox.isolation.guest import lockdown

HEAD = """
import json, os, resource, signal, sys
from lambdabox.isolation.guest import linux, lockdown
def status(*names):
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return [fields[name].strip() for name in names]
"""

# A process alone in a user namespace, where its parent has mapped users 0 and 993.
IN_A_USER_NAMESPACE = """
ask, told = os.pipe()
done, say = os.pipe()
child = os.fork()
if child == 0:
    linux.unshare(linux.CLONE_NEWUSER)
    os.write(told, b"x")
    os.read(done, 1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    body()
    sys.stdout.flush()
    os._exit(0)
os.read(ask, 1)
for name, user in (("uid_map", 993), ("gid_map", 990)):
    with open(f"/proc/{child}/{name}", "w") as file:
        file.write(f"0 100000 1\\n{user} 100001 1\\n")
os.write(say, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def see(source: str) -> Any:
    """Return the JSON that a Python program prints."""
    confined.need_root()
    out = subprocess.check_output([sys.executable, "-c", HEAD + source], text=True)
    return json.loads(out)


def see_in_user_namespace(body: str) -> Any:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return see(f"def body():\n{indented}{IN_A_USER_NAMESPACE}")


def test_init_keeps_what_it_needs_to_start_programs_and_no_more() -> None:
    kept = see_in_user_namespace("""
lockdown.keep_capabilities(lockdown.INIT_CAPABILITIES)
print(json.dumps(status("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")))
""")
    mask = f"{lockdown.INIT_CAPABILITIES:016x}"
    assert kept == [mask, mask, mask, "0" * 16, "0" * 16]


def test_a_program_of_init_is_an_ordinary_user_with_nothing() -> None:
    left = see_in_user_namespace("""
lockdown.keep_capabilities(lockdown.INIT_CAPABILITIES)
lockdown.renounce_root()
lockdown.become(993, 990)
lockdown.lock_down()
groups = os.getgroups()
print(json.dumps([*status("Uid", "Gid", "CapEff", "CapPrm", "CapBnd", "CapAmb"), groups]))
""")
    nothing = "0" * 16
    assert left == [*["\t".join(["993"] * 4), "\t".join(["990"] * 4)], *[nothing] * 4, []]


def test_user_0_without_capabilities_gains_none_by_executing_a_program() -> None:
    seen = see_in_user_namespace("""
lockdown.keep_capabilities(lockdown.INIT_CAPABILITIES)
lockdown.renounce_root()
linux.set_capabilities(0, 0)
script = "sort -u /proc/self/status | grep ^Cap | cut -f2 | uniq | sed 's/.*/\\"&\\"/'"
os.execv("/bin/sh", ["sh", "-c", script])
""")
    assert seen == "0" * 16


def test_renouncing_root_without_the_right_to_fails() -> None:
    told = see_in_user_namespace("""
linux.set_capabilities(0, 0)
try:
    lockdown.renounce_root()
except PermissionError as exc:
    print(json.dumps(str(exc)))
""")
    assert "CAPBSET_DROP" in told


def test_a_lower_hard_limit_stays() -> None:
    limits = see("""
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
lockdown.limit_resources()
print(json.dumps([resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]))
""")
    assert limits == [[100, 100], [0, 0]]


def test_signals_are_as_in_a_new_interpreter() -> None:
    seen = see("""
# Whoever started the tests may ignore some, as `nohup` does.
lockdown.reset_signals()
signal.signal(signal.SIGINT, signal.default_int_handler)
before = [signal.getsignal(number) for number in signal.valid_signals()]
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
lockdown.reset_signals()
after = [signal.getsignal(number) for number in signal.valid_signals()]
print(json.dumps([before == after, status("SigBlk")]))
""")
    assert seen == [True, ["0" * 16]]


def test_every_descriptor_but_those_to_keep_is_closed() -> None:
    seen = see("""
opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
high = os.dup2(opened[0], 900)
lockdown.close_descriptors(keep=(0, 1, 2, opened[3], opened[10]))
print(json.dumps([opened[3], opened[10], sorted(map(int, os.listdir("/proc/self/fd")))]))
""")
    assert seen[2][:3] == [0, 1, 2]
    # The listing itself holds one more, the lowest number that is free.
    assert set(seen[2]) == {0, 1, 2, 3, seen[0], seen[1]}


def test_the_kernel_is_told_whom_to_kill_first() -> None:
    seen = see("""
lockdown.set_oom_score(321)
print(json.dumps(open("/proc/self/oom_score_adj").read().strip()))
""")
    assert seen == "321"
