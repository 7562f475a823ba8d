"""What the tests of the documentation share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.documentation import Page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Page]:
    """Return a function that reads a page of the reference."""
    return lambda name: Page.read(ROOT / "docs" / "reference" / f"{name}.md")
