"""Unmodified clients against the real Runtime API: AWS's own for Python, and a shell script."""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import Exit, Sandbox, SandboxSpec
from lambdabox.runtime.api import serve_runtime_api
from lambdabox.runtime.session import (
    Answer,
    Error,
    Response,
    ResponseTooLarge,
    RuntimeSession,
)

pytestmark = pytest.mark.anyio

PATIENCE = 30
ARN = "arn:aws:lambda:eu-west-1:000000000000:function:f"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


HANDLERS = """
import json

def echo(event, context):
    return {
        "event": event,
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "client": context.client_context and context.client_context.custom,
        "left": context.get_remaining_time_in_millis() > 0,
    }

def fails(event, context):
    raise ValueError("no é")

def long(event, context):
    return "x" * (event - 2)
"""


def make_spec(tmp_path: Path, command: list[str], files: dict[str, str]) -> SandboxSpec:
    code = tmp_path / "code"
    code.mkdir()
    for name, text in files.items():
        (code / name).write_text(text)
        (code / name).chmod(0o755)
    return SandboxSpec(
        id="0",
        command=command,
        environment={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LAMBDA_TASK_ROOT": str(code),
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
            "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        },
        code=code,
        layers=[],
        scratch=tmp_path,
        memory_mib=128,
        ephemeral_storage_mib=512,
        runtime_files=tmp_path,
    )


class Running:
    def __init__(self, sandbox: Sandbox, session: RuntimeSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def invoke(self, payload: object, request_id: str = "r1") -> Answer:
        invocation = Invocation(
            request_id,
            ARN,
            json.dumps(payload).encode(),
            client_context='{"custom":{"é":"😀"},"client":{},"env":{}}',
            trace="Root=1-00000000-000000000000000000000000;Sampled=0",
        )
        with anyio.fail_after(PATIENCE):
            assert await self.session.initialized() is None, self.output()
            assert await self.session.free()
            return await self.session.invoke(invocation, 2_000_000_000_000)

    def output(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.sandbox.output, 65536)
        return b""


@contextlib.asynccontextmanager
async def running(spec: SandboxSpec) -> AsyncIterator[Running]:
    sandbox = await ProcessDriver(spec.scratch).start(spec)
    session = RuntimeSession()
    api = await serve_runtime_api(sandbox.listener, session)
    try:
        await sandbox.launch()
        yield Running(sandbox, session)
    finally:
        api.close()
        await sandbox.destroy()
        session.end(Exit())


def python_spec(tmp_path: Path, handler: str, code: str = HANDLERS) -> SandboxSpec:
    command = [sys.executable, "-W", "ignore", "-m", "awslambdaric", handler]
    return make_spec(tmp_path, command, {"app.py": code})


async def test_a_handlers_result_comes_back(tmp_path: Path) -> None:
    async with running(python_spec(tmp_path, "app.echo")) as runtime:
        for number in range(3):
            answer = await runtime.invoke({"n": number}, f"r{number}")
            assert isinstance(answer, Response)
            assert json.loads(answer.payload) == {
                "event": {"n": number},
                "id": f"r{number}",
                "arn": ARN,
                "client": {"é": "😀"},
                "left": True,
            }


async def test_a_handlers_exception_comes_back(tmp_path: Path) -> None:
    async with running(python_spec(tmp_path, "app.fails")) as runtime:
        for _ in range(2):
            answer = await runtime.invoke(1)
            assert isinstance(answer, Error)
            error = json.loads(answer.payload)
            assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no é")
            assert error["stackTrace"]


async def test_an_import_that_fails_is_an_init_error(tmp_path: Path) -> None:
    async with running(python_spec(tmp_path, "app.echo", "import no_such_module")) as runtime:
        with anyio.fail_after(PATIENCE):
            error = await runtime.session.initialized()
            assert isinstance(error, Error)
            assert error.error_type == "Runtime.ImportModuleError"
            assert "no_such_module" in json.loads(error.payload)["errorMessage"]
            assert (await runtime.sandbox.wait()).status not in (0, None)


async def test_six_megabytes_pass_and_more_do_not(tmp_path: Path) -> None:
    async with running(python_spec(tmp_path, "app.long")) as runtime:
        answer = await runtime.invoke(limits.RESPONSE_BYTES)
        assert isinstance(answer, Response)
        assert len(answer.payload) == limits.RESPONSE_BYTES
        assert await runtime.invoke(limits.RESPONSE_BYTES + 1) == ResponseTooLarge()


BOOTSTRAP = """#!/bin/sh
set -eu
while true; do
  HEADERS="$(mktemp)"
  EVENT_DATA=$(curl -sS -LD "$HEADERS" \
"http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/next")
  REQUEST_ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" \
| tr -d '[:space:]' | cut -d: -f2)
  printf '%s' "$EVENT_DATA" > event
  case "$EVENT_DATA" in
    '"big"') head -c 2000000 /dev/zero | tr '\\0' x > event ;;
  esac
  curl -sS "http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation/$REQUEST_ID/response" \
-d @event
done
"""


async def test_a_shell_script_with_curl_is_a_runtime(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["./bootstrap"], {"bootstrap": BOOTSTRAP})
    async with running(spec) as runtime:
        assert await runtime.invoke({"a": 1}, "r1") == Response(b'{"a": 1}')
        # curl sends a body of this size only after "100 Continue", or a second's wait.
        before = asyncio.get_running_loop().time()
        assert await runtime.invoke("big", "r2") == Response(b"x" * 2_000_000)
        assert asyncio.get_running_loop().time() - before < 0.9
        assert await runtime.invoke({"b": 2}, "r3") == Response(b'{"b": 2}')
        assert re.search(rb'\{"status":"OK"\}', runtime.output())
