"""Metrics in what functions print, which may be anything."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.usage_rows import NOON, ONE, STREAM

from lambdabox.domain.metrics import Datum, Metric
from lambdabox.ports import LogLine
from lambdabox.telemetry.embedded_metrics import (
    MAX_LINE_VALUES,
    MAX_METRICS,
    MAX_VALUES,
    derive,
    read_line,
)

AT = NOON + 1


def document(**changed: Any) -> dict[str, Any]:
    directive = {
        "Namespace": "Shop",
        "Dimensions": [["Service"], ["Service", "Region"]],
        "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Orders"}],
    }
    return {
        "_aws": {"Timestamp": NOON * 1000, "CloudWatchMetrics": [{**directive, **changed}]},
        "Service": "cart",
        "Region": "eu",
        "Latency": [10, 20.5],
        "Orders": 3,
    }


def line(content: Any) -> LogLine:
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    return LogLine(STREAM, AT * 1000, text)


def read(content: Any) -> list[Datum]:
    return list(read_line(line(content)))


def metric(name: str, *dimensions: tuple[str, str]) -> Metric:
    return Metric(STREAM.account, STREAM.region, "Shop", name, dimensions)


def test_each_metric_has_a_series_for_each_set_of_dimensions() -> None:
    found = {datum.metric: datum for datum in read(document())}
    one, two = (("Service", "cart"),), (("Region", "eu"), ("Service", "cart"))
    assert set(found) == {
        metric("Latency", *one), metric("Latency", *two),
        metric("Orders", *one), metric("Orders", *two),
    }  # fmt: skip
    latency = found[metric("Latency", *one)]
    assert (latency.values.count, latency.values.total, latency.unit) == (2, 30.5, "Milliseconds")
    assert latency.at == NOON, "when the line says"
    assert found[metric("Orders", *one)].unit == "None"


def test_no_dimensions_make_one_series_without() -> None:
    assert [datum.metric for datum in read(document(Dimensions=[]))] == [
        metric("Latency"), metric("Orders"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        pytest.param((AT - 15 * 86_400) * 1000, AT, id="too long ago"),
        pytest.param((AT + 3 * 3_600) * 1000, AT, id="in the future"),
        pytest.param("noon", AT, id="no number"),
        pytest.param(True, AT, id="a boolean"),
        pytest.param((AT - 86_400) * 1000, AT - 86_400, id="yesterday"),
    ],
)
def test_a_time_that_cannot_be_is_the_lines_own(timestamp: Any, at: float) -> None:
    content = document()
    content["_aws"]["Timestamp"] = timestamp
    assert {datum.at for datum in read(content)} == {at}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("no JSON", id="text"),
        pytest.param('{"_aws": ', id="cut off"),
        pytest.param({"_aws": []}, id="a header that is a list"),
        pytest.param({"_aws": {"CloudWatchMetrics": {}}}, id="directives that are none"),
        pytest.param({"_aws": {"CloudWatchMetrics": [1, None, []]}}, id="directives of no kind"),
        pytest.param(document(Namespace="AWS/Lambda"), id="the platform's metrics"),
        pytest.param(document(Namespace="Lambdabox"), id="ours"),
        pytest.param(document(Namespace=":x"), id="a reserved name"),
        pytest.param(document(Namespace="a" * 256), id="a long namespace"),
        pytest.param(document(Namespace=None), id="no namespace"),
        pytest.param(document(Dimensions=[["Missing"]]), id="a dimension without a value"),
        pytest.param(document(Dimensions=[[7]]), id="a dimension without a name"),
        pytest.param(document(Dimensions=["Service"]), id="dimensions not in a list"),
        pytest.param(document(Dimensions=[["Service"] * 31]), id="too many dimensions"),
        pytest.param(document(Metrics=[{"Name": "Service"}]), id="a value that is no number"),
        pytest.param(document(Metrics=[{"Name": []}, 4, {"Unit": "Count"}]), id="no names"),
        pytest.param({**document(), "Latency": True, "Orders": "3"}, id="values of no kind"),
        pytest.param({**document(), "Latency": [[1]], "Orders": 1e300}, id="values too large"),
        pytest.param({**document(), "Service": {"a": 1}}, id="a dimension that is an object"),
        pytest.param({**document(), "Service": "x" * 1_025}, id="a dimension that is long"),
        pytest.param({**document(), "Service": "a\x00b"}, id="what no database stores"),
    ],
)
def test_what_is_not_of_the_format_is_no_metric(content: Any) -> None:
    assert read(content) == []


HEADER = ["_aws", "Timestamp", "CloudWatchMetrics"]
NAMES = [*HEADER, "Namespace", "Dimensions", "Metrics", "Name", "Unit", "StorageResolution", "a"]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(ANYTHING)
def test_nothing_that_a_function_prints_raises(content: Any) -> None:
    wrapped = {"_aws": {"CloudWatchMetrics": [content]}, "a": content}
    for text in (content, wrapped):
        for datum in read(text):
            assert datum.values.count > 0


def test_one_line_has_a_bounded_number_of_values() -> None:
    names = [f"m{number}" for number in range(MAX_METRICS * 2)]
    content = {
        **document(Metrics=[{"Name": name} for name in names], Dimensions=[]),
        **{name: [1] * MAX_VALUES * 3 for name in names},
    }
    found = read(content)
    assert sum(datum.values.count for datum in found) == MAX_LINE_VALUES
    assert all(datum.values.count == MAX_VALUES for datum in found)


def test_lines_of_a_batch_add_up_and_others_are_passed_by() -> None:
    lines = [line(document()), line("hello"), line('{"_aws": 1}'), line(document())]
    found = {datum.metric: datum.values for datum in derive(lines, [])}
    assert found[metric("Orders", ("Service", "cart"))].total == 6.0


def test_an_age_in_the_queue_is_a_metric_of_the_function_and_the_qualifier() -> None:
    usages = [ONE, ONE._replace(queue_ms=40.0), ONE._replace(queue_ms=60.0, qualifier="live")]
    found = {datum.metric.dimensions: datum.values for datum in derive([], usages)}
    assert found[("FunctionName", "hello"),].total == 100.0
    assert found[("FunctionName", "hello"), ("Resource", "hello:live")].total == 60.0
    assert found[("FunctionName", "hello"), ("Resource", "hello")].total == 40.0


def test_ages_of_events_add_up_by_minute_for_the_function_and_for_each_qualifier() -> None:
    events = [
        ONE._replace(queue_ms=10.0),
        ONE._replace(queue_ms=30.0),
        ONE._replace(queue_ms=50.0, qualifier="live"),
        ONE._replace(queue_ms=70.0, started_at=ONE.started_at + 60),
        ONE,  # somebody waited for its answer
    ]
    found = {
        (dict(d.metric.dimensions).get("Resource"), int(d.at) // 60): d.values
        for d in derive([], events)
    }
    name, minute = ONE.function_name, int(ONE.started_at) // 60
    totals = {place: (values.count, values.total) for place, values in found.items()}
    assert totals == {
        (None, minute): (3, 90.0),
        (name, minute): (2, 40.0),
        (f"{name}:live", minute): (1, 50.0),
        (None, minute + 1): (1, 70.0),
        (name, minute + 1): (1, 70.0),
    }
    assert found[None, minute].buckets.keys() > found[name, minute].buckets.keys()
