"""Who gets into the console, and that nobody does by accident."""

import pytest

from lambdabox.console.access import AccessRules, Verdict, Visitor, is_loopback

TOKEN = "a-long-enough-token"


def visitor(
    host: str = "localhost:4566",
    client: str = "127.0.0.1",
    *,
    is_forwarded: bool = False,
    has_logged_in: bool = False,
) -> Visitor:
    return Visitor(host, client, is_forwarded, has_logged_in)


@pytest.mark.parametrize("host", ["localhost:4566", "LOCALHOST", "127.0.0.1:4566", "[::1]:4566"])
def test_on_the_machine_itself_nothing_is_asked(host: str) -> None:
    assert AccessRules("127.0.0.1", None).judge(visitor(host)) is Verdict.WELCOME


@pytest.mark.parametrize(
    ("rules", "who"),
    [
        pytest.param(AccessRules("0.0.0.0", None), visitor(), id="a node on every address"),
        pytest.param(AccessRules("::", None), visitor("[::1]:80", "::1"), id="and of IPv6"),
        pytest.param(
            AccessRules("127.0.0.1", None), visitor(client="198.18.0.2"), id="a function's sandbox"
        ),
        pytest.param(
            AccessRules("127.0.0.1", None), visitor(is_forwarded=True), id="a proxy's visitor"
        ),
        pytest.param(
            AccessRules("127.0.0.1", None), visitor("10.0.0.5:80"), id="a proxy that hides itself"
        ),
        pytest.param(
            AccessRules("127.0.0.1", None, ("box.example.com",)),
            visitor("box.example.com"),
            id="under a name that the settings allow",
        ),
        pytest.param(AccessRules("0.0.0.0", ""), visitor(), id="an empty token"),
    ],
)
def test_without_a_token_nobody_else_gets_in(rules: AccessRules, who: Visitor) -> None:
    assert rules.judge(who) is Verdict.NOT_SET_UP


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_is_set_is_asked_of_everybody(bind: str) -> None:
    rules = AccessRules(bind, TOKEN)
    assert rules.judge(visitor()) is Verdict.NEEDS_LOGIN
    assert rules.judge(visitor(client="10.0.0.9")) is Verdict.NEEDS_LOGIN
    assert rules.judge(visitor(has_logged_in=True)) is Verdict.WELCOME


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:4566",
        "localhost.evil.com",
        "x.localhost",
        "",
        "[",
        "@",
    ],
)
@pytest.mark.parametrize("has_logged_in", [False, True])
def test_a_strange_host_is_refused_whoever_asks(host: str, has_logged_in: bool) -> None:
    rules = AccessRules("127.0.0.1", TOKEN)
    assert rules.judge(visitor(host, has_logged_in=has_logged_in)) is Verdict.WRONG_HOST


def test_names_of_the_settings_and_the_bind_address_are_known() -> None:
    rules = AccessRules("node.internal", TOKEN, ("box.example.com",))
    for host in ("node.internal:4566", "box.example.com", "BOX.example.com:443", "192.0.2.1"):
        assert rules.judge(visitor(host)) is Verdict.NEEDS_LOGIN


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
        ("127.0.0.1.example.com", False), ("", False),
    ],
)  # fmt: skip
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
