import itertools
import re
from pathlib import Path

import pytest
from support.bpf import ARCHITECTURES, Call, run, steps

from lambdabox.isolation.guest import seccomp
from lambdabox.isolation.guest.syscall_numbers import NUMBERS
from lambdabox.isolation.guest.syscall_policy import ALLOWED, CHECKED, GATED, IGNORED, REFUSED

MACHINES = sorted(NUMBERS)
SECRET = 0x12_3456_789A_BCDE | 1 << 55
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "security.md"

NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
THREAD = 0x3D0F00
STREAM, DGRAM, RAW, SEQPACKET, DCCP, PACKET = 1, 2, 3, 5, 6, 10
FLAGS = 0o2004000  # SOCK_CLOEXEC and SOCK_NONBLOCK
HIGH = 0xFFFFFFFF_00000000


def ask(machine: str, name: str, *arguments: int, secret: int | None = None) -> str:
    program = seccomp.program(machine, nursery_secret=secret)
    return run(program, Call(NUMBERS[machine][name], ARCHITECTURES[machine], arguments))


def expected(name: str) -> str:
    if any(name in names for names in ALLOWED.values()):
        return "allowed"
    if any(name in names for names in REFUSED.values()):
        return "EPERM"
    return "OK" if name in IGNORED else "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_is_answered_as_the_policy_says(machine: str) -> None:
    program = seccomp.program(machine)
    asked = {name: number for name, number in NUMBERS[machine].items() if name not in CHECKED}
    answers = {
        name: run(program, Call(number, ARCHITECTURES[machine])) for name, number in asked.items()
    }
    assert answers == {name: expected(name) for name in asked}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_number_without_a_name_does_not_exist(machine: str) -> None:
    program = seccomp.program(machine)
    known = set(NUMBERS[machine].values())
    for number in [*set(range(600)) - known, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF]:
        assert run(program, Call(number, ARCHITECTURES[machine])) == "ENOSYS", number


def test_x32_calls_do_not_exist() -> None:
    program = seccomp.program("x86_64")
    for number in range(600):
        call = Call(0x40000000 | number, ARCHITECTURES["x86_64"])
        assert run(program, call) == "ENOSYS", number


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_kill(machine: str) -> None:
    i386, arm = 0x40000003, 0x40000028
    other = next(value for name, value in ARCHITECTURES.items() if name != machine)
    for architecture in (i386, arm, other, 0):
        assert run(seccomp.program(machine), Call(0, architecture)) == "killed"


def test_an_architecture_without_a_table_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no system call filter for riscv64, only for"):
        seccomp.program("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("clone", (THREAD,), "allowed"),
        ("clone", (17,), "allowed"),
        ("clone", (17 | NEWUSER,), "EPERM"),
        ("clone", (THREAD | NEWNS,), "EPERM"),
        ("clone", (NEWPID | HIGH,), "EPERM"),
        ("clone", (NEWNET | NEWUSER | 17,), "EPERM"),
        ("personality", (0xFFFFFFFF,), "allowed"),
        ("personality", (0x20008,), "allowed"),
        ("personality", (0x0040000,), "EPERM"),
        ("personality", (0x0400000,), "EPERM"),
        ("prctl", (15,), "allowed"),
        ("prctl", (35,), "EPERM"),
        ("ioctl", (0, 0x5401), "allowed"),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0x5412 | HIGH), "EPERM"),
        ("ioctl", (0, 0x541C), "EPERM"),
        ("ioctl", (0, 0x541D), "EPERM"),
        ("ioctl", (0, 0x5423), "EPERM"),
        ("ioctl", (0, 0x80086601), "allowed"),
        ("ioctl", (0, 0x40086602), "EPERM"),
        ("ioctl", (0, 0x40806685), "EPERM"),
        ("ioctl", (0, 0x40049409), "allowed"),
        ("ioctl", (0, 0x5421), "allowed"),
        ("socketpair", (1, STREAM), "allowed"),
        ("socketpair", (30, STREAM), "EAFNOSUPPORT"),
    ],
)
def test_a_call_may_depend_on_its_arguments(
    machine: str, name: str, arguments: tuple[int, ...], answer: str
) -> None:
    assert ask(machine, name, *arguments) == answer


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "answer"),
    [
        pytest.param(1, STREAM | FLAGS, 0, "allowed", id="unix"),
        pytest.param(1, SEQPACKET, 0, "allowed", id="unix packets"),
        pytest.param(2, STREAM | FLAGS, 6, "allowed", id="tcp"),
        pytest.param(10, DGRAM, 17, "allowed", id="udp6"),
        pytest.param(2, DGRAM, 1, "allowed", id="ping, for which the kernel has a rule"),
        pytest.param(16, RAW | FLAGS, 0, "allowed", id="netlink route, for getifaddrs"),
        pytest.param(16, RAW, 12, "EPROTONOSUPPORT", id="netlink netfilter"),
        pytest.param(16, DGRAM, 9, "EPROTONOSUPPORT", id="netlink audit"),
        pytest.param(2, RAW, 1, "EPERM", id="raw"),
        pytest.param(10, RAW | FLAGS, 58, "EPERM", id="raw6"),
        pytest.param(17, RAW, 768, "EPERM", id="packet"),
        pytest.param(17, DGRAM, 768, "EAFNOSUPPORT", id="cooked packet"),
        pytest.param(2, PACKET, 0, "EPERM", id="obsolete packet"),
        pytest.param(2, DCCP, 33, "EPERM", id="dccp"),
        pytest.param(2, STREAM, 132, "EPROTONOSUPPORT", id="sctp"),
        pytest.param(2, STREAM, 262, "EPROTONOSUPPORT", id="mptcp, which go probes"),
        pytest.param(40, STREAM, 0, "EAFNOSUPPORT", id="vsock"),
        pytest.param(38, SEQPACKET, 0, "EAFNOSUPPORT", id="kernel crypto"),
        pytest.param(44, RAW, 0, "EPERM", id="xdp"),
        pytest.param(31, SEQPACKET, 0, "EAFNOSUPPORT", id="bluetooth"),
    ],
)
def test_only_ordinary_sockets_can_be_made(
    family: int, kind: int, protocol: int, answer: str
) -> None:
    for machine in MACHINES:
        assert ask(machine, "socket", family, kind, protocol) == answer
        # The kernel looks at 32 bits of each, so what is above them must not matter.
        assert ask(machine, "socket", family | HIGH, kind | HIGH, protocol | HIGH) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_a_nursery_may_do_more_when_it_shows_its_secret(machine: str) -> None:
    for name in GATED:
        assert ask(machine, name, 0, 0, 0, 0, 0, SECRET, secret=SECRET) == "allowed"


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("shown", [0, SECRET ^ 1, SECRET ^ 1 << 55, SECRET & 0xFFFFFFFF])
def test_without_the_whole_secret_a_nursery_is_refused(machine: str, shown: int) -> None:
    for name in GATED:
        assert ask(machine, name, 0, 0, 0, 0, 0, shown, secret=SECRET) == "EPERM"


def test_a_secret_opens_nothing_but_the_gates() -> None:
    for name in itertools.chain.from_iterable(REFUSED.values()):
        if name not in GATED and name in NUMBERS["x86_64"]:
            assert ask("x86_64", name, *[SECRET] * 6, secret=SECRET) == "EPERM"


def test_new_secrets_fill_56_bits() -> None:
    assert seccomp.new_secret(lambda count: b"\0" * count) == 1 << 55
    assert seccomp.new_secret(lambda count: b"\xff" * count) == (1 << 56) - 1


@pytest.mark.parametrize("machine", MACHINES)
def test_the_longest_search_is_short(machine: str) -> None:
    program = seccomp.program(machine)
    calls = [
        Call(number, ARCHITECTURES[machine])
        for name, number in NUMBERS[machine].items()
        if name not in CHECKED
    ]
    assert max(steps(program, call) for call in calls) <= 12


def test_the_policy_names_only_calls_that_exist_and_each_once() -> None:
    groups = [*ALLOWED.values(), *REFUSED.values(), IGNORED, CHECKED]
    named = list(itertools.chain.from_iterable(groups))
    assert sorted(set(named)) == sorted(named)
    assert not set(named) - set().union(*NUMBERS.values())


def test_every_refused_and_every_missing_call_is_explained() -> None:
    text = DOCUMENT.read_text()
    explained = set(re.findall(r"`(\w+)`", text))
    allowed = set().union(*ALLOWED.values())
    assert not set().union(*NUMBERS.values()) - allowed - explained
    assert not [group for group in (*ALLOWED, *REFUSED) if f"| {group} |" not in text]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"{header} comes with the C library's development package")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    ours = NUMBERS[machine]
    common = [(name, int(number)) for name, number in found if name in ours]
    assert len(common) > 300
    assert {name: number for name, number in common if ours[name] != number} == {}
