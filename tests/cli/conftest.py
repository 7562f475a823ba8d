"""What the tests of the command line share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
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
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Make a state folder with its secrets."""
    # pytest's folders have long names, and the length of a slot's path is bounded
    with tempfile.TemporaryDirectory() as folder:
        made = State(Path(os.path.realpath(folder)) / "s")
        monkeypatch.setenv("JULIABOX_STATE", str(made.root))
        make_folders(made)
        ensure_secrets(made)
        yield made
