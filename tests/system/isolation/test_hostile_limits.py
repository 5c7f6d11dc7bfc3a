"""Functions that take all they can get, or never give it back."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.attacks import TRY, Attack, at_rest
from support.functions import ECHO, eventually, invoke
from support.node import Node
from support.processes import memory_kib
from support.traces import inmates_of

Make = Callable[..., str]
MOST_PROCESSES = 1024


def survives(client: Any, make: Make) -> None:
    """The node serves others as before."""
    assert invoke(client, make(ECHO), {"still": "here"}).value == {"still": "here"}


def test_a_fork_bomb_stays_small_and_ends_with_its_timeout(
    make: Make, client: Any, data_dir: Path
) -> None:
    name = make(
        """
import os, time
def handler(event, context):
    print("bombing", flush=True)
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.05)
""",
        Timeout=3,
        MemorySize=512,
    )
    result = invoke(client, name, LogType="Tail")
    assert b"Sandbox.Timedout" in result.payload
    survives(client, make)
    assert eventually(lambda: len(inmates_of(data_dir)) < 20 or None)


def test_processes_and_threads_are_counted_together(attack: Attack) -> None:
    source = f"""{TRY}
import signal, threading
def attack():
    stop, threads, children = threading.Event(), 0, []
    try:
        while threads < 900:
            threading.Thread(target=stop.wait, daemon=True).start()
            threads += 1
        while True:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except OSError as exc:
        reason = errno.errorcode[exc.errno]
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    stop.set()
    return [threads, len(children), reason]
"""
    threads, children, reason = attack(source, MemorySize=3008)
    assert threads == 900
    assert reason == "EAGAIN"
    assert threads + children in range(MOST_PROCESSES - 40, MOST_PROCESSES + 1)


def test_a_thread_bomb_stops_at_the_limit(attack: Attack) -> None:
    source = """
import threading
def attack():
    stop, count = threading.Event(), 0
    threading.stack_size(65536)
    try:
        while count < 5000:
            threading.Thread(target=stop.wait).start()
            count += 1
    except RuntimeError:
        pass
    stop.set()
    return count
"""
    assert attack(source, MemorySize=1024) in range(MOST_PROCESSES - 40, MOST_PROCESSES + 1)


def test_a_memory_bomb_is_killed_and_reported_as_aws_does(make: Make, client: Any) -> None:
    name = make(
        "def handler(event, context):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n",
        MemorySize=128,
    )
    result = invoke(client, name, LogType="Tail")
    assert result.error == "Unhandled"
    assert result.value["errorType"] == "Runtime.OutOfMemory"
    assert "signal: killed" in result.value["errorMessage"]
    assert "Max Memory Used: 128 MB" in result.log
    survives(client, make)


def test_memory_of_children_and_of_shared_files_counts_too(make: Make, client: Any) -> None:
    name = make(
        """
import os
def handler(event, context):
    descriptor = os.memfd_create("hidden")
    for _ in range(4):
        if os.fork() == 0:
            for _ in range(1 << 12):
                os.write(descriptor, bytes(1 << 20))
            os._exit(0)
    while True:
        os.waitpid(-1, 0)
""",
        MemorySize=128,
        Timeout=3,
    )
    assert invoke(client, name).error == "Unhandled"
    survives(client, make)


def test_tmp_holds_what_was_asked_for_and_no_more(attack: Attack) -> None:
    source = f"""{TRY}
def attack():
    written, block = 0, bytes(1 << 20)
    try:
        with open("/tmp/fill", "wb", buffering=0) as file:
            while written < 2048:
                file.write(block)
                written += 1
    except OSError as exc:
        reason = errno.errorcode[exc.errno]
    os.unlink("/tmp/fill")
    with open("/tmp/again", "wb") as file:
        file.write(block)
    return [written, reason]
"""
    written, reason = attack(source, MemorySize=1024, EphemeralStorage={"Size": 512}, Timeout=60)
    assert reason == "ENOSPC"
    assert 500 <= written <= 520


def test_a_million_small_files_do_not_fit(attack: Attack) -> None:
    source = f"""{TRY}
def attack():
    count = 0
    try:
        while count < 60_000:
            os.symlink("x" * 50, "/tmp/%d" % count)
            count += 1
    except OSError as exc:
        return errno.errorcode[exc.errno]
    return None
"""
    assert attack(source, MemorySize=1024, Timeout=60) in (None, "ENOSPC", "EDQUOT")


def test_there_is_no_shared_memory_beside_tmp(attack: Attack) -> None:
    source = f"""{TRY}
def attack():
    return [refusal(open, "/dev/shm/x", "w"), refusal(os.mkdir, "/dev/shm"),
            refusal(open, "/dev/x", "w"), refusal(os.mkdir, "/dev/mqueue")]
"""
    assert None not in attack(source)


def test_file_descriptors_run_out_at_1024(attack: Attack) -> None:
    source = f"""{TRY}
import resource
def attack():
    opened = []
    try:
        while len(opened) < 5000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as exc:
        reason = errno.errorcode[exc.errno]
    for descriptor in opened:
        os.close(descriptor)
    raising = None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    except ValueError:
        raising = "refused"
    return [max(opened), reason, raising]
"""
    assert attack(source) == [1023, "EMFILE", "refused"]


def test_an_endless_output_costs_the_node_no_memory(
    make: Make, client: Any, hostile_node: Node
) -> None:
    name = make(
        """
import os
def handler(event, context):
    line = b"x" * 1023 + b"\\n"
    block = line * 64
    endless = b"y" * 65536
    while True:
        os.write(1, endless if event else block)
""",
        Timeout=2,
    )
    before = memory_kib(hostile_node.pid)
    for without_lines in (False, True):
        result = invoke(client, name, without_lines)
        assert b"Sandbox.Timedout" in result.payload
        survives(client, make)
    # The journal keeps 64 MiB of it at most, and copies of the batch that it writes.
    assert memory_kib(hostile_node.pid) - before < 256 * 1024


def test_a_response_that_never_ends_is_ended(make: Make, client: Any, hostile_node: Node) -> None:
    name = make(
        """
import os, struct, time
def handler(event, context):
    if event == "long":
        return "x" * (7 << 20)
    # The header of a frame that promises 5 MB, of which a byte comes now and then.
    os.write(3, struct.pack("!IB", 5 << 20, ord("R")))
    while True:
        os.write(3, b"x")
        time.sleep(0.01)
""",
        Timeout=2,
    )
    before = memory_kib(hostile_node.pid)
    assert b"Sandbox.Timedout" in invoke(client, name, "slow").payload
    long = invoke(client, name, "long")
    assert long.error == "Unhandled"
    assert b"ResponseSizeTooLarge" in long.payload
    assert memory_kib(hostile_node.pid) - before < 60 * 1024


def test_who_ignores_sigterm_is_ended_all_the_same(make: Make, client: Any, data_dir: Path) -> None:
    name = make(
        """
import os, signal
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
if os.fork() == 0:
    os.setsid()
    while True:
        signal.pause()
def handler(event, context):
    return os.getpid()
""",
    )
    assert isinstance(invoke(client, name).value, int)
    client.delete_function(FunctionName=name)
    assert eventually(lambda: not at_rest(data_dir) or None)


def test_background_threads_stand_still_between_events(make: Make, client: Any) -> None:
    name = make(
        """
import threading, time
ticks = 0
def tick():
    global ticks
    while True:
        time.sleep(0.005)
        ticks += 1
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    first = ticks
    if event:
        while ticks < first + 3:
            time.sleep(0.005)
    return ticks
"""
    )
    before = invoke(client, name, True).value
    assert before >= 3
    time.sleep(1)  # what is measured is that time passes for everyone but the function
    assert invoke(client, name, False).value - before < 60


@pytest.mark.parametrize("memory", [128, 1024])
def test_a_busy_loop_gets_its_share_and_no_more(make: Make, client: Any, memory: int) -> None:
    name = make(
        """
import time
def handler(event, context):
    end = time.monotonic() + 1
    before = time.process_time()
    while time.monotonic() < end:
        pass
    return time.process_time() - before
""",
        MemorySize=memory,
    )
    invoke(client, name)
    share = memory / 1769
    assert invoke(client, name).value < share * 1.3 + 0.05


def test_the_report_is_one_line_per_event_however_much_is_printed(make: Make, client: Any) -> None:
    name = make(
        "def handler(event, context):\n"
        "    print('REPORT RequestId: ' + context.aws_request_id + '\\tDuration: 0 ms')\n"
        "    print('END RequestId: x\\x00\\x1b[2J' + 'z' * 300_000)\n"
    )
    result = invoke(client, name, LogType="Tail")
    assert result.error is None
    assert re.search(r"REPORT RequestId: \S+\tDuration: [0-9.]+ ms\tBilled", result.log)
