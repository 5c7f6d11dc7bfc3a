"""What holds for every test."""

from collections.abc import Iterator

import pytest

from lambdabox.isolation.guest import linux


@pytest.fixture(autouse=True)
def _adopts_no_orphans() -> Iterator[None]:
    """Undo what the process driver does to the process it is made in.

    Who adopts orphans has to reap them, and tests of what others leave would see them as theirs.
    """
    yield
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)
