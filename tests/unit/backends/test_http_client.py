"""Requests that stream, against servers that behave and servers that do not."""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.lowlevel
import pytest

from lambdabox.backends import http_client
from lambdabox.backends.http_client import HttpError, request

pytestmark = pytest.mark.anyio

Talk = Callable[[socket.socket], None]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def server(talk: Talk) -> Iterator[str]:
    """A server for one connection, which `talk` has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def read_head(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1_000)
    return received


def read_all(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        received += connection.recv(100_000)
    return received


def answering(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)

    return talk


async def answer_of(
    url: str,
    body: AsyncIterator[bytes] | bytes = b"",
    *,
    method: str = "GET",
    headers: http_client.Headers = (),
) -> tuple[int, dict[bytes, bytes], bytes]:
    async with request(url, method, b"/a%20b?c=d", headers, body) as answer:
        content = b"".join([chunk async for chunk in answer.body])
        return answer.status, dict(answer.headers), content


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b""),
    ],
)
async def test_answers_of_every_framing_are_read(answer: bytes, content: bytes) -> None:
    with server(answering(answer)) as url:
        status, _, found = await answer_of(url)
    assert (status in (200, 204, 304), found) == (True, content)


async def test_the_answer_to_head_has_no_body() -> None:
    with server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as url:
        status, headers, content = await answer_of(url, method="HEAD")
    assert (status, headers[b"content-length"], content) == (200, b"5", b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    with server(answering(answer)) as url, pytest.raises(HttpError):
        await answer_of(url)


async def test_headers_without_end_are_an_error() -> None:
    def talk(connection: socket.socket) -> None:
        read_head(connection)
        with suppress(OSError):  # given up
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000_000)

    with server(talk) as url, pytest.raises(HttpError):
        await answer_of(url)


async def test_whoever_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "SILENCE_SECONDS", 0.05)

    def talk(connection: socket.socket) -> None:
        while connection.recv(1_000):
            pass

    with server(talk) as url, pytest.raises(HttpError, match="nothing arrived"):
        await answer_of(url)


async def test_nobody_there_is_an_error_that_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(HttpError, match=f"{url} cannot be reached"):
        await answer_of(url)


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk


async def test_a_request_is_sent_as_it_is() -> None:
    received: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        received.append(read_all(connection, b"body"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    headers = [(b"host", b"bucket.localhost"), (b"x-a", b"1"), (b"content-length", b"4")]
    for body in (b"body", chunks(b"bo", b"", b"dy")):
        with server(talk) as url:
            await answer_of(url, body, method="PUT", headers=headers)
    sent = (
        b"PUT /a%20b?c=d HTTP/1.1\r\nhost: bucket.localhost\r\nx-a: 1\r\ncontent-length: 4\r\n"
        b"connection: close\r\n\r\nbody"
    )
    assert received == [sent, sent]


async def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    received: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        received.append(read_all(connection, b"0\r\n\r\n"))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(talk) as url:
        await answer_of(url, chunks(b"bo", b"", b"dy" * 10), method="PUT")
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"2\r\nbo\r\n14\r\n" + b"dy" * 10 + b"\r\n0\r\n\r\n"


async def test_an_answer_before_the_end_of_the_body_is_read() -> None:
    """A refusal of a long upload: nobody reads the rest, and nobody waits for it."""
    refused = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while not refused.is_set():
            yield bytes(65_536)
            await anyio.lowlevel.checkpoint()

    def talk(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1_000_000):
                pass
        except OSError:
            pass  # given up

    with server(talk) as url:
        status, _, content = await answer_of(url, endless(), method="PUT")
    refused.set()
    assert (status, content) == (413, b"no")


async def test_what_fails_in_the_body_is_raised_as_it_is() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("the client is gone")

    def talk(connection: socket.socket) -> None:
        read_head(connection)
        while connection.recv(1_000):
            pass

    with server(talk) as url, pytest.raises(KeyError):
        await answer_of(url, failing(), method="PUT")


async def test_what_fails_in_the_block_is_raised_as_it_is() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with server(answering(answer)) as url, pytest.raises(KeyError):
        async with request(url, "GET", b"/", [], b""):
            raise KeyError("mine")
