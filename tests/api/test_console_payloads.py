"""The page of an invocation has its event and response, however it was invoked."""

import re
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest
from support.functions import ACCOUNT, Clients, MakeFunction, eventually, invoke
from support.node import Node
from support.sources import await_gone, await_state, make_queue

ANSWERS = """
def handler(event, context):
    if event.get("fail"):
        helper(event)
    return {"got": event}

def helper(event):
    raise ValueError("no " + event["fail"])
"""

ATTEMPT = re.compile(r'<section class="card" aria-label="Attempt.*?</section>', re.DOTALL)
REQUEST = re.compile(r'/invocations/([0-9a-f-]{36})"')


class Console:
    """A browser without a screen."""

    def __init__(self, node: Node) -> None:
        self._url = f"{node.url}/console"
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def page(self, path: str) -> str:
        with self._opener.open(f"{self._url}{path}", timeout=20) as answer:
            return unescape(answer.read().decode())

    def choose(self, account: str) -> None:
        [token] = re.findall(r'name="csrf-token" content="(\w+)"', self.page("/create"))
        form = urlencode({"csrf": token, "account": account, "region": "us-east-1"}).encode()
        self._opener.open(Request(f"{self._url}/scope", form), timeout=20).close()

    def attempts(self, name: str, request_id: str) -> list[str]:
        """The parts of an invocation's page that are about one attempt each; [] before its end."""
        try:
            text = self.page(f"/functions/{name}/invocations/{request_id}")
        except HTTPError as error:
            if error.code != 404:
                raise
            return []
        return ATTEMPT.findall(text)


@pytest.fixture
def console(node: Node) -> Console:
    return Console(node)


@pytest.fixture
def mapped(
    clients: Clients, lambda_client: Any, make_function: MakeFunction, name: str
) -> Iterator[tuple[str, str]]:
    """A function that a queue leads to, and the queue's URL."""
    function, queue = make_function(ANSWERS), make_queue(clients, name)
    mapping = lambda_client.create_event_source_mapping(
        FunctionName=function, EventSourceArn=queue.arn
    )
    await_state(lambda_client, mapping["UUID"], "Enabled")
    yield function, queue.url
    lambda_client.delete_event_source_mapping(UUID=mapping["UUID"])
    await_gone(lambda_client, mapping["UUID"])


def test_a_synchronous_invocation_shows_what_went_in_and_came_out(
    console: Console, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(ANSWERS)
    for n in (1, 2):  # the second on the warm path
        id = invoke(lambda_client, name, {"n": n}).request_id
        [attempt] = eventually(partial(console.attempts, name, id))
        assert f'{{\n  "n": {n}\n}}' in attempt
        assert f'"got": {{\n    "n": {n}\n  }}' in attempt


def test_every_attempt_of_an_event_has_its_own(
    console: Console, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(ANSWERS)
    accepted = lambda_client.invoke(
        FunctionName=name, InvocationType="Event", Payload=b'{"fail": "luck"}'
    )
    id = accepted["ResponseMetadata"]["RequestId"]
    attempts = eventually(lambda: (found := console.attempts(name, id))[2:] and found)
    assert len(attempts) == 3
    for attempt in attempts:
        assert '"fail": "luck"' in attempt
        assert "no luck" in attempt


def test_what_a_source_sent_is_there_too(
    console: Console, clients: Clients, mapped: tuple[str, str]
) -> None:
    name, url = mapped
    clients("sqs").send_message(QueueUrl=url, MessageBody="from the queue")

    def latest() -> list[str]:
        return REQUEST.findall(console.page(f"/functions/{name}/monitor"))

    [id] = eventually(latest)
    [attempt] = console.attempts(name, id)
    assert '"body": "from the queue"' in attempt
    assert '"got": {' in attempt


def test_a_failure_leads_to_its_line_from_the_error_and_from_the_log(
    console: Console, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(ANSWERS)
    id = invoke(lambda_client, name, {"fail": "luck"}).request_id
    [attempt] = eventually(lambda: console.attempts(name, id))
    link = f'<a href="/console/functions/{name}/code#file=app.py&line=8">'
    error, log = attempt.split('<pre class="log"')
    assert link in error
    assert link in log


def test_other_accounts_do_not_see_it(
    console: Console, clients: Clients, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(ANSWERS)
    id = invoke(lambda_client, name, {"word": "ours"}).request_id
    assert eventually(lambda: console.attempts(name, id))
    console.choose("999999999999")
    assert console.attempts(name, id) == []
    console.choose(ACCOUNT)
    [attempt] = console.attempts(name, id)
    assert '"word": "ours"' in attempt


def test_an_event_is_taken_to_the_test_tab(
    console: Console, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function(ANSWERS)
    id = invoke(lambda_client, name, {"word": "again"}).request_id
    [attempt] = eventually(lambda: console.attempts(name, id))
    [path] = re.findall(r'href="/console(/functions/[^"]+)">Use as test event', attempt)
    assert '{\n  "word": "again"\n}</textarea>' in console.page(path)
    for wrong in ("?of=", "?of=nobody@1", f"?of={id}@x", f"?of={id}@{'9' * 30}"):
        page = console.page(f"/functions/{name}/test{wrong}")
        assert '"name": "Ada"' in page


def test_a_long_response_is_cut_and_says_so(
    console: Console, lambda_client: Any, make_function: MakeFunction
) -> None:
    name = make_function("def handler(event, context):\n    return 'x' * 300_000\n")
    id = invoke(lambda_client, name, {}).request_id
    [attempt] = eventually(lambda: console.attempts(name, id))
    assert "293 KB" in attempt
    assert "Only its first 256 KB are kept." in attempt
    assert len(attempt) < 250_000
