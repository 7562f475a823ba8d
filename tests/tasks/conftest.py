"""A manager's tasks, over a store of their own, with a stranger's package on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stray_plugins import lay_out
from support.task_stand import PLUGINS, SOURCE, Stand


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Return a stand whose processes find the stranger's package."""
    package = lay_out(tmp_path / "package", SOURCE.read_text(), **PLUGINS)
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.setenv("JBT_NOTES", str(notes))
    return Stand(tmp_path, notes)
