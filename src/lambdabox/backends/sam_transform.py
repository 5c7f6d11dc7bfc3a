"""Expand SAM templates with AWS's own translator, in a process of its own.

The translator brings pydantic, jsonschema and boto3, takes seconds to import and holds the
interpreter while it works: the node neither waits for that nor keeps it in memory. The process
reads one request from its standard input, answers on its standard output, and ends.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import anyio

from lambdabox.domain.templates import TemplateError

NAME = "AWS::Serverless-2016-10-31"
SECONDS = 120.0
_POLICIES = "arn:aws:iam::aws:policy/"
_SERVICE_ROLES = frozenset({
    "AWSLambdaBasicExecutionRole", "AWSLambdaDynamoDBExecutionRole", "AWSLambdaENIManagementAccess",
    "AWSLambdaKinesisExecutionRole", "AWSLambdaMSKExecutionRole", "AWSLambdaRole",
    "AWSLambdaSQSQueueExecutionRole", "AWSLambdaVPCAccessExecutionRole",
    "AWSAppRunnerServicePolicyForECRAccess",
})  # fmt: skip


async def expand(
    document: Mapping[str, Any], parameters: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Return a SAM template without SAM's resources. Raises TemplateError."""
    request = json.dumps({"template": document, "parameters": parameters}).encode()
    command = [sys.executable, "-P", "-m", "lambdabox.backends.sam_transform"]
    environment = {
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "TMPDIR": tempfile.gettempdir(),
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                command,
                input=request,
                stderr=subprocess.PIPE,
                check=False,
                cwd="/",
                env=environment,
            )
    except TimeoutError:
        raise TemplateError(f"Transform {NAME} took more than {SECONDS:g} seconds") from None
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise TemplateError(f"Transform {NAME} failed with: {last}")
    answer = json.loads(done.stdout)
    if problem := answer.get("problem"):
        raise TemplateError(f"Transform {NAME} failed with: {problem}")
    expanded: dict[str, Any] = answer["template"]
    return expanded


class _ManagedPolicies:
    """What the translator asks for when a function's `Policies` names one of AWS's by name."""

    def load(self) -> Mapping[str, str]:
        return _PolicyArns()


class _PolicyArns(dict[str, str]):
    """AWS's policies by name: their ARNs follow from it, so that no list is needed."""

    def __contains__(self, name: object) -> bool:
        # Whatever else a name may be, a word that begins so is a policy's.
        return isinstance(name, str) and name.isalnum()

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401  # what `get` is

    def __missing__(self, name: str) -> str:
        return f"{_POLICIES}{'service-role/' if name in _SERVICE_ROLES else ''}{name}"


def main() -> None:
    """Answer the request on standard input."""
    # Imported here, so that the node, which needs a name from above, does not import it.
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    request = json.load(sys.stdin)
    try:
        answer = {
            "template": transform(
                request["template"],
                request["parameters"],
                _ManagedPolicies(),
                passthrough_metadata=True,
            )
        }
    except InvalidDocumentException as exc:
        causes = ". ".join(str(getattr(each, "message", each)) for each in exc.causes)
        answer = {"problem": f"{exc.message} {causes}"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
