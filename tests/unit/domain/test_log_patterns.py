"""Which messages a CloudWatch filter pattern matches."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.log_conditions import PatternError, wildcard
from lambdabox.domain.log_patterns import compile_pattern, split_fields

ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
RECORD = {
    "eventType": "UpdateTrail",
    "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": None,
    "cluster.name": "c",
    "user": {"id": 1, "email": "John.Doe@example.com"},
    "latency": 51.5,
    "ok": True,
    "failed": False,
    "code": "404",
    "status": 404,
}


def matches(pattern: str, message: str) -> bool:
    predicate = compile_pattern(pattern)
    return predicate is None or predicate(message)


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        pytest.param("", "anything", True, id="empty"),
        pytest.param('" "', "anything", True, id="a blank phrase"),
        pytest.param("ERROR", "[ERROR 400] BAD", True, id="a term is a part of the message"),
        pytest.param("ERROR", "error", False, id="case counts"),
        pytest.param("ERROR BAD", "BAD [ERROR]", True, id="all terms, in any order"),
        pytest.param("ERROR BAD", "ERROR", False, id="one term is missing"),
        pytest.param('"BAD REQUEST"', "ERROR BAD REQUEST", True, id="phrase"),
        pytest.param('"BAD REQUEST"', "BAD  REQUEST", False, id="a phrase is exact"),
        pytest.param(r'"say \"hi\""', 'they say "hi"', True, id="quotes in a phrase"),
        pytest.param("ERROR -Exiting", "Exiting with ERROR", False, id="exclusion"),
        pytest.param("-Exiting", "ERROR", True, id="only an exclusion"),
        pytest.param('ERROR -"BAD REQUEST"', "ERROR BAD REQUEST", False, id="excluded phrase"),
        pytest.param("?ERROR ?WARN", "a WARN", True, id="either"),
        pytest.param("?ERROR ?WARN", "an INFO", False, id="neither"),
        pytest.param('?"a b" ?x', "a b", True, id="optional phrase"),
        pytest.param("?ERROR REQUEST", "a REQUEST", True, id="? beside others is ignored"),
        pytest.param("%ERR[A-Z]+ [45]..%", "ERROR 401", True, id="regular expression"),
        pytest.param("%ERR[A-Z]+ [45]..%", "ERROR 301", False, id="regular expression, no"),
        pytest.param("REPORT %Duration: [0-9]+%", "REPORT Duration: 3 ms", True, id="both"),
        pytest.param("2026-11-23", "at 2026-11-23T", True, id="a hyphen inside a term"),
        pytest.param("/api/v1", "GET /api/v1", True, id="slashes in a term"),
    ],
)
def test_terms(pattern: str, message: str, expected: bool) -> None:
    assert matches(pattern, message) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param('{ $.eventType = "UpdateTrail" }', True, id="equal"),
        pytest.param("{ $.eventType = UpdateTrail }", True, id="equal without quotes"),
        pytest.param('{ $.eventType = "Update*" }', True, id="wildcard"),
        pytest.param('{ $.eventType = "*Trail" }', True, id="wildcard in front"),
        pytest.param('{ $.eventType = "Trail" }', False, id="the whole value counts"),
        pytest.param("{ $.eventType = %Tra.l% }", True, id="regular expression"),
        pytest.param("{ $.eventType != %Tra.l% }", False, id="not a regular expression"),
        pytest.param("{ $.sourceIPAddress != 123.123.* }", True, id="different"),
        pytest.param("{ $.missing != 1 }", False, id="what is missing is not different"),
        pytest.param('{ $.arrayKey[0] = "value" }', True, id="index"),
        pytest.param('{ $.arrayKey[9] = "value" }', False, id="index too high"),
        pytest.param('{ $.arrayKey[*] = "another value" }', True, id="any index"),
        pytest.param("{ $.objectList[1].id = 2 }", True, id="index, then name"),
        pytest.param("{ $.objectList[*].id > 2 }", False, id="no index"),
        pytest.param("{ $.['cluster.name'] = \"c\" }", True, id="quoted name"),
        pytest.param("{ $['cluster.name'] = \"c\" }", True, id="quoted name without a dot"),
        pytest.param("{ $.SomeObject IS NULL }", True, id="null"),
        pytest.param("{ $.missing IS NULL }", False, id="what is missing is not null"),
        pytest.param("{ $.SomeOtherObject NOT EXISTS }", True, id="missing"),
        pytest.param("{ $.SomeObject NOT EXISTS }", False, id="null exists"),
        pytest.param("{ $.ok IS TRUE }", True, id="true"),
        pytest.param("{ $.failed is false }", True, id="false, in lower case"),
        pytest.param("{ $.status IS TRUE }", False, id="a number is not true"),
        pytest.param("{ $.latency > 51 }", True, id="greater"),
        pytest.param("{ $.latency >= 51.5 && $.latency <= 5.15e1 }", True, id="scientific"),
        pytest.param("{ $.latency < -1 }", False, id="negative"),
        pytest.param("{ $.ok > 0 }", False, id="true is no number"),
        pytest.param("{ $.status = 404 }", True, id="number"),
        pytest.param("{ $.status = 4* }", True, id="number with wildcard"),
        pytest.param("{ $.code = 404 }", True, id="digits in a text"),
        pytest.param("{ $.code >= 400 }", True, id="digits in a text, compared"),
        pytest.param('{ ($.user.id = 1) && ($.user.email = "John*") }', True, id="and"),
        pytest.param("{ $.user.id = 2 && $.ok IS TRUE || $.status=404 }", True, id="&& binds more"),
        pytest.param("{ $.user.id = 2 && ($.ok IS TRUE || $.status=404) }", False, id="brackets"),
        pytest.param("{ $.user = 1 }", False, id="an object is no value"),
    ],
)
def test_json(pattern: str, expected: bool) -> None:
    assert matches(pattern, json.dumps(RECORD)) is expected


@pytest.mark.parametrize(
    "message",
    ["plain", "", "[1]", "{", '{"a": ' * 9_999, '{"a": 1} trailing', "7", '{"a":' + "9" * 9_999],
)
def test_a_message_that_is_no_json_object_does_not_match(message: str) -> None:
    assert matches("{ $.a NOT EXISTS }", message) is False


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("[ip, env, user, time, request, status, bytes]", True, id="as many"),
        pytest.param("[ip, env, user, time, request, status, bytes, more]", False, id="too few"),
        pytest.param("[ip, env, user]", True, id="the rest is ignored"),
        pytest.param("[..., status = 4*, bytes]", True, id="gap in front"),
        pytest.param("[..., status = 5*, bytes]", False, id="gap in front, no"),
        pytest.param("[ip = 127*, ...]", True, id="gap behind"),
        pytest.param("[ip, ..., bytes > 1000]", True, id="gap between"),
        pytest.param("[ip, ..., bytes > 2000]", False, id="gap between, no"),
        pytest.param("[ip, e, u, t, request = *.html*, s = 4* && s != 404, b]", False, id="and"),
        pytest.param("[ip, e, u, t, r, s = 404 || s = 500, b]", True, id="or"),
        pytest.param("[ip, e, u, t, r, (s = 404 || s = 500) && s != 404, b]", False, id="brackets"),
        pytest.param('[ip, e, u, t, request = "GET *", ...]', True, id="quoted value"),
        pytest.param(r"[ip=%127\.0\.0\.[1-9]%, ...]", True, id="regular expression"),
        pytest.param("[ip!=%127%, ...]", False, id="not a regular expression"),
        pytest.param("[ip=%1{1,2}27%, ...]", True, id="a comma in a regular expression"),
    ],
)
def test_fields(pattern: str, expected: bool) -> None:
    assert matches(pattern, ACCESS) is expected


def test_the_examples_of_the_guide_for_words() -> None:
    assert matches("[w1=ERROR, w2]", "ERROR 419 MISSING ARGUMENTS")
    assert matches("[w1!=ERROR&&w1!=WARN, w2]", "INFO 401 UNAUTHORIZED REQUEST")
    assert not matches("[w1!=ERROR&&w1!=WARN, w2]", "WARN 401 UNAUTHORIZED REQUEST")


def test_brackets_and_quotes_hold_a_field_together() -> None:
    assert split_fields(ACCESS)[3:5] == ["10/Oct/2000:13:25:15 -0700", "GET /index.html HTTP/1.0"]
    assert split_fields('a [b c "d e') == ["a", "[b", "c", '"d', "e"]
    assert split_fields("  ") == []


@pytest.mark.parametrize(
    "pattern",
    [
        '"open',
        "%open",
        "{ $.a }",
        "{ $.a = }",
        "{ a = 1 }",
        "{ $.a = 1 && }",
        "{ ($.a = 1 }",
        "{ $.a > x }",
        "{ $.a IS MAYBE }",
        "{ $.a = 1 ) }",
        "{ }",
        "[a=1 b=2]",
        "[..., a, ...]",
        "[a = ]",
        '["x"]',
        "%(a)%",
        "{ $. = 1 }",
        "{ $.a[x] = 1 }",
        "{ $.a && $.b }",
        "{ " + "(" * 400 + "$.a = 1" + ")" * 400 + " }",
    ],
)
def test_a_wrong_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"^Invalid filter pattern"):
        compile_pattern(pattern)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=8))
def test_a_wildcard_matches_what_a_shell_would(pattern: str, text: str) -> None:
    from fnmatch import fnmatchcase

    assert wildcard(pattern)(text) == fnmatchcase(text, pattern)


@given(st.text(alphabet='{}[]()$.=!<>&|"%?- \\,*a1', max_size=30), st.text(max_size=30))
def test_any_pattern_is_compiled_or_refused(pattern: str, message: str) -> None:
    try:
        predicate = compile_pattern(pattern)
    except PatternError:
        return
    assert predicate is None or predicate(message) in {True, False}


@pytest.mark.timeout(20)  # quadratic time would be minutes
@pytest.mark.parametrize("unit", ["[ ", '" ', "[", "a ", '{"a":'])
def test_a_hostile_message_takes_linear_time(unit: str) -> None:
    message = unit * (262_144 // len(unit))
    for pattern in ("[a, ..., b=1]", "{ $.a = 1 }", '"x y" -z'):
        matches(pattern, message)
