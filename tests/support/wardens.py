"""A warden for tests of what it makes, ended with everything it has made."""

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from lambdabox.server.config import Settings
from lambdabox.server.warden import start_warden


@contextlib.asynccontextmanager
async def running_warden(data: Path, network: str = "isolated") -> AsyncIterator[socket.socket]:
    """Yield the connection to a warden for the data directory `data`."""
    await anyio.Path(data).mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=data, isolation="namespaces", network=network)
    warden = await anyio.to_thread.run_sync(start_warden, settings)
    try:
        yield warden.connection
    finally:
        await anyio.to_thread.run_sync(warden.stop)
