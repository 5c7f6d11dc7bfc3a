"""The variables that a driver adds to a sandbox's: where its Runtime API is.

A driver alone knows the address, and SnapStart functions find two things there, so each
driver asks here for both.
"""

from lambdabox.ports import SandboxSpec

_TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  # a variable's name


def runtime_api_variables(spec: SandboxSpec, address: str) -> dict[str, str]:
    """Return what the code of `spec` is told of its Runtime API at `address` (host:port)."""
    variables = {"AWS_LAMBDA_RUNTIME_API": address}
    if _TOKEN_VARIABLE in spec.environment:
        path = "/2021-04-23/credentials"
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{address}{path}"
    return variables
