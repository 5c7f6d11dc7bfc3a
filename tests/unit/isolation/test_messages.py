"""Messages between the processes of a sandbox, some of them from liars."""

import json
import os
import socket
from collections.abc import Iterator

import pytest

from lambdabox.isolation.guest import messages

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    one, other = messages.pair()
    with one, other:
        yield one, other


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_message_arrives_with_its_descriptors(ends: Pair) -> None:
    with open(os.devnull) as file:
        messages.send(ends[0], {"a": 1}, [file.fileno()])
    message, [descriptor] = messages.receive(ends[1])
    assert message == {"a": 1}
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="half an object"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="deeper than the stack"),
        pytest.param(json.dumps({"a": 1}).encode() + b"x", id="more than an object"),
    ],
)
def test_descriptors_of_what_is_no_message_are_closed(ends: Pair, data: bytes) -> None:
    before = open_descriptors()
    with open(os.devnull) as file:
        socket.send_fds(ends[0], [data], [file.fileno()] * 5)
    with pytest.raises(ValueError, match="no message"):
        messages.receive(ends[1])
    assert open_descriptors() == before


def test_an_empty_message_with_descriptors_leaves_none_open(ends: Pair) -> None:
    before = open_descriptors()
    with open(os.devnull) as file:
        socket.send_fds(ends[0], [b""], [file.fileno()])
    with pytest.raises(messages.Closed):
        messages.receive(ends[1])
    assert open_descriptors() == before
