import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import anyio
import boto3
import pytest
from moto.server import ThreadedMotoServer

from lambdabox.backends import aws_client
from lambdabox.backends.aws_client import AwsClients
from lambdabox.backends.s3_fetcher import S3Fetcher
from lambdabox.domain.errors import InvalidParameterValueException

pytestmark = pytest.mark.anyio

ACCOUNT = "111122223333"
REGION = "eu-central-1"
LIMIT = 1_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def bucket(endpoint: str) -> Iterator[Any]:
    """A bucket of ACCOUNT's, seen through boto3."""
    resource = boto3.resource(
        "s3", endpoint_url=endpoint, region_name=REGION,
        aws_access_key_id=ACCOUNT, aws_secret_access_key="test",
    )  # fmt: skip
    bucket = resource.Bucket("code-of-functions")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})
    bucket.Versioning().enable()
    yield bucket
    resource.meta.client.close()


async def fetched(
    fetcher: S3Fetcher, key: str, *, bucket: str = "code-of-functions", version: str | None = None,
    limit: int = LIMIT, account: str = ACCOUNT, region: str = REGION,
) -> bytes:  # fmt: skip
    return await fetcher.fetch(
        bucket, key, object_version=version, region=region, account=account, limit=limit
    )


async def refusal(fetcher: S3Fetcher, key: str = "app.zip", **options: Any) -> str:
    with pytest.raises(InvalidParameterValueException) as raised:
        await fetched(fetcher, key, **options)
    return raised.value.message


@pytest.mark.parametrize("key", ["app.zip", "folder/with space/ä+$&.zip", "a//b"])
async def test_an_object_is_read(key: str, endpoint: str, bucket: Any) -> None:
    content = hashlib.sha256(key.encode()).digest() * 10_000
    bucket.put_object(Key=key, Body=content)
    assert await fetched(S3Fetcher(endpoint), key) == content


async def test_an_empty_object_is_read(endpoint: str, bucket: Any) -> None:
    bucket.put_object(Key="empty", Body=b"")
    assert await fetched(S3Fetcher(endpoint), "empty") == b""


async def test_a_version_is_read(endpoint: str, bucket: Any) -> None:
    first = bucket.put_object(Key="versioned", Body=b"first").version_id
    bucket.put_object(Key="versioned", Body=b"second")
    fetcher = S3Fetcher(endpoint)
    assert await fetched(fetcher, "versioned") == b"second"
    assert await fetched(fetcher, "versioned", version=first) == b"first"


async def test_a_missing_bucket_is_told_in_awss_words(endpoint: str) -> None:
    assert await refusal(S3Fetcher(endpoint), bucket="no-such-bucket") == (
        "Error occurred while GetObject. S3 Error Code: NoSuchBucket."
        " S3 Error Message: The specified bucket does not exist"
    )


async def test_a_missing_key_is_told_in_awss_words(endpoint: str, bucket: Any) -> None:
    assert await refusal(S3Fetcher(endpoint), "not-there") == (
        "Error occurred while GetObject. S3 Error Code: NoSuchKey."
        " S3 Error Message: The specified key does not exist."
    )


async def test_a_missing_version_is_told_in_awss_words(endpoint: str, bucket: Any) -> None:
    bucket.put_object(Key="app.zip", Body=b"x")
    message = await refusal(S3Fetcher(endpoint), version="no-such-version")
    assert message.startswith("Error occurred while GetObject. S3 Error Code: ")
    assert "ersion" in message


async def test_an_object_above_the_limit_is_refused(endpoint: str, bucket: Any) -> None:
    bucket.put_object(Key="large", Body=bytes(1001))
    fetcher = S3Fetcher(endpoint)
    assert await refusal(fetcher, "large", limit=1000) == (
        "Zipped size must be smaller than 1000 bytes."
        " s3://code-of-functions/large has at least 1001 bytes."
    )
    assert len(await fetched(fetcher, "large", limit=1001)) == 1001


async def test_many_at_once_share_a_client(
    endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Key="shared", Body=b"x")
    fetcher = S3Fetcher(endpoint)
    created: list[tuple[str, str]] = []
    create = fetcher._clients._create

    def counting(service: str, region: str, account: str) -> Any:
        created.append((region, account))
        return create(service, region, account)

    monkeypatch.setattr(fetcher._clients, "_create", counting)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(fetched, fetcher, "shared")
    assert created == [(REGION, ACCOUNT)]


def test_clients_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = AwsClients("http://localhost:1", connect_seconds=1, read_seconds=1, attempts=1)
    monkeypatch.setattr(clients, "_create", lambda *what: " ".join(what))
    for number in range(100):
        assert clients.get("s3", REGION, str(number)) == f"s3 {REGION} {number}"
    assert len(clients._clients) == aws_client._CLIENTS


async def test_the_machines_aws_configuration_plays_no_part(
    endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Key="app.zip", Body=b"x")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "999988887777")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/proc/self/mem")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await fetched(S3Fetcher(endpoint), "app.zip") == b"x"


async def test_a_store_that_does_not_run_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    message = await refusal(S3Fetcher(address))
    assert f"the store at {address}" in message
    assert "LAMBDABOX_ENDPOINTS" in message


async def test_an_endpoint_that_is_no_address_is_named() -> None:
    message = await refusal(S3Fetcher("not an address"))
    assert "not an address" in message
    assert "LAMBDABOX_ENDPOINTS" in message


@pytest.mark.parametrize("name", ["", "no/slashes", "ä"])
async def test_a_bucket_name_that_cannot_be_is_refused(name: str, endpoint: str) -> None:
    assert "Error occurred while GetObject" in await refusal(S3Fetcher(endpoint), bucket=name)


class OddStore(BaseHTTPRequestHandler):
    """A store that misbehaves as the key says."""

    protocol_version = "HTTP/1.1"
    release: ClassVar[threading.Event]

    def do_GET(self) -> None:
        getattr(self, self.path.rpartition("/")[2].partition("?")[0])()

    def elsewhere(self) -> None:
        self.answer(
            301,
            b"<Error><Code>PermanentRedirect</Code><Message>The bucket is in this region:"
            b" us-east-1.</Message></Error>",
        )

    def denied(self) -> None:
        self.answer(
            403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        )

    def nonsense(self) -> None:
        self.answer(400, b"this is no XML")

    def echo(self) -> None:
        self.answer(200, str(self.headers["Authorization"]).encode())

    def huge(self) -> None:
        """Declares a terabyte and sends none of it."""
        self.send_response(200)
        self.send_header("Content-Length", str(10**12))
        self.end_headers()
        self.close_connection = True

    def endless(self) -> None:
        """Declares nothing and never stops."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
        try:
            while True:
                self.wfile.write(chunk)
        except OSError:
            self.close_connection = True

    def cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def silent(self) -> None:
        self.release.wait(30)
        self.close_connection = True

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def odd_endpoint() -> Iterator[str]:
    OddStore.release = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), OddStore) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        OddStore.release.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("elsewhere", ". S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in"),
        ("denied", ". S3 Error Code: AccessDenied. S3 Error Message: Access Denied"),
        ("nonsense", ""),
        ("cut", " from the store at http://127.0.0.1"),
        ("silent", " from the store at http://127.0.0.1"),
    ],
)
async def test_a_store_that_misbehaves_is_an_error_that_says_so(
    key: str, expected: str, odd_endpoint: str
) -> None:
    message = await refusal(S3Fetcher(odd_endpoint, read_seconds=0.5), key)
    assert message.startswith(f"Error occurred while GetObject{expected}")


@pytest.mark.parametrize("key", ["huge", "endless"])
async def test_reading_stops_at_the_limit(key: str, odd_endpoint: str) -> None:
    message = await refusal(S3Fetcher(odd_endpoint), key)
    assert message.startswith("Zipped size must be smaller than 1000000 bytes.")


async def test_the_account_travels_as_the_access_key_id(odd_endpoint: str) -> None:
    fetcher = S3Fetcher(odd_endpoint)
    for account in (ACCOUNT, "999988887777"):
        authorization = (await fetched(fetcher, "echo", account=account)).decode()
        assert f" Credential={account}/" in authorization
        assert f"/{REGION}/s3/aws4_request," in authorization


async def test_an_object_that_takes_too_long_is_given_up(odd_endpoint: str) -> None:
    fetcher = S3Fetcher(odd_endpoint, whole_seconds=0)
    message = await refusal(fetcher, "endless", limit=10**12)
    assert "took longer than 0 seconds" in message
