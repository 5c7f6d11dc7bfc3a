"""The forms in which clients name functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.arn import FunctionKey, FunctionReference, Scope, is_number, parse_function
from lambdabox.domain.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)

SCOPE = Scope("123456789012", "us-east-1")
KEY = FunctionKey("123456789012", "us-east-1", "hello")
ARN = "arn:aws:lambda:us-east-1:123456789012:function:hello"


@pytest.mark.parametrize(
    "text",
    ["hello", "function:hello", "123456789012:function:hello", ARN],
)
def test_every_form_names_the_same_function(text: str) -> None:
    assert parse_function(text, SCOPE) == FunctionReference(KEY, None)


@pytest.mark.parametrize(
    "text",
    ["hello:7", "function:hello:7", "123456789012:function:hello:7", f"{ARN}:7"],
)
@pytest.mark.parametrize("qualifier", [None, "7"])
def test_every_form_may_carry_its_qualifier(text: str, qualifier: str | None) -> None:
    assert parse_function(text, SCOPE, qualifier) == FunctionReference(KEY, "7")


def test_the_qualifier_may_stand_beside_the_name() -> None:
    assert parse_function("hello", SCOPE, "$LATEST").qualifier == "$LATEST"


def test_qualifiers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidParameterValueException, match="does not match"):
        parse_function("hello:1", SCOPE, "2")


def test_a_function_of_another_region_is_not_found() -> None:
    with pytest.raises(ResourceNotFoundException, match=r"'eu-west-1'.*'us-east-1'"):
        parse_function(ARN.replace("us-east-1", "eu-west-1"), SCOPE)


@pytest.mark.parametrize(
    "text", ["999999999999:function:hello", ARN.replace("123456789012", "999999999999")]
)
def test_a_function_of_another_account_is_denied(text: str) -> None:
    with pytest.raises(AccessDeniedException) as refused:
        parse_function(text, SCOPE)
    assert text in refused.value.message


@pytest.mark.parametrize("name", ["function", "arn", "123456789012"])
def test_words_of_the_forms_are_names_too(name: str) -> None:
    assert parse_function(name, SCOPE).key.name == name


def test_arns_are_written_as_they_are_read() -> None:
    assert KEY.arn == ARN
    assert KEY.qualified_arn("7") == f"{ARN}:7"
    assert FunctionReference(KEY, None).arn == ARN
    assert FunctionReference(KEY, "$LATEST").arn == f"{ARN}:$LATEST"


names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)


@given(names, st.none() | st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True))
def test_an_arn_names_what_it_was_made_from(name: str, qualifier: str | None) -> None:
    reference = FunctionReference(FunctionKey(SCOPE.account, SCOPE.region, name), qualifier)
    assert parse_function(reference.arn, SCOPE) == reference


@pytest.mark.parametrize("number", ["1", "7", "10", "999999999"])
def test_versions_have_whole_numbers_from_1(number: str) -> None:
    assert is_number(number)


@pytest.mark.parametrize(
    "text", ["0", "00", "01", "-1", "+1", " 1", "1\n", "1.0", "²", "٣", "", "$LATEST", "9" * 30]
)
def test_what_only_resembles_a_number_is_none(text: str) -> None:
    """0 would be where $LATEST is stored, and 30 digits are more than a column holds."""
    assert not is_number(text)
