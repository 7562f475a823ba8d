"""Two people with running sessions on the run's one installation: one was warm, one is cold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.inside import Inside
from support.installation import Installation
from support.rest_user import RestUser
from support.warm import Pools, started_as

#: Programs that run inside a session.
PROGRAMS = Path(__file__).parent / "inside"


@pytest.fixture(scope="package")
def pools(installation: Installation) -> Pools:
    """The installation's pool."""
    return Pools(installation)


@pytest.fixture(scope="package")
def mallory(installation: Installation, pools: Pools) -> Iterator[Inside]:
    """The session from which everything is tried; it was a warm container."""
    person = RestUser(installation, "mallory")
    yield started_as(person, pools, warm=True)
    person.stopped()


@pytest.fixture(scope="package")
def victor(installation: Installation, pools: Pools, mallory: Inside) -> Iterator[Inside]:
    """A neighbour, whose session was started cold."""
    person = RestUser(installation, "victor")
    yield started_as(person, pools, warm=False)
    person.stopped()


@pytest.fixture(scope="package", params=["warm", "cold"])
def tried(request: pytest.FixtureRequest, mallory: Inside, victor: Inside) -> Inside:
    """Each of the two, for what must hold of every session."""
    return mallory if request.param == "warm" else victor
