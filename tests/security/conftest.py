"""Two people with running sessions on the run's one installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.inside import Inside
from support.installation import Installation
from support.rest_user import RestUser

#: Programs that run inside a session.
PROGRAMS = Path(__file__).parent / "inside"


@pytest.fixture(scope="package")
def mallory(installation: Installation) -> Iterator[Inside]:
    """The session from which everything is tried."""
    person = RestUser(installation, "mallory").started()
    yield Inside(person)
    person.stopped()


@pytest.fixture(scope="package")
def victor(installation: Installation) -> Iterator[Inside]:
    """A neighbour."""
    person = RestUser(installation, "victor").started()
    yield Inside(person)
    person.stopped()
