"""The filter on a real kernel: what is refused is refused, and what people run still runs."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from support import confined
from support.programs import needed

from lambdabox.isolation.guest.linux import MACHINE
from lambdabox.isolation.guest.syscall_numbers import NUMBERS
from lambdabox.isolation.guest.syscall_policy import ALLOWED, CHECKED, IGNORED, REFUSED

ASK = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def ask(number, *arguments):
    values = [ctypes.c_ulong(value) for value in (*arguments, *[0] * 6)[:6]]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *values)
    return "OK" if result >= 0 else errno.errorcode[ctypes.get_errno()]
calls = json.loads(sys.argv[1])
print(json.dumps([ask(*call) for call in calls]))
"""


def answers(*calls: tuple[int, ...]) -> list[str]:
    """What a locked down process is told when it makes these calls."""
    out: list[str] = json.loads(confined.run(sys.executable, "-c", ASK, json.dumps(calls)))
    return out


def number(name: str) -> int:
    return NUMBERS[MACHINE][name]


def test_every_refused_call_is_refused() -> None:
    names = [name for names in REFUSED.values() for name in names if name in NUMBERS[MACHINE]]
    told = dict(zip(names, answers(*[(number(name),) for name in names]), strict=True))
    assert told == dict.fromkeys(names, "EPERM")


def test_every_call_without_a_rule_does_not_exist() -> None:
    ruled = set().union(*ALLOWED.values(), *REFUSED.values(), IGNORED, CHECKED)
    names = [name for name in NUMBERS[MACHINE] if name not in ruled]
    told = dict(zip(names, answers(*[(number(name),) for name in names]), strict=True))
    assert told == dict.fromkeys(names, "ENOSYS")


def test_syncing_the_host_does_nothing_and_succeeds() -> None:
    # With a descriptor that does not exist, a real syncfs would fail.
    assert answers((number("syncfs"), 12345), (number("sync"),)) == ["OK", "OK"]


@pytest.mark.parametrize(
    ("call", "arguments", "told"),
    [
        ("clone", (0x10000000 | signal.SIGCHLD,), "EPERM"),
        ("socket", (2, 3, 1), "EPERM"),
        ("socket", (17, 3, 0x300), "EPERM"),
        ("socket", (40, 1, 0), "EAFNOSUPPORT"),
        ("socket", (38, 5, 0), "EAFNOSUPPORT"),
        ("socket", (16, 3, 12), "EPROTONOSUPPORT"),
        ("socket", (16, 3, 0), "OK"),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0xFFFFFFFF_00005412), "EPERM"),
        ("personality", (0x0040000,), "EPERM"),
        ("personality", (0xFFFFFFFF,), "OK"),
        ("prctl", (35,), "EPERM"),
    ],
)
def test_arguments_decide(call: str, arguments: tuple[int, ...], told: str) -> None:
    assert answers((number(call), *arguments)) == [told]


def test_a_process_has_nothing_left_to_give_up() -> None:
    status = confined.run("/bin/cat", "/proc/self/status").splitlines()
    fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert {fields[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {""}
    assert (fields["CapAmb"].strip("0"), fields["NoNewPrivs"], fields["Seccomp"]) == ("", "1", "2")
    # The C library keeps two signals to itself, which nobody can set back.
    assert int(fields["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(fields["SigBlk"], 16) == 0


def test_limits_are_those_of_aws() -> None:
    limits = confined.run("/bin/sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; ulimit -l")
    assert limits.split() == ["1024", "1024", "0", "8192", "64"]


def test_only_standard_descriptors_are_open() -> None:
    assert len(confined.run("/bin/ls", "/proc/self/fd").split()) == 4  # one for the listing


def test_a_32_bit_call_kills() -> None:
    if MACHINE != "x86_64":
        pytest.skip("only x86_64 has another architecture's calls in every process")
    # mov eax, 20 (getpid of i386); int 0x80; ret
    source = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
    run = f"subprocess.run([sys.executable, '-c', {source!r}])"
    ended = confined.run_python(f"import subprocess, sys; print({run}.returncode)")
    assert int(ended) == -signal.SIGSYS


PYTHON = """
import asyncio, mmap, multiprocessing, os, socket, sqlite3, ssl, subprocess, tempfile, threading

def square(number):
    return number * number

async def through_asyncio():
    process = await asyncio.create_subprocess_exec("echo", "asyncio", stdout=subprocess.PIPE)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    assert await reader.read() == b""
    writer.close()
    server.close()
    return (await process.communicate())[0]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(square, range(4)) == [0, 1, 4, 9]
        found = []
        thread = threading.Thread(target=lambda: found.append(1))
        thread.start(); thread.join()
        assert found
        assert asyncio.run(through_asyncio()) == b"asyncio\\n"
        database = sqlite3.connect(f"{directory}/db")
        assert database.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        database.execute("create table t(a)"); database.commit()
        database.close()
        ssl.create_default_context()
        area = mmap.mmap(-1, 1 << 20); area[:2] = b"hi"; area.close()
        os.mkfifo(f"{directory}/fifo")
        assert socket.getaddrinfo("localhost", 80)
        assert "lo" in [name for _, name in socket.if_nameindex()]
        assert subprocess.run("echo a | tr a b", shell=True, capture_output=True).stdout == b"b\\n"
        os.fsync(os.open(f"{directory}/x", os.O_CREAT | os.O_WRONLY))
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        print("works")
"""

NODE = """
const { Worker } = require('worker_threads');
const { execFileSync } = require('child_process');
const crypto = require('crypto'), fs = require('fs'), http = require('http'), os = require('os');
const zlib = require('zlib');
new Worker('require("worker_threads").parentPort.postMessage(7)', { eval: true })
  .on('message', async (seven) => {
    const server = http.createServer((request, response) => response.end('ok'));
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.on('listening', resolve));
    const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
    const text = await answer.text();
    server.close(); server.closeAllConnections();
    const read = await fs.promises.readFile('/proc/self/status');
    const echoed = execFileSync('echo', ['child']).toString();
    const squeezed = zlib.gunzipSync(zlib.gzipSync('zip')).toString();
    await new Promise((resolve) => crypto.pbkdf2('a', 'b', 1000, 8, 'sha256', resolve));
    const seen = [read.length > 0, 'lo' in os.networkInterfaces()];
    console.log(seven, text, echoed.trim(), squeezed, ...seen);
  });
"""

RUBY = """
require 'socket'
require 'tempfile'
server = TCPServer.new('127.0.0.1', 0)
thread = Thread.new { server.accept.tap { |client| client.write('hi'); client.close } }
read = TCPSocket.new('127.0.0.1', server.addr[1]).read
thread.join
Tempfile.create { |file| file.write('x'); file.fsync }
pid = fork { exit!(3) }
Process.wait(pid)
puts read, $?.exitstatus, `echo child`, Socket.getifaddrs.map(&:name).include?('lo')
"""


def test_python_programs_work() -> None:
    assert confined.run_python(PYTHON) == "works\n"


def test_node_programs_work() -> None:
    assert confined.run(needed("node"), "-e", NODE) == "7 ok child zip true true\n"


def test_ruby_programs_work() -> None:
    assert confined.run(needed("ruby"), "-e", RUBY).split() == ["hi", "3", "child", "true"]


def test_shell_scripts_work() -> None:
    script = (
        "set -e; a=$(seq 3 | sort -r | head -1); (sleep 0 & wait); mkfifo /dev/null/x || echo $a"
    )
    assert confined.run("/bin/bash", "-c", script) == "3\n"


def test_the_jvm_works() -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("Java is not installed, and no test setup installs it")
    confined.run(java, "-Xmx64m", "-version")


def test_compiled_programs_work() -> None:
    # Every command of the system is one; this one makes threads and memory as well.
    xz = needed("xz")
    data = confined.run(
        "/bin/sh", "-c", f"seq 200000 | {xz} -T2 --block-size=100000 | {xz} -dc | tail -1"
    )
    assert data == "200000\n"


def test_a_nursery_unshares_only_with_its_secret() -> None:
    confined.need_root()
    source = f"""
{ASK.partition("calls =")[0]}
from lambdabox.isolation.guest import linux, seccomp
secret = seccomp.new_secret(__import__("os").urandom)
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install(seccomp.program(nursery_secret=secret))
unshare, uts = {number("unshare")}, {0x04000000}
tries = [(unshare, uts), (unshare, uts, 0, 0, 0, 0, secret ^ 1), (unshare, uts, 0, 0, 0, 0, secret)]
print(*[ask(*call) for call in tries])
seccomp.install(seccomp.program())
print(ask(*tries[-1]))
"""
    out = subprocess.check_output([sys.executable, "-c", source], text=True)
    assert out == "EPERM EPERM OK\nEPERM\n"


def test_an_unlocked_process_is_not_what_these_tests_see() -> None:
    """Without the lockdown the same questions are answered otherwise."""
    asked = [(number("syncfs"), 12345), (number("personality"), 0xFFFFFFFF), (number("io_setup"),)]
    out = subprocess.check_output([sys.executable, "-c", ASK, json.dumps(asked)], text=True)
    assert json.loads(out) == ["EBADF", "OK", "EFAULT"]
