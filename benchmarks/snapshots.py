"""What SnapStart saves a function whose imports take long: numpy and pandas, as many have."""

import asyncio
import base64
import io
import json
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

from client import Client, percentile, request
from measuring import ready
from platforms import Platform, started
from starts import timed

PACKAGES = ("numpy", "pandas")
PYTHON = "3.12"
"""The oldest that has SnapStart."""

_CODE = (
    "import time, numpy, pandas\n"
    "def handler(event, context):\n"
    "    assert numpy.ones(3).sum() == 3\n"
    "    time.sleep(event.get('hold', 0))\n"
    "    return 'ok'\n"
)
_PATH = "/2015-03-31/functions/imports"
_PAUSE_SECONDS = 0.5


async def snapshots(platform: Platform, directory: Path, count: int) -> dict[str, float]:
    """Time first invocations of `$LATEST`, and of a published version with SnapStart."""
    package = _package(directory)
    with started(platform, directory / "snapshots") as (_pid, port):
        client = await ready(port)
        await _create(client, package)
        normal = await _first_invocations(port, "$LATEST", count)
        answer = await client.ask(request("POST", f"{_PATH}/versions", b"{}"))
        version = json.loads(answer.body)["Version"]
        await _active(client, version)
        restored = await _first_invocations(port, version, count)
        client.close()
    return {
        "cold, numpy and pandas, init, p50, ms": percentile(normal, 50),
        "cold, numpy and pandas, restored, p50, ms": percentile(restored, 50),
        "cold, numpy and pandas, restored, p99, ms": percentile(restored, 99),
    }


@cache
def _package(directory: Path) -> bytes:
    """Return a zip of the function with its libraries, fetched once."""
    target = directory / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    which = ["--only-binary=:all:", "--python-version", PYTHON, "--target", target]
    subprocess.run([*pip, *which, *PACKAGES], check=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", _CODE)
        for path in sorted(target.rglob("*")):
            if path.is_file() and "tests" not in path.parts and path.suffix != ".pyc":
                archive.write(path, path.relative_to(target))
    return content.getvalue()


async def _create(client: Client, package: bytes) -> None:
    body = {
        "FunctionName": "imports",
        "Runtime": f"python{PYTHON}",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Handler": "app.handler",
        "Timeout": 60,
        "MemorySize": 1769,
        "SnapStart": {"ApplyOn": "PublishedVersions"},
        "Code": {"ZipFile": base64.b64encode(package).decode()},
    }
    created = await client.ask(request("POST", "/2015-03-31/functions", json.dumps(body).encode()))
    if created.status != 201:
        raise RuntimeError(f"the function was not created: {created.body!r}")
    await _active(client, "$LATEST")


async def _active(client: Client, version: str) -> None:
    ask = request("GET", f"{_PATH}/configuration?Qualifier={version}")
    while (found := json.loads((await client.ask(ask)).body))["State"] == "Pending":  # noqa: ASYNC110  (as any client waits)
        await asyncio.sleep(0.01)
    optimized = found["SnapStart"]["OptimizationStatus"] == "On"
    if found["State"] != "Active" or optimized != (version != "$LATEST"):
        raise RuntimeError(f"the version is not as it should be: {found}")


async def _first_invocations(port: int, version: str, count: int) -> list[float]:
    """Invoke while all environments are busy, so that each invocation needs a new one."""
    ask = request("POST", f"{_PATH}/invocations?Qualifier={version}", b"{}")
    hold = request("POST", f"{_PATH}/invocations?Qualifier={version}", b'{"hold": 3600}')
    found, held, holders = [], [], []
    client = Client(port)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            await asyncio.sleep(_PAUSE_SECONDS)
            found.append(await timed(client, ask))
            holders.append(Client(port))
            held.append(tasks.create_task(holders[-1].ask(hold)))
        for task in held:
            task.cancel()
    for one in (client, *holders):
        one.close()
    return found
