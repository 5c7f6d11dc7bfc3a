"""The node as the client commands see it: AWS's public API, through botocore.

Nothing here knows that the other side is lambdabox, so every command works on AWS's
own Lambda as well. botocore takes longer to import than everything else together,
hence the imports inside; what it raises becomes a CommandError, one line each.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from lambdabox import __version__
from lambdabox.cli.output import CommandError

CONNECT_SECONDS = 5
# The longest function runs 900 s; what is beyond it leaves room for a queue and a cold start.
READ_SECONDS = 960
DEFAULT_REGION = "us-east-1"
ANYONE = "lambdabox"
"""Credentials for those who have configured none."""


class MissingError(CommandError):
    """The resource does not exist."""


class UnreachableError(CommandError):
    """No node answers at the endpoint."""


class Node:
    """An endpoint, a region, and the calls made there."""

    def __init__(
        self,
        endpoint: str,
        region: str | None = None,
        *,
        keys: tuple[str, str] | None = None,
    ) -> None:
        """`keys` are an access key id and its secret; by default those configured for AWS."""
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandError(
                f"the endpoint {endpoint!r} is not a URL; it looks like http://127.0.0.1:4566"
            )
        self.endpoint = endpoint.rstrip("/")
        self._given_region = region
        self._given_keys = keys

    def functions(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Call an operation of Lambda, by its name and parameters in the API."""
        return self._call(self._lambda, operation, parameters)

    def logs(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Call an operation of CloudWatch Logs, likewise."""
        return self._call(self._logs, operation, parameters)

    def pages(self, operation: str, **parameters: object) -> Iterator[dict[str, Any]]:
        """Call a listing operation of Lambda until its last page."""
        marker: dict[str, object] = {}
        while True:
            page = self.functions(operation, **parameters, **marker)
            yield page
            if not page.get("NextMarker"):
                return
            marker = {"Marker": page["NextMarker"]}

    def platform(self, page: str) -> dict[str, Any]:
        """Return a page of the node's own, below /_lambdabox/, as this account sees it."""
        from urllib.request import ProxyHandler, Request, build_opener  # deferred, as above

        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        url = f"{self.endpoint}/_lambdabox/{page}"
        signed = AWSRequest("GET", url)
        with self._told_in_one_line():
            found = self._credentials()
            keys = Credentials(*found) if found else self._session.get_credentials()
            SigV4Auth(keys, "lambda", self._region()).add_auth(signed)
        try:
            with build_opener(ProxyHandler({})).open(
                Request(url, headers=dict(signed.headers)),  # noqa: S310 - http, as checked above
                timeout=READ_SECONDS,
            ) as response:
                told: dict[str, Any] = json.load(response)
        except HTTPError as exc:
            raise CommandError(_message(exc, f"{self.endpoint} has no page {page!r}")) from exc
        except URLError as exc:
            raise UnreachableError(_unreachable(self.endpoint)) from exc
        except ValueError as exc:
            raise CommandError(f"what answers at {self.endpoint} is no lambdabox") from exc
        return told

    def _call(
        self, client: Any, operation: str, parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        from botocore import xform_name  # deferred, as the module says

        with self._told_in_one_line():
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        return answer

    @cached_property
    def _lambda(self) -> Any:
        return self._client("lambda")

    @cached_property
    def _logs(self) -> Any:
        return self._client("logs")

    @cached_property
    def _session(self) -> Any:
        from botocore.session import Session  # deferred, as the module says

        session = Session()
        # Asking a cloud machine's metadata service takes seconds where there is none.
        session.get_component("credential_provider").remove("iam-role")
        return session

    def _client(self, service: str) -> Any:
        from botocore.config import Config  # deferred, as the module says

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            # One attempt: an invocation is not to run twice, and a node that is down
            # is reported at once.
            retries={"total_max_attempts": 1},
            proxies={} if _is_loopback(self.endpoint) else None,
            user_agent_extra=f"lambdabox/{__version__}",
        )
        with self._told_in_one_line():
            key_id, secret = self._credentials() or (None, None)
            return self._session.create_client(
                service,
                endpoint_url=self.endpoint,
                region_name=self._region(),
                config=config,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
            )

    def _region(self) -> str:
        found = self._given_region or self._session.get_config_variable("region")
        return str(found or DEFAULT_REGION)

    def _credentials(self) -> tuple[str, str] | None:
        """Return what to sign with, None if AWS's configuration says it."""
        if self._given_keys is None and not self._session.get_credentials():
            return (ANYONE, ANYONE)
        return self._given_keys

    @contextmanager
    def _told_in_one_line(self) -> Iterator[None]:
        from botocore import exceptions  # deferred, as the module says

        try:
            yield
        except exceptions.ClientError as exc:
            raise _refusal(exc.response) from exc
        except (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError) as exc:
            raise UnreachableError(_unreachable(self.endpoint)) from exc
        except exceptions.HTTPClientError as exc:
            raise CommandError(f"the node at {self.endpoint} did not answer: {exc}") from exc
        except exceptions.BotoCoreError as exc:
            raise CommandError(str(exc)) from exc


def _refusal(response: Mapping[str, Any]) -> CommandError:
    """Return the error the node answered, as AWS words it."""
    error = response.get("Error", {})
    code = error.get("Code", "Unknown")
    message = error.get("Message") or response.get("message") or "no message"
    kind = MissingError if code == "ResourceNotFoundException" else CommandError
    return kind(f"{code}: {message}")


def _unreachable(endpoint: str) -> str:
    return (
        f"cannot reach a node at {endpoint}: start one with `lambdabox up`, "
        "or name another with --endpoint"
    )


def _message(error: HTTPError, otherwise: str) -> str:
    try:
        told = json.load(error)
    except ValueError:
        return otherwise
    return str(told.get("message", otherwise)) if isinstance(told, dict) else otherwise


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
