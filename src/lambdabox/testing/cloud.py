"""What a test gets as `lambdabox`: an AWS account of its own on a running node.

An account rather than a node for each test: it is there at once, and nothing that another
test has made can be seen from it, in Lambda as in the neighbouring services.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdabox.cli.client import Node
from lambdabox.cli.deploy import name_for
from lambdabox.cli.deployment import Wanted, deploy_source
from lambdabox.testing.invocations import Invocation, invocation_of

REGION = "us-east-1"
SECRET = "test"  # noqa: S105 - signatures are not verified
WAIT_SECONDS = 15.0
_PAUSE_SECONDS = 0.02


class Lambdabox:
    """An account on a node."""

    def __init__(self, url: str, account: str, region: str = REGION) -> None:
        self.url = url
        self.account = account
        self.region = region
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that lead AWS's SDKs and tools here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def client(self, service: str, *, region: str | None = None) -> Any:
        """Return boto3's client of a service, Lambda's or a neighbour's."""
        key = (service, region or self.region)
        if key not in self._clients:
            self._clients[key] = self._session().client(
                service, endpoint_url=self.url, region_name=key[1], config=_config()
            )
        return self._clients[key]

    def resource(self, service: str) -> Any:
        """Return boto3's resource of a service, such as dynamodb."""
        return self._session().resource(service, endpoint_url=self.url, config=_config())

    def deploy(
        self,
        source: str | Path,
        name: str | None = None,
        *,
        handler: str | None = None,
        runtime: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: int | None = None,
        memory: int | None = None,
        layers: Sequence[str] | None = None,
        role: str | None = None,
    ) -> "Function":
        """Deploy a directory, a .zip or a single file, and return once it can be invoked.

        Runtime and handler are guessed as by `lambdabox deploy`, and requirements installed.
        """
        path = Path(source)
        wanted = Wanted(
            runtime=runtime, handler=handler, role=role, timeout_seconds=timeout,
            memory_mib=memory, environment=environment, layers=layers,
        )  # fmt: skip
        chosen = name or name_for(path)
        if path.is_dir() or path.suffix == ".zip" or not path.exists():
            shown = deploy_source(self._node(), path, chosen, wanted)
        else:
            with tempfile.TemporaryDirectory(prefix="lambdabox-file-") as alone:
                shutil.copy2(path, alone)
                shown = deploy_source(self._node(), Path(alone), chosen, wanted)
        return Function(self, shown["FunctionName"], shown["FunctionArn"])

    def invoke(
        self, function: str, event: object = None, *, check: bool = True, qualifier: str = "$LATEST"
    ) -> Invocation:
        """Invoke and wait for the result. Raises FunctionFailed unless told not to check."""
        found = invocation_of(self.client("lambda"), function, event, qualifier)
        return found.checked() if check else found

    def logs(self, function: str) -> list[str]:
        """Return what the function has logged, line by line, the oldest first."""
        from botocore.exceptions import ClientError  # deferred: plugins load at every start

        group = self._log_group(function)
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        try:
            return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return []

    def wait_for_log(self, function: str, text: str, *, seconds: float = WAIT_SECONDS) -> str:
        """Return the first line that contains `text`, once there is one: for what is asynchronous.

        Raises AssertionError with the log if there is none in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            lines = self.logs(function)
            for line in lines:
                if text in line:
                    return line
            if time.monotonic() > deadline:
                logged = "\n".join(lines) or "nothing"
                raise AssertionError(
                    f"{function} has not logged {text!r} within {seconds:g} s, but:\n{logged}"
                )
            time.sleep(_PAUSE_SECONDS)

    def clean(self) -> None:
        """End what runs for this account, so that it takes no memory, and free bucket names."""
        client = self.client("lambda")
        for page in client.get_paginator("list_event_source_mappings").paginate():
            for mapping in page["EventSourceMappings"]:
                with suppress(client.exceptions.ClientError):  # being deleted already
                    client.delete_event_source_mapping(UUID=mapping["UUID"])
        for page in client.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                with suppress(client.exceptions.ResourceNotFoundException):
                    client.delete_function(FunctionName=function["FunctionName"])
        services = self._node().platform("health")["neighbours"]
        # What an endpoint of the settings holds is somebody's: only moto's is ours to delete.
        if "s3" not in services and services["default"] == "moto, running":
            self._delete_buckets()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _delete_buckets(self) -> None:
        """Names of buckets are everybody's, as on AWS."""
        s3 = self.client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            name = bucket["Name"]
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
            s3.delete_bucket(Bucket=name)

    def _log_group(self, function: str) -> str:
        shown = self.client("lambda").get_function_configuration(FunctionName=function)
        return str(shown["LoggingConfig"]["LogGroup"])

    def _session(self) -> Any:
        import boto3  # deferred: plugins load at every start

        return boto3.Session(
            aws_access_key_id=self.account, aws_secret_access_key=SECRET, region_name=self.region
        )

    def _node(self) -> Node:
        return Node(self.url, self.region, keys=(self.account, SECRET))


def _config() -> Any:
    from botocore.config import Config  # deferred, as above

    # One attempt, so that a test sees the first answer; virtual hosts need a name server.
    return Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a test has deployed."""

    cloud: Lambdabox
    name: str
    arn: str

    def invoke(self, event: object = None, *, check: bool = True) -> Invocation:
        """As Lambdabox.invoke."""
        return self.cloud.invoke(self.name, event, check=check)

    def logs(self) -> list[str]:
        return self.cloud.logs(self.name)

    def wait_for_log(self, text: str, *, seconds: float = WAIT_SECONDS) -> str:
        """As Lambdabox.wait_for_log."""
        return self.cloud.wait_for_log(self.name, text, seconds=seconds)
