import base64
import json
import re
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    eventually,
    invoke,
    log_messages,
    refused,
    without_metadata,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
SHOW_ARN = "def handler(event, context):\n    return context.invoked_function_arn\n"
CONSTANT = "def handler(event, context):\n    return {}\n"
NOT_JSON = "Could not parse request body into json: Could not parse payload into json: "
SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
SIX_MEGABYTES = 6_291_456


def test_a_synchronous_answer_is_complete(lambda_client: Any, make_function: MakeFunction) -> None:
    response = lambda_client.invoke(FunctionName=make_function(), Payload=b'{"a": [1, null]}')
    metadata = response["ResponseMetadata"]
    assert set(without_metadata(response)) == {"StatusCode", "ExecutedVersion", "Payload"}
    assert (response["StatusCode"], response["ExecutedVersion"]) == (200, "$LATEST")
    assert json.loads(response["Payload"].read()) == {"a": [1, None]}
    headers = metadata["HTTPHeaders"]
    assert headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["RequestId"])
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01];Lineage=[0-9a-f]{8}:0",
        headers["x-amzn-trace-id"],
    )


def test_the_request_id_is_the_one_the_function_sees(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    source = "def handler(event, context):\n    return context.aws_request_id\n"
    result = invoke(lambda_client, make_function(source))
    assert result.value == result.request_id


def test_a_dry_run_answers_204_and_runs_nothing(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    response = lambda_client.invoke(FunctionName=function, InvocationType="DryRun")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert response["StatusCode"] == 204
    assert response["Payload"].read() == b""
    assert "FunctionError" not in response
    assert log_messages(logs_client, f"/aws/lambda/{function}") == []


def test_an_event_answers_202_with_nothing_and_runs(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    print('got', event['n'])\n")
    response = lambda_client.invoke(
        FunctionName=function, InvocationType="Event", Payload=b'{"n": 17}'
    )
    assert response["StatusCode"] == 202
    assert response["Payload"].read() == b""
    assert set(without_metadata(response)) == {"StatusCode", "Payload"}
    group = f"/aws/lambda/{function}"
    eventually(lambda: "got 17\n" in log_messages(logs_client, group))
    request_id = response["ResponseMetadata"]["RequestId"]
    assert f"START RequestId: {request_id} Version: $LATEST\n" in log_messages(logs_client, group)


def test_a_failed_event_is_tried_three_times_under_one_request_id(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    raise ValueError('no')\n")
    sent = invoke(lambda_client, function, {}, InvocationType="Event")
    end = f"END RequestId: {sent.request_id}\n"
    group = f"/aws/lambda/{function}"
    eventually(lambda: log_messages(logs_client, group).count(end) == 3)
    other = invoke(lambda_client, function)
    messages = log_messages(logs_client, group)
    assert messages.count(end) == 3
    assert f"END RequestId: {other.request_id}\n" in messages


def test_an_event_may_have_a_megabyte_and_no_more(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(CONSTANT)
    most = b'"%s"' % (b"x" * (1_048_576 - 2))
    sent = lambda_client.invoke(FunctionName=function, InvocationType="Event", Payload=most)
    assert sent["StatusCode"] == 202
    too_large = Refusal(
        413,
        "RequestTooLargeException",
        "Request must be smaller than 1048576 bytes for the InvokeFunction operation",
    )
    with refused(too_large):
        lambda_client.invoke(
            FunctionName=function, InvocationType="Event", Payload=most[:-1] + b'x"'
        )


def test_a_synchronous_payload_may_have_six_megabytes_and_no_more(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return len(event)\n")
    most = b'"%s"' % (b"x" * (SIX_MEGABYTES - 2))
    assert invoke(lambda_client, function, Payload=most).value == SIX_MEGABYTES - 2
    too_large = Refusal(
        413,
        "RequestTooLargeException",
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
    )
    with refused(too_large):
        lambda_client.invoke(FunctionName=function, Payload=most[:-1] + b'x"')


def test_a_response_may_have_a_hundred_bytes_above_six_megabytes(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return 'x' * event\n")
    result = invoke(lambda_client, function, 6_291_556 - 2)
    assert (result.error, len(result.payload)) == (None, 6_291_556)


def test_the_tail_of_the_log_comes_with_the_answer(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    print('said')\n")
    result = invoke(lambda_client, function, LogType="Tail")
    assert result.log.startswith(f"START RequestId: {result.request_id} Version: $LATEST\nsaid\n")
    assert f"\nEND RequestId: {result.request_id}\nREPORT RequestId: " in result.log
    assert result.log.endswith("\t\n")
    assert "LogResult" not in lambda_client.invoke(FunctionName=function)
    assert "LogResult" not in lambda_client.invoke(FunctionName=function, LogType="None")


def test_a_client_context_reaches_the_handler(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n"
        "    c = context.client_context\n"
        "    return [c.client.app_title, c.custom, c.env]\n"
    )
    given = {"client": {"app_title": "tïtle"}, "custom": {"a": "b"}, "env": {"e": "f"}}
    encoded = base64.b64encode(json.dumps(given).encode()).decode()
    result = invoke(lambda_client, function, ClientContext=encoded)
    assert result.value == ["tïtle", {"a": "b"}, {"e": "f"}]


def test_a_client_context_is_bounded_and_is_base64_of_json(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(CONSTANT)
    code = "InvalidRequestContentException"
    with refused(Refusal(400, code, "Client context must be no more than 3583 bytes.")):
        lambda_client.invoke(FunctionName=function, ClientContext="e" * 3_584)
    with refused(Refusal(400, code, "Client context must be a valid Base64-encoded JSON object.")):
        lambda_client.invoke(FunctionName=function, ClientContext="*")


def test_a_function_error_is_marked_and_is_still_status_200(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    raise KeyError('k')\n")
    response = lambda_client.invoke(FunctionName=function)
    assert response["StatusCode"] == 200
    assert response["FunctionError"] == "Unhandled"
    assert response["ExecutedVersion"] == "$LATEST"
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amz-function-error"] == "Unhandled"
    assert json.loads(response["Payload"].read())["errorType"] == "KeyError"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(
            b"\x99",
            "Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, "
            f"Number, Array, Object or token 'null', 'true' or 'false')\n at {SOURCE}; line: 1, "
            "column: 1]",
            id="a byte that begins nothing",
        ),
        pytest.param(
            b'{"\x87": 1}',
            f"Invalid UTF-8 start byte 0x87\n at {SOURCE}; line: 1, column: 3]",
            id="no UTF-8",
        ),
    ],
)
def test_a_payload_that_is_not_json_is_refused_in_the_words_of_aws(
    lambda_client: Any, make_function: MakeFunction, payload: bytes, message: str
) -> None:
    function = make_function(CONSTANT)
    with refused(Refusal(400, "InvalidRequestContentException", NOT_JSON + message)):
        lambda_client.invoke(FunctionName=function, Payload=payload)


@pytest.mark.parametrize("payload", [b"{", b'{"a": }', b"nope", b"[1,]", b"1 2", b"NaN", b" "])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_text_that_is_not_json_is_refused(
    lambda_client: Any, make_function: MakeFunction, payload: bytes, kind: str
) -> None:
    function = make_function(CONSTANT)
    with pytest.raises(lambda_client.exceptions.InvalidRequestContentException) as caught:
        lambda_client.invoke(FunctionName=function, Payload=payload, InvocationType=kind)
    assert caught.value.response["Error"]["Message"].startswith(NOT_JSON)


def test_no_payload_at_all_is_an_empty_object(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    assert invoke(lambda_client, make_function(), Payload=b"").value == {}


@pytest.mark.parametrize(
    "event",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "text",
        [],
        {},
        2**53,
        "grüße 日本 😀 \u2028 \x00",
        {"": {"é": [None]}},
    ],
)
def test_values_go_through_unchanged(
    lambda_client: Any, make_function: MakeFunction, event: Any
) -> None:
    result = invoke(lambda_client, make_function(), event)
    assert (result.value, result.error) == (event, None)


def test_a_handler_that_returns_nothing_answers_null(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    assert invoke(lambda_client, make_function("def handler(e, c): pass\n")).payload == b"null"


@pytest.mark.parametrize(
    ("form", "arn", "version"),
    [
        ("{name}", "{arn}", "$LATEST"),
        ("function:{name}", "{arn}", "$LATEST"),
        ("{account}:function:{name}", "{arn}", "$LATEST"),
        ("{arn}", "{arn}", "$LATEST"),
        ("{name}:1", "{arn}:1", "1"),
        ("{account}:function:{name}:1", "{arn}:1", "1"),
        ("{arn}:1", "{arn}:1", "1"),
        ("{name}:$LATEST", "{arn}:$LATEST", "$LATEST"),
        ("{arn}:$LATEST", "{arn}:$LATEST", "$LATEST"),
    ],
)
def test_a_function_is_named_in_every_form(
    lambda_client: Any, make_function: MakeFunction, form: str, arn: str, version: str
) -> None:
    function = make_function(SHOW_ARN)
    lambda_client.publish_version(FunctionName=function)
    names = {"name": function, "account": ACCOUNT, "arn": ARN + function}
    result = invoke(lambda_client, form.format(**names))
    assert (result.value, result.version) == (arn.format(**names), version)


@pytest.mark.parametrize(
    ("inner", "qualifier", "version"),
    [
        ("", "1", "1"),
        (":1", "1", "1"),
        ("", "$LATEST", "$LATEST"),
        (":$LATEST", "$LATEST", "$LATEST"),
    ],
)
def test_a_qualifier_chooses_the_version(
    lambda_client: Any, make_function: MakeFunction, inner: str, qualifier: str, version: str
) -> None:
    function = make_function(SHOW_ARN)
    lambda_client.publish_version(FunctionName=function)
    result = invoke(lambda_client, function + inner, Qualifier=qualifier)
    assert (result.value, result.version) == (f"{ARN}{function}:{qualifier}", version)


def test_a_qualifier_that_contradicts_the_name_is_refused(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    message = "The derived qualifier from the function name does not match the specified qualifier."
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.invoke(FunctionName=f"{make_function()}:1", Qualifier="$LATEST")


@pytest.mark.parametrize(
    ("parameters", "qualifier"),
    [({}, "$LATEST"), ({"Qualifier": "42"}, "42"), ({"Qualifier": "prod"}, "prod")],
)
@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_what_is_not_there_is_not_found(
    lambda_client: Any, parameters: dict[str, str], qualifier: str, kind: str
) -> None:
    message = f"Function not found: {ARN}nobody:{qualifier}"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.invoke(FunctionName="nobody", InvocationType=kind, **parameters)


def test_a_deleted_function_is_not_found_at_once(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    assert invoke(lambda_client, function, 1).value == 1
    lambda_client.delete_function(FunctionName=function)
    message = f"Function not found: {ARN}{function}:$LATEST"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.invoke(FunctionName=function)


def test_a_name_no_function_can_have_is_refused_by_the_model(lambda_client: Any) -> None:
    with pytest.raises(lambda_client.exceptions.ClientError) as caught:
        lambda_client.invoke(FunctionName="arn:aws:lambda:us-east-1:123400000000@function:myfn")
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith(
        "1 validation error detected: Value 'arn:aws:lambda:us-east-1:123400000000@function:myfn' "
        "at 'functionName' failed to satisfy constraint: Member must satisfy regular expression "
        "pattern: "
    )
    assert "Type" not in caught.value.response


def test_a_kind_of_invocation_that_does_not_exist_is_refused(lambda_client: Any) -> None:
    message = (
        "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy "
        "constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        lambda_client.invoke(FunctionName="f", InvocationType="Later")


def test_a_trace_is_carried_to_the_function_and_back(
    clients: Clients, make_function: MakeFunction
) -> None:
    client = clients()
    function = make_function(
        "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"
    )
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def add_trace(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    client.meta.events.register("before-sign.lambda.Invoke", add_trace)
    try:
        response = client.invoke(FunctionName=function)
    finally:
        client.meta.events.unregister("before-sign.lambda.Invoke", add_trace)
    carried = json.loads(response["Payload"].read())
    assert re.fullmatch(re.escape(trace) + r";Lineage=[0-9a-f]{8}:0", carried)
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"] == carried
