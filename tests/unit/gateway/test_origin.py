"""Which requests a web page may make."""

import pytest

from lambdabox.domain.errors import AccessDeniedException
from lambdabox.gateway.origin import check_origin

ALLOWED = ("http://localhost:3000",)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        pytest.param("POST", {"host": "localhost:4566"}, id="a client that is no browser"),
        pytest.param("POST", {"host": "node.internal"}, id="no browser, under any name"),
        pytest.param(
            "POST",
            {"host": "localhost:4566", "origin": "http://localhost:4566"},
            id="a page of the node itself",
        ),
        pytest.param(
            "DELETE",
            {"host": "127.0.0.1:4566", "origin": "http://localhost:3000"},
            id="an allowed origin",
        ),
        pytest.param(
            "GET",
            {"host": "x.localhost:4566", "sec-fetch-site": "cross-site"},
            id="following a link",
        ),
        pytest.param(
            "POST",
            {"host": "[::1]:4566", "origin": "http://[::1]:4566", "sec-fetch-site": "same-origin"},
            id="an IPv6 address",
        ),
    ],
)
def test_these_may(method: str, headers: dict[str, str]) -> None:
    check_origin(method, headers, ALLOWED)


@pytest.mark.parametrize(
    ("method", "headers", "said"),
    [
        pytest.param(
            "POST",
            {"host": "localhost:4566", "origin": "https://evil.example"},
            "Pages of https://evil.example may not use this node",
            id="another site",
        ),
        pytest.param(
            "POST",
            {"host": "localhost:4566", "origin": "null"},
            "Pages of null may not",
            id="a page without an origin",
        ),
        pytest.param(
            "PUT",
            {"host": "localhost:4566", "sec-fetch-site": "cross-site"},
            "Pages of another site may not",
            id="a request that hides its origin",
        ),
        pytest.param(
            "POST",
            {"host": "localhost:4566", "origin": "http://localhost:3001"},
            "may not use this node",
            id="another port",
        ),
        pytest.param(
            "GET",
            {"host": "evil.example:4566", "origin": "http://evil.example:4566"},
            "under the name 'evil.example:4566'",
            id="a strange name for this machine",
        ),
        pytest.param(
            "GET",
            {"host": "evil.example:4566", "sec-fetch-site": "same-origin"},
            "under the name",
            id="reading under a strange name",
        ),
        pytest.param(
            "GET",
            {"host": "[oops", "origin": "http://[oops"},
            "under the name",
            id="no name at all",
        ),
        pytest.param(
            "GET",
            {"host": "localhost.evil.example", "sec-fetch-site": "none"},
            "under the name",
            id="a name that only begins well",
        ),
    ],
)
def test_these_may_not(method: str, headers: dict[str, str], said: str) -> None:
    with pytest.raises(AccessDeniedException, match=said):
        check_origin(method, headers, ALLOWED)
