"""Figures of functions as clients of CloudWatch, Prometheus and our own pages see them."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.functions import Clients, MakeFunction
from support.node import Node

from lambdabox.api import cbor

WORKS = """
def handler(event, context):
    if event.get("fails"):
        raise ValueError("no")
    return 1
"""
PRINTS = """
import json, time

def handler(event, context):
    print(json.dumps({
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [
            {"Namespace": event["namespace"], "Dimensions": [["Service"]],
             "Metrics": [{"Name": "Orders", "Unit": "Count"}]}]},
        "Service": "cart", "Orders": [1, 2, 6],
    }))
"""


@pytest.fixture(scope="module")
def cloudwatch(clients: Clients) -> Any:
    return clients("cloudwatch")


@pytest.fixture
def used(lambda_client: Any, make_function: MakeFunction) -> str:
    """A function that has run three times, once with an error, and once through an alias."""
    name = make_function(WORKS)
    for event in ({}, {}, {"fails": True}):
        lambda_client.invoke(FunctionName=name, Payload=json.dumps(event))
    version = lambda_client.publish_version(FunctionName=name)["Version"]
    lambda_client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version)
    lambda_client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    lambda_client.invoke(FunctionName=f"{name}:live", Payload="{}")
    return name


def period() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=1)}


def dimensions(**named: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in named.items()]


def query(id: str, name: str, stat: str, *, namespace: str = "AWS/Lambda", **named: str) -> Any:
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions(**named)}
    return {"Id": id, "MetricStat": {"Metric": metric, "Period": 3_600, "Stat": stat}}


def total(cloudwatch: Any, name: str, stat: str, **named: str) -> float:
    response = cloudwatch.get_metric_data(
        MetricDataQueries=[query("m", name, stat, **named)], **period()
    )
    return float(sum(response["MetricDataResults"][0]["Values"]))


def test_metric_data_of_known_invocations(cloudwatch: Any, used: str) -> None:
    response = cloudwatch.get_metric_data(
        MetricDataQueries=[
            query("calls", "Invocations", "Sum", FunctionName=used),
            query("errors", "Errors", "Sum", FunctionName=used),
            query("slowest", "Duration", "p99", FunctionName=used),
            {"Id": "rate", "Expression": "errors / calls * 100", "Label": "error rate"},
        ],
        **period(),
    )
    response.pop("ResponseMetadata")
    assert response.keys() == {"MetricDataResults", "Messages"}
    calls, errors, slowest, rate = response["MetricDataResults"]
    assert calls.keys() == {"Id", "Label", "Timestamps", "Values", "StatusCode"}
    assert (calls["Id"], calls["Label"], calls["StatusCode"]) == (
        "calls",
        "Invocations",
        "Complete",
    )
    assert (calls["Values"], errors["Values"]) == ([4.0], [1.0])
    assert slowest["Values"][0] > 0
    assert (rate["Label"], rate["Values"]) == ("error rate", [25.0])
    assert rate["Timestamps"] == calls["Timestamps"]


def test_dimensions_tell_apart_what_was_called_and_what_ran(cloudwatch: Any, used: str) -> None:
    def count(**named: str) -> float:
        return total(cloudwatch, "Invocations", "Sum", FunctionName=used, **named)

    assert count() == 4
    assert count(Resource=used) == 3
    assert count(Resource=f"{used}:live") == 1
    assert count(Resource=f"{used}:live", ExecutedVersion="1") == 1
    assert count(Resource=f"{used}:live", ExecutedVersion="2") == 0
    assert count(Resource="another") == 0
    assert count(Colour="red") == 0
    assert total(cloudwatch, "Errors", "Average", FunctionName=used, Resource=used) == 1 / 3


def test_statistics_have_every_member(cloudwatch: Any, used: str) -> None:
    response = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Duration",
        Dimensions=dimensions(FunctionName=used),
        Period=3_600,
        Statistics=["SampleCount", "Average", "Sum", "Minimum", "Maximum"],
        **period(),
    )
    assert response["Label"] == "Duration"
    (point,) = response["Datapoints"]
    assert point.keys() == {
        "Timestamp", "SampleCount", "Average", "Sum", "Minimum", "Maximum", "Unit",
    }  # fmt: skip
    assert (point["SampleCount"], point["Unit"]) == (4.0, "Milliseconds")
    assert point["Average"] == pytest.approx(point["Sum"] / 4)
    assert 0 < point["Minimum"] <= point["Average"] <= point["Maximum"]
    extended = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda", MetricName="Duration", Dimensions=dimensions(FunctionName=used),
        Period=3_600, ExtendedStatistics=["p50", "p99.9"], **period(),
    )["Datapoints"][0]["ExtendedStatistics"]  # fmt: skip
    assert extended.keys() == {"p50", "p99.9"}


def test_metrics_are_listed_with_their_dimensions(cloudwatch: Any, used: str) -> None:
    response = cloudwatch.list_metrics(
        Namespace="AWS/Lambda", MetricName="Errors",
        Dimensions=[{"Name": "FunctionName", "Value": used}], RecentlyActive="PT3H",
    )  # fmt: skip
    found = {
        tuple((each["Name"], each["Value"]) for each in metric["Dimensions"])
        for metric in response["Metrics"]
    }
    function, alias = ("FunctionName", used), ("Resource", f"{used}:live")
    assert found == {
        (function,), (function, ("Resource", used)), (function, alias),
        (("ExecutedVersion", "1"), function, alias),
    }  # fmt: skip
    assert all(
        metric["Namespace"] == "AWS/Lambda" and metric["MetricName"] == "Errors"
        for metric in response["Metrics"]
    )


def test_another_account_sees_nothing_of_it(clients: Clients, used: str) -> None:
    other = clients("cloudwatch", account="999999999999")
    assert total(other, "Invocations", "Sum", FunctionName=used) == 0


def test_what_a_function_prints_is_a_metric(
    cloudwatch: Any, lambda_client: Any, make_function: MakeFunction, name: str
) -> None:
    function = make_function(PRINTS)
    for _ in range(2):
        lambda_client.invoke(FunctionName=function, Payload=json.dumps({"namespace": name}))
    named = {"namespace": name, "Service": "cart"}
    assert total(cloudwatch, "Orders", "Sum", **named) == 18
    assert total(cloudwatch, "Orders", "SampleCount", **named) == 6
    assert total(cloudwatch, "Orders", "Maximum", **named) == 6
    (metric,) = cloudwatch.list_metrics(Namespace=name)["Metrics"]
    assert metric == {
        "Namespace": name, "MetricName": "Orders", "Dimensions": dimensions(Service="cart"),
    }  # fmt: skip


def test_the_platforms_metrics_cannot_be_written_by_functions(
    cloudwatch: Any, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(PRINTS)
    lambda_client.invoke(FunctionName=function, Payload=json.dumps({"namespace": "AWS/Lambda"}))
    assert total(cloudwatch, "Orders", "Sum", Service="cart") == 0


def test_throttles_and_concurrency_are_metrics(
    cloudwatch: Any, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(WORKS)
    lambda_client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    for _ in range(2):
        with pytest.raises(lambda_client.exceptions.TooManyRequestsException):
            lambda_client.invoke(FunctionName=function, Payload="{}")
    assert total(cloudwatch, "Throttles", "Sum", FunctionName=function) == 2
    assert total(
        cloudwatch, "Throttles", "Sum", FunctionName=function, Resource=f"{function}:$LATEST"
    ) == 2  # fmt: skip


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"Period": 90}, "parameter Period must be"),
        ({"EndTime": datetime(2020, 1, 1, tzinfo=UTC)}, "must be less than"),
        ({"StartTime": datetime(2020, 1, 1, tzinfo=UTC)}, "exceeds the limit of 1,440"),
        ({"ExtendedStatistics": ["tm99"]}, "tm99 for parameter Stat"),
        ({"ExtendedStatistics": ["p101"]}, "p101 for parameter Stat"),
    ],
)
def test_a_bad_request_says_what_is_wrong(
    cloudwatch: Any, used: str, members: Mapping[str, Any], said: str
) -> None:
    request = {
        "Namespace": "AWS/Lambda", "MetricName": "Duration", "Period": 60,
        "Dimensions": dimensions(FunctionName=used), **period(), "Statistics": ["Sum"], **members,
    }  # fmt: skip
    with pytest.raises(cloudwatch.exceptions.ClientError) as caught:
        cloudwatch.get_metric_statistics(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert said in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([{"Id": "Capital", "Expression": "1"}, "own"], "Capital for parameter"),
        (["own", "own"], "not unique"),
        ([{"Id": "neither"}, "own"], "Exactly one"),
        (["own", {"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}], "a circle"),
        (["own", {"Id": "a", "Expression": "SEARCH('x')"}], "Error in expression 'a'"),
    ],
)
def test_bad_queries_are_told(cloudwatch: Any, queries: list[Any], said: str) -> None:
    own = query("own", "Invocations", "Sum")
    with pytest.raises(cloudwatch.exceptions.ClientError) as caught:
        cloudwatch.get_metric_data(
            MetricDataQueries=[own if each == "own" else each for each in queries], **period()
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert said in caught.value.response["Error"]["Message"]


def test_results_come_in_pages(cloudwatch: Any, lambda_client: Any, used: str) -> None:
    queries = [
        query("a", "Invocations", "Sum", FunctionName=used),
        query("b", "Errors", "Sum", FunctionName=used),
    ]
    first = cloudwatch.get_metric_data(MetricDataQueries=queries, MaxDatapoints=1, **period())
    assert [each["Values"] for each in first["MetricDataResults"]] == [[4.0], []]
    second = cloudwatch.get_metric_data(
        MetricDataQueries=queries, MaxDatapoints=1, NextToken=first["NextToken"], **period()
    )
    assert [each["Values"] for each in second["MetricDataResults"]] == [[], [1.0]]
    assert "NextToken" not in second


def post(node: Node, path: str, body: bytes, **headers: str) -> tuple[int, Any, bytes]:
    scope = "test/20261123/us-east-1/monitoring/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        node.url + path, body, {**named, "Authorization": signed}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


CBOR_PATH = "/service/GraniteServiceVersion20100801/operation/GetMetricData"


def test_cbor_is_answered_in_cbor(node: Node, used: str) -> None:
    request = {
        "MetricDataQueries": [query("m", "Invocations", "Sum", FunctionName=used)], **period(),
    }  # fmt: skip
    headers = {"Content_Type": "application/cbor", "smithy_protocol": "rpc-v2-cbor"}
    status, answered, body = post(node, CBOR_PATH, cbor.encode(request), **headers)
    assert (status, answered["smithy-protocol"]) == (200, "rpc-v2-cbor")
    (result,) = cbor.decode(body)["MetricDataResults"]
    assert result["Values"] == [4.0]
    assert abs(result["Timestamps"][0] - time.time()) < 7_200
    status, answered, body = post(node, CBOR_PATH, b"\x9f", **headers)
    assert (status, cbor.decode(body)["__type"]) == (
        400, "com.amazonaws.cloudwatch#SerializationException",
    )  # fmt: skip


FORM = (
    "Action=GetMetricStatistics&Version=2010-08-01&Namespace=AWS%2FLambda&MetricName=Invocations"
    "&Dimensions.member.1.Name=FunctionName&Dimensions.member.1.Value={name}&Period={period}"
    "&StartTime={start}&EndTime={end}&Statistics.member.1=Sum"
)


def test_a_form_is_answered_in_xml(node: Node, used: str) -> None:
    times = {
        "start": (datetime.now(UTC) - timedelta(minutes=9)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end": (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    headers = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}
    form = FORM.format(name=used, period=3_600, **times).encode()
    status, answered, body = post(node, "/", form, **headers)
    assert (status, answered["Content-Type"]) == (200, "text/xml")
    assert b"<Label>Invocations</Label>" in body
    assert b"<Unit>Count</Unit><Sum>4.0</Sum>" in body
    form = FORM.format(name=used, period=7, **times).encode()
    status, _, body = post(node, "/", form, **headers)
    assert status == 400
    assert b"<Code>InvalidParameterValue</Code>" in body


def test_metrics_of_others_come_from_the_neighbour(cloudwatch: Any, used: str, name: str) -> None:
    cloudwatch.put_metric_data(
        Namespace=name, MetricData=[{"MetricName": "Theirs", "Value": 5.0, "Unit": "Count"}]
    )
    listed = cloudwatch.list_metrics()["Metrics"]
    assert {"AWS/Lambda", name} <= {metric["Namespace"] for metric in listed}
    theirs = query("theirs", "Theirs", "Sum", namespace=name)
    alone = cloudwatch.get_metric_data(MetricDataQueries=[theirs], **period())
    assert alone["MetricDataResults"][0]["Values"] == [5.0]
    ours = query("ours", "Invocations", "Sum", FunctionName=used)
    both = cloudwatch.get_metric_data(MetricDataQueries=[ours, theirs], **period())
    values = {each["Id"]: each["Values"] for each in both["MetricDataResults"]}
    assert values == {"ours": [4.0], "theirs": [5.0]}


def get(node: Node, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(node.url + path, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/metrics", "/_lambdabox/metrics"])
def test_prometheus_has_its_page(
    node: Node, lambda_client: Any, make_function: MakeFunction, used: str, path: str
) -> None:
    lambda_client.invoke(
        FunctionName=make_function(PRINTS), Payload=json.dumps({"namespace": "Shop one"})
    )
    status, text = get(node, path)
    assert status == 200
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return found[(name, *sorted(labels.items()))]

    function = {"account_id": "000000000000", "region": "us-east-1", "function_name": used}
    ran = {**function, "executed_version": "$LATEST", "resource": used}
    assert value("aws_lambda_invocations_total", **ran) == 3
    assert value("aws_lambda_errors_total", **ran) == 1
    assert value("aws_lambda_duration_seconds_count", **ran) == 3
    assert value("aws_lambda_duration_seconds_bucket", **ran, le="300.0") == 3
    alias = {**function, "executed_version": "1", "resource": f"{used}:live"}
    assert value("aws_lambda_invocations_total", **alias) == 1
    assert value("lambdabox_cold_starts_total", **alias) == 1
    assert value("lambdabox_environments", state="idle") >= 1
    assert value("lambdabox_http_requests_total", service="invoke") >= 1
    printed = {
        "account_id": "000000000000", "region": "us-east-1", "namespace": "Shop one",
        "metric": "Orders", "dim_Service": "cart",
    }  # fmt: skip
    assert value("emf_Shop_one_Orders_sum", **printed) % 9 == 0


def test_a_bucket_named_metrics_is_still_a_bucket(clients: Clients) -> None:
    s3 = clients("s3")
    s3.create_bucket(Bucket="metrics")
    assert s3.list_objects_v2(Bucket="metrics")["KeyCount"] == 0


def test_costs_by_function(node: Node, used: str) -> None:
    status, text = get(node, "/_lambdabox/costs?days=1")
    assert status == 200
    page = json.loads(text)
    assert page.keys() == {
        "Currency", "Days", "Since", "Functions", "Total", "Waste", "AsOneMonth",
    }  # fmt: skip
    function = next(each for each in page["Functions"] if each["FunctionName"] == used)
    assert function.keys() == {
        "FunctionName", "Invocations", "GBSeconds", "MemorySize", "MemoryUsed", "Cost",
        "ComputeOnOtherArchitecture", "Waste", "Days",
    }  # fmt: skip
    assert function["Invocations"] == 4
    assert function["Cost"]["Requests"] == 4 * 0.0000002
    assert function["Cost"]["Total"] == pytest.approx(sum(day["Cost"] for day in function["Days"]))


def test_what_is_going_on(node: Node, used: str) -> None:
    status, text = get(node, "/_lambdabox/top?minutes=5")
    assert status == 200
    page = json.loads(text)
    assert page.keys() == {"Seconds", "Environments", "QueuedEvents", "Functions"}
    function = next(each for each in page["Functions"] if each["FunctionName"] == used)
    assert (function["Invocations"], function["Errors"], function["Running"]) == (4, 1, 0)
    assert 0 < function["DurationP50"] <= function["DurationMaximum"]


@pytest.mark.parametrize(
    "path", ["costs?days=0", "top?minutes=x", "usage?days=9999", "costs?days=²"]
)
def test_a_bad_number_is_refused(node: Node, path: str) -> None:
    status, text = get(node, "/_lambdabox/" + urllib.parse.quote(path, safe="?="))
    assert status == 400
    assert "is a number from 1 to" in json.loads(text)["message"]
