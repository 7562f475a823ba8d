"""What the tests of the plugin system share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.strangers import Site, site


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[Site]:
    """Install distributions of strangers here."""
    folder = tmp_path / "site"
    folder.mkdir()
    with site(folder) as made:
        yield made
