import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from support.functions import ACCOUNT, REGION, MakeFunction, Refusal, refused, without_metadata
from support.node import Node
from support.packages import python_package

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
SOURCE = "def handler(event, context):\n    return 'unmistakable'\n"


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            assert response.headers["content-type"] == "application/zip"
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def changed(url: str, change: Callable[[dict[str, str]], Any]) -> str:
    """The link with its query changed."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    change(query)
    return urlunsplit(parts._replace(query=urlencode(query)))


@pytest.fixture
def link(lambda_client: Any, make_function: MakeFunction) -> str:
    location: str = lambda_client.get_function(FunctionName=make_function(SOURCE))["Code"][
        "Location"
    ]
    return location


def test_a_function_comes_with_its_configuration_and_its_code(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(SOURCE)
    response = without_metadata(lambda_client.get_function(FunctionName=function))
    assert set(response) == {"Configuration", "Code"}
    configuration = without_metadata(
        lambda_client.get_function_configuration(FunctionName=function)
    )
    assert response["Configuration"] == configuration
    assert set(configuration) == {
        "FunctionName", "FunctionArn", "Runtime", "Role", "Handler", "CodeSize", "Description",
        "Timeout", "MemorySize", "LastModified", "CodeSha256", "Version", "TracingConfig",
        "RevisionId", "State", "LastUpdateStatus", "PackageType", "Architectures",
        "EphemeralStorage", "SnapStart", "RuntimeVersionConfig", "LoggingConfig",
    }  # fmt: skip
    assert set(response["Code"]) == {"RepositoryType", "Location"}
    assert response["Code"]["RepositoryType"] == "S3"
    assert response["Code"]["Location"].startswith(node.url)


def test_tags_are_there_if_there_are_any(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(Tags={"a": "b"})
    response = without_metadata(lambda_client.get_function(FunctionName=function))
    assert set(response) == {"Configuration", "Code", "Tags"}
    assert response["Tags"] == {"a": "b"}


def test_the_link_leads_to_the_very_bytes(link: str) -> None:
    assert fetch(link) == (200, python_package(SOURCE))


def test_the_link_of_a_version_leads_to_its_code(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(SOURCE)
    lambda_client.publish_version(FunctionName=function)
    lambda_client.update_function_code(FunctionName=function, ZipFile=python_package("new = 1\n"))
    version = lambda_client.get_function(FunctionName=function, Qualifier="1")
    assert fetch(version["Code"]["Location"]) == (200, python_package(SOURCE))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda q: q.update({"X-Amz-Signature": "0" * 64}), id="another signature"),
        pytest.param(lambda q: q.update({"X-Amz-Expires": "604800"}), id="a longer life"),
        pytest.param(lambda q: q.update({"X-Amz-Expires": "-1"}), id="no life"),
        pytest.param(lambda q: q.update({"X-Amz-Expires": "x"}), id="no number"),
        pytest.param(lambda q: q.update({"X-Amz-Date": "20200101T000000Z"}), id="long expired"),
        pytest.param(lambda q: q.update({"X-Amz-Date": "29990101T000000Z"}), id="of the future"),
        pytest.param(lambda q: q.update({"X-Amz-SignedHeaders": ""}), id="no signed header"),
        pytest.param(lambda q: q.update({"X-Amz-Algorithm": "none"}), id="no algorithm"),
        pytest.param(lambda q: q.update({"more": "1"}), id="one more field"),
        pytest.param(lambda q: q.pop("X-Amz-Signature"), id="no signature"),
        pytest.param(lambda q: q.clear(), id="nothing at all"),
    ],
)
def test_a_link_that_was_changed_is_refused(link: str, change: Callable[..., Any]) -> None:
    status, body = fetch(changed(link, change))
    assert status == 403
    error = json.loads(body)
    assert set(error) == {"code", "message"}
    assert error["code"] == "InvalidSignatureException"


def test_a_link_is_for_one_code_only(link: str) -> None:
    other = re.sub(r"-[0-9a-f]{64}\.zip", f"-{'0' * 64}.zip", link)
    assert other != link
    assert fetch(other)[0] == 403


@pytest.mark.parametrize("path", ["state.db", "../state.db", "%2e%2e/state.db", "secret.key", ""])
def test_no_other_file_is_served(link: str, path: str) -> None:
    parts = urlsplit(link)
    directory = parts.path.rpartition("/")[0]
    assert fetch(urlunsplit(parts._replace(path=f"{directory}/{path}")))[0] in (403, 404)


@pytest.mark.parametrize(
    ("asked", "qualifier", "told"),
    [("nobody", None, "nobody"), ("nobody", "7", "nobody:7"), ("nobody:prod", None, "nobody:prod")],
)
@pytest.mark.parametrize("operation", ["get_function", "get_function_configuration"])
def test_what_is_not_there_is_not_found(
    lambda_client: Any, operation: str, asked: str, qualifier: str | None, told: str
) -> None:
    more = {} if qualifier is None else {"Qualifier": qualifier}
    with refused(Refusal(404, "ResourceNotFoundException", f"Function not found: {ARN}{told}")):
        getattr(lambda_client, operation)(FunctionName=asked, **more)


def test_a_missing_version_of_a_function_is_not_found(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    message = f"Function not found: {ARN}{function}:9"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.get_function(FunctionName=function, Qualifier="9")


def test_the_arn_is_the_one_that_was_asked_for(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()

    def arn(**more: str) -> str:
        shown = lambda_client.get_function(FunctionName=function, **more)["Configuration"]
        return str(shown["FunctionArn"])

    assert arn() == ARN + function
    assert arn(Qualifier="$LATEST") == f"{ARN}{function}:$LATEST"
