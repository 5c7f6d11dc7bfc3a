"""Expressions over metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.metric_math import (
    BadExpressionError,
    Operands,
    Series,
    evaluate,
    identifiers,
)

CALLS: Series = {0: 10.0, 60: 20.0, 180: 40.0}
ERRORS: Series = {0: 1.0, 60: 0.0}
OPERANDS = Operands(
    {"calls": CALLS, "errors": ERRORS, "nothing": {}},
    [CALLS, ERRORS],
    {"calls": 60, "errors": 60},
    range(0, 240, 60),
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("errors / calls * 100", {0: 10.0, 60: 0.0}),
        ("100*(errors/calls)", {0: 10.0, 60: 0.0}),
        ("calls / errors", {0: 10.0}),
        ("calls - 2 ^ 3 ^ 1", {0: 2.0, 60: 12.0, 180: 32.0}),
        ("-errors + .5", {0: -0.5, 60: 0.5}),
        ("2 - 1 - 1", {0: 0.0, 60: 0.0, 120: 0.0, 180: 0.0}),
        ("FILL(errors, 7)", {0: 1.0, 60: 0.0, 120: 7.0, 180: 7.0}),
        ("SUM(METRICS())", {0: 11.0, 60: 20.0, 180: 40.0}),
        ("SUM([calls, errors, calls])", {0: 21.0, 60: 40.0, 180: 80.0}),
        ("AVG(FILL(METRICS(), 0))", {0: 5.5, 60: 10.0, 120: 0.0, 180: 20.0}),
        ("MAX(errors)", {0: 1.0, 60: 1.0}),
        ("calls / PERIOD(calls)", {0: 10 / 60, 60: 20 / 60, 180: 40 / 60}),
        ("ABS(errors - 1)", {0: 0.0, 60: 1.0}),
        ("CEIL(calls / 15)", {0: 1.0, 60: 2.0, 180: 3.0}),
        ("MIN(METRICS() * 2)", {0: 2.0, 60: 0.0, 180: 80.0}),
        ("SUM(nothing)", {}),
        ("calls ^ 400", {}),
        ("(0 - 8) ^ 0.5 * calls", {0: 0.0, 60: 0.0, 180: 0.0}),
        ("1e2 + nothing", {}),
    ],
)
def test_an_expression_has_its_value_where_its_operands_have(
    expression: str, expected: Series
) -> None:
    assert evaluate(expression, OPERANDS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "ends too early"),
        ("calls +", "ends too early"),
        ("calls calls", "Unexpected 'calls'"),
        ("unknown", "'unknown', which no query has"),
        ("calls $ 1", "cannot be read"),
        ("(calls", "ends too early"),
        ("METRICS()", "more than one series"),
        ("METRICS() + METRICS()", "cannot be combined"),
        ("[1, calls]", "list in an expression"),
        ("FILL(1, 2)", "FILL takes"),
        ("FILL(calls, errors)", "FILL takes"),
        ("PERIOD(1)", "PERIOD is asked"),
        ("ANOMALY_DETECTION_BAND(calls)", "not supported"),
        ("SEARCH('x', 'Sum', 300)", "cannot be read"),
        ("(" * 500 + "1" + ")" * 500, "nested too deeply"),
        ("-" * 500 + "1", "nested too deeply"),
        ("^".join("1" * 100), "nested too deeply"),
    ],
)
def test_what_cannot_be_evaluated_says_why(expression: str, reason: str) -> None:
    with pytest.raises(BadExpressionError) as caught:
        evaluate(expression, OPERANDS)
    assert reason in str(caught.value)


@given(st.text(alphabet="calserou1290.+-*/^()[],FILSUMETRC e_", max_size=60))
def test_no_text_makes_anything_else_than_a_value_or_a_refusal(text: str) -> None:
    try:
        found = evaluate(text, OPERANDS)
    except BadExpressionError:
        return
    assert all(isinstance(value, float) for value in found.values())


def test_identifiers_are_those_of_queries() -> None:
    assert identifiers("FILL(m1, 1e5) + SUM([m2, m_3])") == {"m1", "m2", "m_3"}
