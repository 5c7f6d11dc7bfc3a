"""A request takes the most specific route of its API, on the stage that its path names."""

from collections.abc import Sequence

import pytest

from lambdabox.domain.arn import Scope
from lambdabox.domain.http_apis import (
    Api,
    ApiKind,
    Integration,
    Route,
    Stage,
    api_of_host,
    domain_name,
    is_api_id,
)

SCOPE = Scope("111111111111", "eu-west-1")


def api(*keys: str, kind: ApiKind = ApiKind.HTTP, stages: Sequence[str] = ("$default",)) -> Api:
    return Api("a1b2", SCOPE, kind, [route(key) for key in keys], {s: Stage(s) for s in stages})


def route(key: str) -> Route:
    method, _, path = key.partition(" ")
    return Route(method, path, None) if path else Route("ANY", key, None)


PETS = api(
    "$default", "ANY /{proxy+}", "GET /pets/{proxy+}", "GET /pets/{id}/toys",
    "GET /pets/{id}", "ANY /pets/dog", "GET /pets/dog/1", "GET /",
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/", "GET /", {}),
        ("POST", "/", "$default", {}),
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("GET", "/pets/dog", "ANY /pets/dog", {}),
        ("GET", "/pets/7", "GET /pets/{id}", {"id": "7"}),
        ("GET", "/pets/a%2Fb%20%C3%A4", "GET /pets/{id}", {"id": "a/b ä"}),
        ("GET", "/pets/7/toys", "GET /pets/{id}/toys", {"id": "7"}),
        ("GET", "/pets/cat/2", "GET /pets/{proxy+}", {"proxy": "cat/2"}),
        ("GET", "/pets/%64og/1", "GET /pets/dog/1", {}),
        ("POST", "/pets/7", "ANY /{proxy+}", {"proxy": "pets/7"}),
        ("GET", "/pets", "ANY /{proxy+}", {"proxy": "pets"}),
        ("GET", "/pets/", "ANY /{proxy+}", {"proxy": "pets/"}),
        ("GET", "/pets/dog/", "GET /pets/{proxy+}", {"proxy": "dog/"}),
        ("GET", "//", "ANY /{proxy+}", {"proxy": "/"}),
    ],
)
def test_the_most_specific_route_is_taken(
    method: str, path: str, key: str, parameters: dict[str, str]
) -> None:
    match = PETS.match(method, path)
    assert match is not None
    assert (match.route.key, match.parameters) == (key, parameters)


def test_a_method_of_its_own_goes_before_any() -> None:
    match = api("ANY /a", "GET /a").match("GET", "/a")
    assert match is not None
    assert match.route.method == "GET"


@pytest.mark.parametrize("path", ["/", "/b", "/a/b", "/a/", "/{a}", "", "/A"])
def test_what_no_route_is_for_has_none(path: str) -> None:
    assert api("GET /a").match("GET", path) is None
    assert api("GET /a").match("POST", "/a") is None


def test_a_rest_api_overlooks_a_slash_at_the_end() -> None:
    rest = api("GET /a", "GET /", kind=ApiKind.REST)
    for path, expected in (("/a/", "/a"), ("/", "/")):
        match = rest.match("GET", path)
        assert match is not None
        assert match.route.path == expected


@pytest.mark.parametrize(
    ("path", "stage", "rest"),
    [
        ("/dev/a/b", "dev", "/a/b"),
        ("/dev", "dev", "/"),
        ("/dev/", "dev", "/"),
        ("/devil/a", "$default", "/devil/a"),
        ("/$default/a", "$default", "/$default/a"),
        ("/", "$default", "/"),
    ],
)
def test_a_stage_is_the_first_part_of_a_path_or_the_default(
    path: str, stage: str, rest: str
) -> None:
    found = api(stages=("$default", "dev")).on_stage(path)
    assert found is not None
    assert (found[0].name, found[1]) == (stage, rest)


def test_without_a_default_stage_a_path_has_to_name_one() -> None:
    assert api(stages=("dev",)).on_stage("/a") is None
    assert api(kind=ApiKind.REST, stages=("dev", "$default")).on_stage("/a") is None


def test_the_source_arn_names_stage_method_and_route() -> None:
    dev = Stage("dev")
    arn = "arn:aws:execute-api:eu-west-1:111111111111:a1b2"
    assert PETS.source_arn(dev, route("ANY /pets/{id}"), "PUT") == f"{arn}/dev/PUT/pets/{{id}}"
    assert PETS.source_arn(Stage("$default"), route("$default"), "PUT") == (
        f"{arn}/$default/$default"
    )


def test_variables_of_the_stage_name_the_function() -> None:
    integration = Integration("arn:aws:lambda:r:a:function:${stageVariables.f}:x", "1.0", 29)
    assert integration.function({"f": "one"}) == "arn:aws:lambda:r:a:function:one:x"
    assert integration.function({}) == "arn:aws:lambda:r:a:function::x"


def test_a_host_names_an_api_and_its_region() -> None:
    assert api_of_host(f"{domain_name('a1', 'eu-west-1')}:4566") == ("a1", "eu-west-1")
    assert api_of_host("A1.execute-api.us-east-1.amazonaws.com") == ("a1", "us-east-1")
    assert api_of_host("localhost:4566") is None
    assert [is_api_id(text) for text in ("a1b2", "my-api", "", "a/b", "ü", "a" * 64)] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
