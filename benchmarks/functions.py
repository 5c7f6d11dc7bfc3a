"""The functions that benchmarks create, each of which answers "ok"."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

from client import Answer, Client, request

_PYTHON = "def handler(event, context):\n    return 'ok'\n"
_HOLDING = (
    "import time\n"
    "def handler(event, context):\n"
    "    time.sleep(event.get('hold', 0))\n"
    "    return 'ok'\n"
)
_BOTO3 = "import boto3\ndef handler(event, context):\n    return 'ok'\n"
_NODE = "exports.handler = async () => 'ok';\n"
# Speaks HTTP through the shell's own means and one tool, as small custom runtimes do.
_SHELL = """#!/bin/bash
api="${AWS_LAMBDA_RUNTIME_API}" base="/2018-06-01/runtime/invocation"
while exec 5<>"/dev/tcp/${api%:*}/${api#*:}"; do
  printf 'GET %s/next HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' "$base" >&5
  while IFS= read -r line <&5 && line="${line%$'\\r'}" && [ -n "$line" ]; do
    case "${line,,}" in lambda-runtime-aws-request-id:*) id="${line#*: }" ;; esac
  done
  exec 5<>"/dev/tcp/${api%:*}/${api#*:}"
  printf 'POST %s/%s/response HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n' "$base" "$id" >&5
  printf 'Content-Length: 4\\r\\n\\r\\n"ok"' >&5
  read -r line <&5
done
"""


@dataclass(frozen=True, slots=True)
class Workload:
    runtime: str
    handler: str
    files: Mapping[str, str]

    def package(self) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, text in self.files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16
                archive.writestr(entry, text)
        return content.getvalue()


def _node_runtime() -> str:
    """Return the runtime of the machine's own Node.js, so that every platform finds it."""
    node = shutil.which("node")
    if node is None:
        return "nodejs22.x"
    version = subprocess.run([node, "--version"], capture_output=True, check=True, text=True)
    return f"nodejs{version.stdout[1:].partition('.')[0]}.x"


PYTHON = Workload("python3.11", "app.handler", {"app.py": _PYTHON})
HOLDING = Workload("python3.11", "app.handler", {"app.py": _HOLDING})
BOTO3 = Workload("python3.11", "app.handler", {"app.py": _BOTO3})
NODE = Workload(_node_runtime(), "app.handler", {"app.js": _NODE})
SHELL = Workload("provided.al2023", "unused", {"bootstrap": _SHELL})


FULL_PROCESSOR_MIB = 1769
"""The memory with which AWS, and lambdabox, give a function one processor."""


async def create(
    client: Client, name: str, workload: Workload = PYTHON, *, memory_mib: int = 128
) -> None:
    """Create a function, and return once it is Active."""
    body = {
        "FunctionName": name,
        "Runtime": workload.runtime,
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Handler": workload.handler,
        "Timeout": 30,
        "MemorySize": memory_mib,
        "Code": {"ZipFile": base64.b64encode(workload.package()).decode()},
    }
    created = await client.ask(request("POST", "/2015-03-31/functions", json.dumps(body).encode()))
    if created.status != 201:
        raise RuntimeError(f"the function was not created: {created.body!r}")
    ask = request("GET", f"/2015-03-31/functions/{name}/configuration")
    while not _is_active(await client.ask(ask)):  # noqa: ASYNC110  (as any client waits)
        await asyncio.sleep(0.002)


def _is_active(answer: Answer) -> bool:
    state = json.loads(answer.body)["State"]
    if state == "Failed":
        raise RuntimeError(f"the function failed: {answer.body!r}")
    return bool(state == "Active")
