"""The variables that a driver adds to a sandbox's: where its Runtime API is.

A driver alone knows the address, and SnapStart functions find two things there, so each
driver asks here for both.
"""

from lambdabox.ports import CREDENTIALS_PATH, SandboxSpec


def runtime_api_variables(spec: SandboxSpec, address: str) -> dict[str, str]:
    """Return what the code of `spec` is told of its Runtime API at `address` (host:port)."""
    variables = {"AWS_LAMBDA_RUNTIME_API": address}
    if spec.is_snap_start:
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{address}{CREDENTIALS_PATH}"
    return variables
