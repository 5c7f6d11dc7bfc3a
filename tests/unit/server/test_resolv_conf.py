"""Which resolvers the host uses, and that a change of network is noticed."""

from pathlib import Path

import pytest

from lambdabox.server.dns_resolvers import ResolvConf, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nameserver 192.0.2.1\n", ["192.0.2.1"], id="one"),
        pytest.param("# nameserver 192.0.2.1\nnameserver 192.0.2.2", ["192.0.2.2"], id="comment"),
        pytest.param("nameserver 127.0.0.53\noptions edns0", ["127.0.0.53"], id="a stub"),
        pytest.param("nameserver\t2001:db8::1 \n", ["2001:db8::1"], id="IPv6"),
        pytest.param("nameserver fe80::1%lo", ["fe80::1%lo"], id="with its interface"),
        pytest.param("nameserver example.com", ["127.0.0.1"], id="no address"),
        pytest.param("nameserver\nsearch a.example", ["127.0.0.1"], id="none means the host"),
        pytest.param(
            "".join(f"nameserver 192.0.2.{number}\n" for number in range(5)),
            ["192.0.2.0", "192.0.2.1", "192.0.2.2"],
            id="three at most",
        ),
    ],
)
def test_resolvers_of_a_file(text: str, expected: list[str]) -> None:
    assert list(parse(text)) == [(address, 53) for address in expected]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    resolvers = ResolvConf(path)
    assert resolvers() == [("192.0.2.1", 53)]
    replacement = tmp_path / "new"
    replacement.write_text("nameserver 192.0.2.2\n")
    replacement.rename(path)
    assert resolvers() == [("192.0.2.2", 53)]


def test_a_missing_file_means_the_host_itself(tmp_path: Path) -> None:
    assert ResolvConf(tmp_path / "resolv.conf")() == [("127.0.0.1", 53)]
