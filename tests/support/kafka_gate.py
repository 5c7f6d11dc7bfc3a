"""A gate in front of a Kafka cluster that speaks neither TLS nor SASL: it asks for both.

The cluster of `brokers` is librdkafka's own, which lets everybody in, in clear. The gate ends
TLS, asks for a certificate or a password as Kafka does (SaslHandshake, SaslAuthenticate; PLAIN
and SCRAM by RFC 5802), and then passes everything on. The cluster tells clients where it is:
on the way back its port becomes the gate's.
"""

import base64
import hashlib
import hmac
import os
import secrets
import ssl
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketAttribute, TaskStatus
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSAttribute, TLSListener, TLSStream

from support.certificates import Authority, Certificate

_API_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 18, 17, 36
_FAILED, _UNSUPPORTED = 58, 33
_ITERATIONS = 4_096


class Gate:
    """`mechanism` is SASL's, or empty; `asks_for_certificate` makes clients show one."""

    def __init__(
        self,
        cluster: str,
        authority: Authority,
        *,
        mechanism: str = "",
        username: str = "",
        password: str = "",
        asks_for_certificate: bool = False,
    ) -> None:
        host, _, port = cluster.rpartition(":")
        self._cluster = host, int(port)
        self._mechanism = mechanism
        self._username = username
        self._password = password
        self._context = _context(
            authority, authority.issue("broker"), asks_for_certificate=asks_for_certificate
        )
        self._port = 0
        self.admitted: list[str] = []
        """Who came in: names of users, or of certificates."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  # no database
        self._port = port
        task_status.started()
        async with TLSListener(listener, self._context) as guarded:
            await guarded.serve(self._client)

    async def _client(self, stream: TLSStream) -> None:
        ends = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, ValueError)
        async with stream, await anyio.connect_tcp(*self._cluster) as behind:
            with suppress(*ends):
                await self._converse(stream, _Frames(stream), behind)

    async def _converse(
        self, stream: TLSStream, client: "_Frames", raw: anyio.abc.SocketStream
    ) -> None:
        cluster = _Frames(raw)
        if self._mechanism:
            self.admitted.append(await self._ask(client, cluster))
        else:
            shown = stream.extra(TLSAttribute.peer_certificate, None) or {}  # noqa: S610  # as above
            subject: Any = shown.get("subject", ())
            names = [value for part in subject for _, value in part]
            self.admitted.append(",".join(names) or "anonymous")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_back, cluster, client)
            try:
                while True:
                    await cluster.send(await client.receive())
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                tasks.cancel_scope.cancel()

    async def _pass_back(self, cluster: "_Frames", client: "_Frames") -> None:
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            while True:
                await client.send(self._readdressed(await cluster.receive()))

    def _readdressed(self, answer: bytes) -> bytes:
        """As strings, hosts are followed by their ports: four bytes in every version."""
        host, port = self._cluster
        named = host.encode()
        return answer.replace(
            named + struct.pack(">i", port), named + struct.pack(">i", self._port)
        )

    async def _ask(self, client: "_Frames", cluster: "_Frames") -> str:
        """Return who is there, once that is proved. Raises ValueError for somebody else."""
        talk = _Talk(self._mechanism, self._username, self._password)
        while True:
            request = await client.receive()
            api, _version, id = struct.unpack(">hhi", request[:8])
            body = request[10 + max(struct.unpack(">h", request[8:10])[0], 0) :]
            if api == _API_VERSIONS:
                await cluster.send(request)
                await client.send(_with_sasl(await cluster.receive()))
            elif api == _HANDSHAKE:
                error = 0 if body[2:].decode() == self._mechanism else _UNSUPPORTED
                own = self._mechanism.encode()
                await client.send(struct.pack(">ihih", id, error, 1, len(own)) + own)
            elif api == _AUTHENTICATE:
                try:
                    answer = talk.answer(body[4:])
                except ValueError as exc:
                    said = str(exc).encode()
                    refusal = struct.pack(">ihh", id, _FAILED, len(said)) + said
                    await client.send(refusal + struct.pack(">i", 0))
                    raise
                await client.send(struct.pack(">ihhi", id, 0, -1, len(answer)) + answer)
                if talk.is_over:
                    return self._username
            else:
                raise ValueError("it asks before it says who it is")


class _Frames:
    """Requests or answers, each after its length."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._buffered = BufferedByteReceiveStream(stream)

    async def receive(self) -> bytes:
        [length] = struct.unpack(">i", await self._buffered.receive_exactly(4))
        return await self._buffered.receive_exactly(length)

    async def send(self, frame: bytes) -> None:
        await self._stream.send(struct.pack(">i", len(frame)) + frame)


class _Talk:
    """The broker's side of SASL, with one client."""

    def __init__(self, mechanism: str, username: str, password: str) -> None:
        self._mechanism = mechanism
        self._username = username
        self._password = password
        self._said = ""
        self._nonce = ""
        self._salt = os.urandom(16)
        self.is_over = False

    def answer(self, token: bytes) -> bytes:
        if self._mechanism == "PLAIN":
            _, username, password = token.split(b"\0")
            self._check((username, password) == (self._username.encode(), self._password.encode()))
            self.is_over = True
            return b""
        return self._finish(token.decode()) if self._said else self._begin(token.decode())

    def _begin(self, token: str) -> bytes:
        first = token.removeprefix("n,,")
        members = dict(part.split("=", 1) for part in first.split(","))
        self._check(members["n"] == self._username)
        self._nonce = members["r"] + secrets.token_hex(8)
        answer = f"r={self._nonce},s={base64.b64encode(self._salt).decode()},i={_ITERATIONS}"
        self._said = f"{first},{answer}"
        return answer.encode()

    def _finish(self, token: str) -> bytes:
        name = self._mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        final, _, proof = token.rpartition(",p=")
        said = f"{self._said},{final}".encode()
        salted = hashlib.pbkdf2_hmac(name, self._password.encode(), self._salt, _ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, client_key).digest(), said, name)
        wanted = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._check(final == f"c=biws,r={self._nonce}" and base64.b64decode(proof) == wanted)
        self.is_over = True
        own = hmac.digest(hmac.digest(salted, b"Server Key", name), said, name)
        return b"v=" + base64.b64encode(own)

    def _check(self, is_right: bool) -> None:
        if not is_right:
            raise ValueError("Authentication failed: invalid credentials")


def _with_sasl(versions: bytes) -> bytes:
    """Return an answer to ApiVersions, in one of its first three versions, that knows SASL too."""
    id, error, count = struct.unpack(">ihi", versions[:10])
    more = struct.pack(">hhhhhh", _HANDSHAKE, 0, 1, _AUTHENTICATE, 0, 0)
    end = 10 + 6 * count
    return struct.pack(">ihi", id, error, count + 2) + versions[10:end] + more + versions[end:]


def _context(
    authority: Authority, own: Certificate, *, asks_for_certificate: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "own.pem")
        file.write_text(own.pem + own.key)
        context.load_cert_chain(file)
    if asks_for_certificate:
        context.load_verify_locations(cadata=authority.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def opened(gate: Gate) -> Iterator[Gate]:
    """Serve in a thread while the block runs."""
    with start_blocking_portal() as portal:
        future, _ = portal.start_task(gate.serve)
        try:
            yield gate
        finally:
            future.cancel()
