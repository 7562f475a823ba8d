"""What the tests of the command line share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from juliabox_cli.secret_files import ensure_secrets
from juliabox_cli.state import State, make_folders


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what makes a state folder: the owners of its files need root."""
    for item in items:
        if "state" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """Make a state folder with its secrets."""
    root = Path(os.path.realpath(tmp_path)) / "s"
    made = State(root)
    # pytest's folders have long names, and the length of a slot's path is bounded
    monkeypatch.setattr("juliabox_cli.state._LONGEST_STATE", 200)
    monkeypatch.setenv("JULIABOX_STATE", str(root))
    make_folders(made)
    ensure_secrets(made)
    return made
