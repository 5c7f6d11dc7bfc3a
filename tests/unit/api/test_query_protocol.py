"""Forms with numbered names in, XML out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdabox.api.model import ServiceApi
from lambdabox.api.query_protocol import error, output, read_form, read_parameters
from lambdabox.domain.errors import SerializationException

SERVICE = ServiceApi.load("cloudwatch")
STATISTICS = SERVICE.operation("GetMetricStatistics")
DATA = SERVICE.operation("GetMetricData")


def test_a_form_is_the_document_it_stands_for() -> None:
    form = read_form(
        b"Action=GetMetricStatistics&Namespace=AWS%2FLambda&Period=60"
        b"&StartTime=2026-11-18T12%3A00%3A00Z&EndTime=2026-11-18T13:00:00"
        b"&Dimensions.member.2.Name=b&Dimensions.member.2.Value=2"
        b"&Dimensions.member.1.Name=a&Dimensions.member.1.Value=&Dimensions.member.10.Name=c"
        b"&Statistics.member.1=Sum&Unknown.member.1=x&ExtendedStatistics="
    )
    moment = datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert read_parameters(STATISTICS, form) == {
        "Namespace": "AWS/Lambda",
        "Period": 60,
        "StartTime": moment,
        "EndTime": moment + timedelta(hours=1),
        "Dimensions": [{"Name": "a", "Value": ""}, {"Name": "b", "Value": "2"}, {"Name": "c"}],
        "Statistics": ["Sum"],
        "ExtendedStatistics": [],
    }


@pytest.mark.parametrize(
    "body", [b"\xff=1", b"Period=soon", b"StartTime=then", b"Period.member.1=6"]
)
def test_a_form_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationException):
        read_parameters(STATISTICS, read_form(body))


@given(
    st.dictionaries(
        st.lists(
            st.sampled_from(["MetricDataQueries", "member", "1", "MetricStat", "Metric", "Id",
                             "Period", "StartTime", "ReturnData", "Dimensions", "x"]),
            min_size=1, max_size=6,
        ).map(".".join),
        st.text(max_size=8),
        max_size=8,
    )
)  # fmt: skip
def test_any_form_is_read_or_refused_by_its_rules(form: dict[str, Any]) -> None:
    try:
        document = read_parameters(DATA, form)
    except SerializationException:
        return
    assert isinstance(document, dict)


def test_output_is_xml_with_what_xml_cannot_hold_replaced() -> None:
    found = {
        "MetricDataResults": [
            {
                "Id": "m1",
                "Label": "<&\x00",
                "Timestamps": [datetime(2026, 11, 18, 12, tzinfo=UTC)],
                "Values": [1.5],
            }
        ],
        "NextToken": None,
    }
    assert output(DATA, "urn:x", found, "r-1").body.decode() == (
        '<GetMetricDataResponse xmlns="urn:x"><GetMetricDataResult><MetricDataResults><member>'
        "<Id>m1</Id><Label>&lt;&amp;\ufffd</Label>"
        "<Timestamps><member>2026-11-18T12:00:00.000Z</member></Timestamps>"
        "<Values><member>1.5</member></Values></member></MetricDataResults>"
        "</GetMetricDataResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>"
        "</GetMetricDataResponse>"
    )


def test_an_error_says_whose_fault_it_is() -> None:
    assert error("A<", "b&", 400, "urn:x", "r").body.decode() == (
        '<ErrorResponse xmlns="urn:x"><Error><Type>Sender</Type><Code>A&lt;</Code>'
        "<Message>b&amp;</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
