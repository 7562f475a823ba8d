"""Nothing that one publisher's call leaves behind reaches another's, or another version (S47)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apis import Apis, api_containers
from support.installation import Installation
from support.rest_user import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

SOURCE = (Path(__file__).parent / "inside" / "poison.jl").read_text()
FUNCTIONS = ["poison", "look"]

#: Kinds of state that the poisoned container must show, so that the looks prove something.
KINDS = 12

#: Whose containers must not show any of them: another publisher's, the same one's other API.
OTHERS = [("victor", "sums"), ("mallory", "second")]

#: The first call of each compiles all of its source: a busy machine takes long.
CHOICES = {"maximum": 1, "timeout": 120}


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """The poisoner's API with one container, and the others'."""
    made = Apis(installation)
    everybody = [("mallory", "first"), *OTHERS]
    for publisher, api in everybody:
        made.save(publisher, api, SOURCE, FUNCTIONS, **CHOICES)
    yield made
    for publisher, api in everybody:
        made.manage("DELETE", f"apis/{publisher}/{api}")


def _look(apis: Apis, publisher: str, api: str, word: str) -> set[str]:
    answer = apis.call_started(f"{publisher}/{api}/look/{word}")
    assert answer.status_code == 200, answer.text
    found: dict[str, bool] = answer.json()
    assert len(found) > KINDS
    return {name for name, seen in found.items() if seen}


def test_no_kind_of_state_passes_from_one_publishers_call_to_anothers(apis: Apis) -> None:
    for publisher, api in OTHERS:
        assert _look(apis, publisher, api, "before") == set()
    answer = apis.call_started("mallory/first/poison/venom")
    assert answer.status_code == 200, answer.text
    seen = _look(apis, "mallory", "first", "venom")
    print(f"{len(seen)} kinds of state are there: {sorted(seen)}; failed: {answer.json()}")
    assert len(seen) >= KINDS
    # containers that were up before it, and ones that are made after it
    for publisher, api in OTHERS:
        assert _look(apis, publisher, api, "venom") == set()
    apis.save("victor", "sums", f"{SOURCE}\n# again", FUNCTIONS, **CHOICES)
    assert _look(apis, "victor", "sums", "venom") == set()


def test_no_kind_of_state_passes_to_the_next_version(apis: Apis) -> None:
    assert apis.call_started("mallory/first/poison/venom").status_code == 200
    apis.save("mallory", "first", f"{SOURCE}\n# again", FUNCTIONS, **CHOICES)
    assert _look(apis, "mallory", "first", "venom") == set()


def _poisoned(installation: Installation) -> set[str]:
    """Return the containers that show, from outside, what the poisoner left there."""
    return {
        one["Id"]
        for one in api_containers(installation)
        if Path(f"/proc/{one['State']['Pid']}/root/dev/shm/poisoned").exists()
    }


def test_a_container_that_served_somebody_is_never_used_again(
    apis: Apis, installation: Installation
) -> None:
    """Not for another publisher, and not as a blank one either."""
    assert apis.call_started("mallory/first/poison/venom").status_code == 200
    assert len(_poisoned(installation)) == 1
    apis.manage("POST", "apis/mallory/first/stop").raise_for_status()
    try:
        wait_for(lambda: not _poisoned(installation), 60, "its container is not gone")
    finally:
        apis.manage("POST", "apis/mallory/first/start").raise_for_status()
    assert _look(apis, "mallory", "first", "venom") == set()
