"""Who may use a function URL: policies, signatures, and pages of other origins."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    await_active,
    create,
)
from support.http import send
from support.node import Node
from support.urls import ANSWER, Url, UrlAnswer, allow_everybody, public_url

FORBIDDEN = {
    "Message": "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
}
ORIGIN = "https://example.com"


def forbidden(answer: UrlAnswer) -> bool:
    return (
        answer.status == 403
        and answer.value == FORBIDDEN
        and answer.header("x-amzn-errortype") == "AccessDeniedException"
    )


def make_url(node: Node, client: Any, function: str, **settings: Any) -> Url:
    created = client.create_function_url_config(FunctionName=function, **settings)
    return Url(node, created["FunctionUrl"])


def signed(
    url: Url,
    *,
    key: str = ACCOUNT,
    secret: str = "test",  # noqa: S107  # what tests use
    region: str = REGION,
    service: str = "lambda",
    body: bytes = b"",
    by_query: bool = False,
) -> UrlAnswer:
    """POST `body` to the URL, signed by botocore."""
    request = AWSRequest("POST", f"http://{url.host}/signed?b=2&a=1", data=body)
    credentials = Credentials(key, secret)
    auth = SigV4QueryAuth if by_query else SigV4Auth
    auth(credentials, service, region).add_auth(request)
    prepared = request.prepare()
    path = prepared.url.partition(url.host)[2]
    headers = [
        (name, value) for name, value in prepared.headers.items() if name != "Content-Length"
    ]
    return url.ask(path, method="POST", body=body, headers=headers)


@pytest.fixture(scope="module")
def signed_url(node: Node, lambda_client: Any) -> Iterator[Url]:
    create(lambda_client, "behind-a-signature", ANSWER)
    await_active(lambda_client, "behind-a-signature")
    yield make_url(node, lambda_client, "behind-a-signature", AuthType="AWS_IAM")
    lambda_client.delete_function(FunctionName="behind-a-signature")


def test_a_public_url_needs_both_permissions(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(ANSWER)
    url = make_url(node, lambda_client, function, AuthType="NONE")
    assert forbidden(url.ask())
    allow_everybody(lambda_client, function)
    assert url.ask().status == 200
    lambda_client.remove_permission(FunctionName=function, StatementId="function")
    assert forbidden(url.ask())
    allow_function = {
        "FunctionName": function,
        "StatementId": "function",
        "Action": "lambda:InvokeFunction",
        "Principal": "*",
    }
    lambda_client.add_permission(**allow_function, InvokedViaFunctionUrl=True)
    assert url.ask().status == 200
    lambda_client.remove_permission(FunctionName=function, StatementId="url")
    assert forbidden(url.ask())


def test_permissions_for_signed_requests_admit_no_unsigned_ones(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(ANSWER)
    url = make_url(node, lambda_client, function, AuthType="NONE")
    allow_everybody(lambda_client, function)
    assert url.ask().status == 200
    lambda_client.update_function_url_config(FunctionName=function, AuthType="AWS_IAM")
    assert forbidden(url.ask())


@pytest.mark.parametrize("by_query", [False, True], ids=["header", "query"])
@pytest.mark.parametrize("secret", ["test", "lambdabox"])
def test_a_signed_request_passes_and_says_whose_it_is(
    signed_url: Url, secret: str, by_query: bool
) -> None:
    answer = signed(signed_url, secret=secret, by_query=by_query, body=b"" if by_query else b"{}")
    assert answer.status == 200, answer.body
    context = answer.value["requestContext"]
    assert context["accountId"] == ACCOUNT
    assert context["authorizer"] == {
        "iam": {
            "accessKey": ACCOUNT,
            "accountId": ACCOUNT,
            "callerId": ACCOUNT,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": f"arn:aws:iam::{ACCOUNT}:root",
            "userId": ACCOUNT,
        }
    }


def test_an_unsigned_request_is_forbidden(signed_url: Url) -> None:
    assert forbidden(signed_url.ask())
    assert forbidden(signed_url.ask(headers=[("Authorization", "Bearer token")]))
    assert forbidden(signed_url.ask(headers=[("Authorization", "AWS4-HMAC-SHA256 nonsense")]))


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException", "The request signature we calculated"),
        ({"region": "eu-west-1"}, "InvalidSignatureException", "scoped to a valid region"),
        ({"service": "s3"}, "InvalidSignatureException", "scoped to correct service"),
        ({"key": "AKIAIOSFODNN7EXAMPLE"}, "UnrecognizedClientException", "The security token"),
    ],
)
def test_a_wrong_signature_is_refused(
    signed_url: Url, wrong: dict[str, str], code: str, words: str
) -> None:
    answer = signed(signed_url, **wrong)  # type: ignore[arg-type]  # strings alone
    assert answer.status == 403
    assert answer.header("x-amzn-errortype") == code
    assert set(answer.value) == {"Message"}
    assert words in answer.value["Message"]


def test_a_body_that_was_not_signed_is_refused(signed_url: Url) -> None:
    request = AWSRequest("POST", f"http://{signed_url.host}/", data=b"signed")
    SigV4Auth(Credentials("test", "test"), "lambda", REGION).add_auth(request)
    headers = [(name, value) for name, value in request.headers.items()]
    answer = signed_url.ask(method="POST", body=b"sent", headers=headers)
    assert answer.status == 403
    assert answer.header("x-amzn-errortype") == "InvalidSignatureException"


def test_another_account_needs_permission(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(ANSWER)
    url = make_url(node, lambda_client, function, AuthType="AWS_IAM")
    other = "111122223333"
    assert forbidden(signed(url, key=other))
    for action, condition in (
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "AWS_IAM"}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        lambda_client.add_permission(
            FunctionName=function,
            StatementId=action.partition(":")[2],
            Action=action,
            Principal=other,
            **condition,
        )
    answer = signed(url, key=other)
    assert answer.status == 200
    assert answer.value["requestContext"]["accountId"] == other


def test_an_alias_has_a_url_of_its_own(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(ANSWER)
    lambda_client.publish_version(FunctionName=function)
    lambda_client.create_alias(FunctionName=function, Name="prod", FunctionVersion="1")
    allow_everybody(lambda_client, function)
    plain = make_url(node, lambda_client, function, AuthType="NONE")
    created = lambda_client.create_function_url_config(
        FunctionName=function, Qualifier="prod", AuthType="NONE"
    )
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    assert created["FunctionArn"] == f"{arn}:prod"
    aliased = Url(node, created["FunctionUrl"])
    assert plain.ask("/arn").body.decode() == arn
    assert forbidden(aliased.ask("/arn"))  # a policy of its own, too
    allow_everybody(lambda_client, function, Qualifier="prod")
    assert aliased.ask("/arn").body.decode() == f"{arn}:prod"
    pages = lambda_client.get_paginator("list_function_url_configs").paginate(
        FunctionName=function, PaginationConfig={"PageSize": 1}
    )
    listed = [page["FunctionUrlConfigs"] for page in pages]
    assert [[url["FunctionArn"] for url in page] for page in listed] == [[arn], [f"{arn}:prod"]]
    lambda_client.delete_alias(FunctionName=function, Name="prod")
    assert aliased.ask("/arn").status == 403
    assert plain.ask("/arn").status == 200


@pytest.mark.parametrize("mode", ["BUFFERED", "RESPONSE_STREAM"])
def test_a_function_that_is_switched_off_is_throttled(
    node: Node, lambda_client: Any, make_function: MakeFunction, mode: str
) -> None:
    function = make_function(ANSWER)
    url = public_url(node, lambda_client, function, InvokeMode=mode)
    lambda_client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    answer = url.ask()
    assert (answer.status, answer.value) == (429, {"Message": "Rate Exceeded."})
    assert answer.header("x-amzn-errortype") == "TooManyRequestsException"


def test_preflight_requests_are_answered_without_the_function(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    raise ValueError\n")
    url = make_url(
        node,
        lambda_client,
        function,
        AuthType="AWS_IAM",
        Cors={
            "AllowOrigins": [ORIGIN],
            "AllowMethods": ["GET", "PUT"],
            "AllowHeaders": ["x-own", "content-type"],
            "MaxAge": 60,
            "AllowCredentials": True,
            "ExposeHeaders": ["x-shown"],
        },
    )
    answer = _preflight(url, ORIGIN)
    assert (answer.status, answer.body) == (200, b"")
    assert _cors_headers(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "x-own,content-type",
        "access-control-max-age": "60",
        "vary": "Origin",
    }
    stranger = _preflight(url, "https://elsewhere.com")
    assert (stranger.status, _cors_headers(stranger)) == (200, {"vary": "Origin"})


@pytest.mark.parametrize(
    ("cors", "expected"),
    [
        ({"AllowOrigins": ["*"]}, {"access-control-allow-origin": "*"}),
        (
            {"AllowOrigins": ["*"], "ExposeHeaders": ["x-a", "x-b"]},
            {"access-control-allow-origin": "*", "access-control-expose-headers": "x-a,x-b"},
        ),
        (
            {"AllowOrigins": ["*"], "AllowCredentials": True},
            {
                "access-control-allow-origin": ORIGIN,
                "access-control-allow-credentials": "true",
                "vary": "Origin",
            },
        ),
        ({"AllowOrigins": ["https://elsewhere.com"]}, {"vary": "Origin"}),
        ({"AllowMethods": ["*"]}, {"vary": "Origin"}),
        (None, {"access-control-allow-origin": "the function's"}),
    ],
)
def test_cors_headers_are_the_platforms(
    node: Node,
    lambda_client: Any,
    make_function: MakeFunction,
    cors: dict[str, Any] | None,
    expected: dict[str, str],
) -> None:
    settings = {} if cors is None else {"Cors": cors}
    url = public_url(node, lambda_client, make_function(ANSWER), **settings)
    own = {"Access-Control-Allow-Origin": "the function's"}
    answer = url.answer({"statusCode": 200, "headers": own}, headers=[("Origin", ORIGIN)])
    assert (answer.status, _cors_headers(answer)) == (200, expected)
    if cors is not None and "https://elsewhere.com" not in cors.get("AllowOrigins", []):
        failed = url.ask("/raise", headers=[("Origin", ORIGIN)])
        assert (failed.status, _cors_headers(failed)) == (502, expected)


def test_a_url_is_for_browsers_and_the_api_is_not(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    url = public_url(node, lambda_client, make_function(ANSWER))
    of_a_page: list[tuple[str, str | bytes]] = [
        ("Origin", "https://elsewhere.com"),
        ("Sec-Fetch-Site", "cross-site"),
    ]
    for by_path in (False, True):
        answer = url.ask(method="POST", body=b"{}", headers=of_a_page, by_path=by_path)
        assert answer.status == 200
    page = f"http://{url.host}"
    refused = send(node, "POST", "/2015-03-31/functions/any/invocations", b"{}", {"Origin": page})
    assert refused.status == 403
    # What a sandboxed page, such as one at a path of the node, calls its origin.
    refused = send(node, "POST", "/2015-03-31/functions/any/invocations", b"{}", {"Origin": "null"})
    assert refused.status == 403


def _preflight(url: Url, origin: str) -> UrlAnswer:
    return url.ask(
        method="OPTIONS",
        headers=[
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "x-own"),
        ],
    )


def _cors_headers(answer: UrlAnswer) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in answer.headers
        if name.lower().startswith("access-control-") or name.lower() == "vary"
    }
