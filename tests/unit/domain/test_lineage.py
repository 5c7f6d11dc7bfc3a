"""A chain of events is counted by function, and is over after sixteen passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.lineage import MAX_PASSES, extend, is_loop, passes

ROOT = "Root=1-5e1b4151-5ac6c58dc39a6b6df1c8a1f2;Parent=53995c3f42cd8ad8;Sampled=0"
A = "arn:aws:lambda:us-east-1:123456789012:function:a"
B = "arn:aws:lambda:us-east-1:123456789012:function:b"


def test_a_chain_begins_with_its_first_function() -> None:
    trace = extend(ROOT, A)
    assert trace.startswith(f"{ROOT};Lineage=")
    assert trace.endswith(":0")
    assert (passes(trace, A), passes(trace, B)) == (1, 0)


def test_each_function_is_counted_for_itself() -> None:
    trace = ROOT
    for _ in range(3):
        trace = extend(extend(trace, A), B)
    trace = extend(trace, A)
    assert (passes(trace, A), passes(trace, B)) == (4, 3)
    assert trace.count("Lineage=") == 1


def test_a_function_runs_sixteen_times_in_a_chain_and_not_once_more() -> None:
    trace, runs = ROOT, 0
    while not is_loop(trace := extend(trace, A), A):
        runs += 1
    assert runs == MAX_PASSES == 16


def test_other_members_and_what_aws_wrote_stay() -> None:
    trace = extend(f"{ROOT};Lineage=1:a87bd80c:0|68fd508a:5;Self=1-2", A)
    head, _, tail = trace.rpartition(";")
    assert tail == "Self=1-2"
    assert head.startswith(f"{ROOT};Lineage=1:a87bd80c:0|68fd508a:5|")


def test_the_header_of_a_long_chain_stays_short_and_the_loop_is_found() -> None:
    trace, functions = ROOT, [f"{A}{number}" for number in range(15)]
    for _ in range(17):
        for function in functions:
            trace = extend(trace, function)
    assert is_loop(trace, functions[0])
    for number in range(500):
        trace = extend(trace, f"{B}{number}")
    assert len(trace) < 512


@given(st.text(max_size=80))
def test_whatever_a_client_sends_can_be_counted(lineage: str) -> None:
    trace = extend(f"{ROOT};Lineage={lineage}", A)
    assert passes(trace, A) >= 1


@pytest.mark.parametrize("count", ["٣", "-1", "", "1e3", "x"])
def test_a_count_that_is_none_begins_anew(count: str) -> None:
    own = extend(ROOT, A).rpartition("=")[2].removesuffix(":0")
    assert passes(extend(f"{ROOT};Lineage={own}:{count}", A), A) == 1
