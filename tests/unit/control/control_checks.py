"""What must be true of any version at any time."""

from lambdabox.domain.functions import State, UpdateStatus, Version

DEFINED = {
    (State.PENDING, None),
    (State.ACTIVE, UpdateStatus.SUCCESSFUL),
    (State.ACTIVE, UpdateStatus.IN_PROGRESS),
    (State.ACTIVE, UpdateStatus.FAILED),
    (State.FAILED, UpdateStatus.FAILED),
}


def check_state(version: Version) -> None:
    status, deployment = version.status, version.deployment
    assert (status.state, status.update) in DEFINED
    assert (deployment is not None) == (status.state is State.ACTIVE)
    if deployment is None:
        return
    assert (deployment.key, deployment.version) == (version.key, version.number)
    if status.update is UpdateStatus.SUCCESSFUL or not version.is_latest:
        assert (deployment.code, deployment.settings) == (version.code, version.settings)
