"""Clients of AWS services, as botocore makes them: cached, and of nobody's profile.

The caller's account travels as the access key id, which is how the node and local stores
tell accounts apart. The machine's AWS configuration plays no part. Importing botocore's
client takes half a second and creating one a tenth, so both happen at first use, in a
worker thread.
"""

import os
import threading
from typing import Any

_CLIENTS = 64

# The operator's own AWS profile must not decide which account a caller is.
_NO_PROFILE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class AwsClients:
    """Makes clients that speak to `endpoint`. May be used by several threads at once."""

    def __init__(
        self,
        endpoint: str,
        *,
        connect_seconds: float,
        read_seconds: float,
        attempts: int,
        connections: int = 10,
    ) -> None:
        self._endpoint = endpoint
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._attempts = attempts
        self._connections = connections
        self._session: Any = None
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._creating = threading.Lock()  # a session may not be used by two threads at once

    def get(self, service: str, region: str, account: str) -> Any:
        """Return botocore's client of `service` (its name there, such as `sqs`)."""
        with self._creating:
            client = self._clients.get((service, region, account))
            if client is None:
                if len(self._clients) >= _CLIENTS:
                    del self._clients[next(iter(self._clients))]
                client = self._create(service, region, account)
                self._clients[service, region, account] = client
        return client

    def _create(self, service: str, region: str, account: str) -> Any:
        # Imported here and not above, so that a node that calls nobody starts without.
        import botocore.session
        from botocore.config import Config

        if self._session is None:
            self._session = botocore.session.Session(session_vars=_NO_PROFILE)
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=account,
            aws_secret_access_key="test",  # noqa: S106  # nobody on the way checks it
            config=Config(
                connect_timeout=self._connect_seconds,
                read_timeout=self._read_seconds,
                retries={"mode": "standard", "total_max_attempts": self._attempts},
                s3={"addressing_style": "path"},
                max_pool_connections=self._connections,
                proxies={},
            ),
        )
