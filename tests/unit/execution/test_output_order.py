"""What was printed before an answer is in the log before its END, without trying the pipe."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from lambdabox.execution.output import CHUNK, OutputReader

ROUNDS = 2_000


class KeptLog:
    def __init__(self) -> None:
        self.taken = b""

    def output(self, chunk: bytes) -> None:
        self.taken += chunk

    def flush(self) -> None:
        pass


def print_and_answer(output: int, channel: socket.socket, sizes: list[int]) -> None:
    """A sandbox: each event is printed about, then answered."""
    for number, size in enumerate(sizes):
        channel.recv(1)
        text = b"%d " % number
        os.write(output, text)
        if size:
            os.write(output, text * (size // len(text)))
        channel.send(b"a")


async def converse(sizes: list[int]) -> None:
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    node, sandbox = socket.socketpair()
    node.setblocking(False)
    log = KeptLog()
    reader = OutputReader(read_end, cast(Any, log))
    finished: asyncio.Future[bytes] = loop.create_future()

    def finish() -> None:
        reader.finish()
        finished.set_result(log.taken)

    def answered() -> None:
        node.recv(1)
        loop.call_soon(finish)

    loop.add_reader(node, answered)
    thread = threading.Thread(target=print_and_answer, args=(write_end, sandbox, sizes))
    thread.start()
    try:
        for number, size in enumerate(sizes):
            log.taken, finished = b"", loop.create_future()
            node.send(b"e")
            text = b"%d " % number
            assert await finished == text + text * (size // len(text))
    finally:
        loop.remove_reader(node)
        reader.close()
        sandbox.shutdown(socket.SHUT_RDWR)
        thread.join()
        for end in (node, sandbox):
            end.close()
        for descriptor in (read_end, write_end):
            os.close(descriptor)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("sizes", [[0] * ROUNDS, [5_000, CHUNK - 100] * 50])
def test_what_was_printed_before_an_answer_is_taken_in_by_the_next_turn(
    new_loop: Callable[[], asyncio.AbstractEventLoop], sizes: list[int]
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(converse(sizes))
