"""Brokers that tests start for themselves, on free ports of loopback.

RabbitMQ is Debian's. Kafka is the cluster that librdkafka, the C library of Kafka's clients, has
for its own tests: it speaks the protocol, groups included, and keeps records in memory.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.processes import eventually

_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_SECONDS = 90.0


def _missing(what: str) -> None:
    """Without what tests/install-servers installs they are skipped, but not where CI runs."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing: tests/install-servers installs it")
    pytest.skip(f"{what} is missing: tests/install-servers installs it")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def rabbitmq(directory: Path) -> Iterator[str]:
    """A broker with the user `guest`, whose password is the same; yields its amqp:// address."""
    if not _RABBITMQ.exists() or shutil.which("epmd") is None:
        _missing("rabbitmq-server")
    port, names = _free_port(), _free_port()
    (directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    (directory / "plugins").write_text("[].\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_NODENAME": "test@localhost",
        "RABBITMQ_DIST_PORT": str(_free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
        ),
        "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server, and can be ended
    }
    # One of our own, in the foreground: the one that Erlang starts would stay behind.
    epmd = subprocess.Popen(["epmd", "-port", str(names), "-address", "127.0.0.1"], env=environment)
    try:
        with (directory / "output").open("wb") as output:
            server = subprocess.Popen(
                [_RABBITMQ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            is_up = eventually(
                lambda: server.poll() is not None or _answers(port), within=_START_SECONDS
            )
            output_text = (directory / "output").read_text(errors="replace")
            assert is_up, output_text
            assert server.poll() is None, output_text
            yield f"amqp://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    finally:
        epmd.terminate()
        epmd.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class KafkaCluster:
    """A cluster of one broker. Topics are made by name when somebody asks for them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        text = ctypes.create_string_buffer(512)
        self._handle = library.rd_kafka_new(0, None, text, len(text))
        assert self._handle, text.value
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        self.address: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def make_topic(self, name: str, partitions: int = 1) -> None:
        error = self._library.rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, 1
        )
        assert error == 0, error

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


@contextmanager
def kafka() -> Iterator[KafkaCluster]:
    try:
        library = ctypes.CDLL("librdkafka.so.1")
    except OSError:
        _missing("librdkafka1")
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    cluster = KafkaCluster(library)
    try:
        yield cluster
    finally:
        cluster.close()
