"""What targets have of an event."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.event_input import BadInput, TargetInput, check_input, input_of

EVENT = {
    "id": "1",
    "detail-type": "Order",
    "detail": {"name": 'a "b" \\', "n": 5, "list": [{"x": 1}, {"x": 2}], "none": None, "d": {}},
}
ABOUT = {"aws.events.rule-name": "r", "aws.events.event.json": EVENT}


def made(given: TargetInput) -> Any:
    check_input(given)
    return json.loads(input_of(given, EVENT, ABOUT))


def template(text: str, **paths: str) -> Any:
    return made(TargetInput(paths=paths, template=text))


def test_without_an_input_the_event_is_whole() -> None:
    assert made(TargetInput()) == EVENT


def test_a_constant_replaces_the_event() -> None:
    assert made(TargetInput(constant='{"a": [1, null]}')) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", EVENT),
        ("$.detail.n", 5),
        ("$.detail.list[1].x", 2),
        ("$.detail-type", "Order"),
        ("$['detail-type']", "Order"),
        ('$.detail["list"][0]', {"x": 1}),
        ("$.detail.none", None),
        ("$.detail.missing", None),
        ("$.detail.list[7]", None),
        ("$.id.deeper", None),
    ],
)
def test_a_path_leads_to_a_part(path: str, expected: Any) -> None:
    assert made(TargetInput(path=path)) == expected


@pytest.mark.parametrize("path", ["detail", "$detail", "$.", "$.a..b", "$.a[x]", "$.a[*]", "$[0"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(BadInput):
        check_input(TargetInput(path=path))
    with pytest.raises(BadInput):
        check_input(TargetInput(paths={"a": path}, template="<a>"))


def test_names_in_a_template_become_json() -> None:
    text = '{"name": <name>, "n": <n>, "all": <list>, "gone": <gone>}'
    paths = {"name": "$.detail.name", "n": "$.detail.n", "list": "$.detail.list", "gone": "$.x"}
    assert template(text, **paths) == {
        "name": 'a "b" \\', "n": 5, "all": [{"x": 1}, {"x": 2}], "gone": None,
    }  # fmt: skip


def test_names_in_a_string_become_text() -> None:
    text = '{"said": "<n> times \\"<name>\\" of <list><gone>"}'
    paths = {"name": "$.detail.name", "n": "$.detail.n", "list": "$.detail.list", "gone": "$.x"}
    assert template(text, **paths) == {"said": '5 times "a "b" \\" of [{"x": 1}, {"x": 2}]'}


def test_a_template_may_be_a_string_or_lines() -> None:
    assert template('"Order <n>"', n="$.detail.n") == "Order 5"
    assert template("Order <n>\nof <id>", n="$.detail.n", id="$.id") == 'Order 5\nof "1"'


def test_what_every_template_knows() -> None:
    assert template('"<aws.events.rule-name>"') == "r"
    assert template('{"event": <aws.events.event.json>}') == {"event": EVENT}
    assert template('"<unknown>"') == "<unknown>"


@pytest.mark.parametrize(
    "given_input",
    [
        TargetInput(constant="{"),
        TargetInput(constant="{}", path="$"),
        TargetInput(path="$", template="<a>"),
    ],
)
def test_an_input_that_cannot_be_is_refused(given_input: TargetInput) -> None:
    with pytest.raises(BadInput):
        check_input(given_input)


@given(text=st.text(alphabet='{}":,<>ab\\ n1\n', max_size=40), value=st.text(max_size=10))
def test_any_template_gives_json(text: str, value: str) -> None:
    target = TargetInput(paths={"a": "$.v"}, template=text)
    json.loads(input_of(target, {"v": value}, {}))
