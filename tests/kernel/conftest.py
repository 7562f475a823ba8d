"""The image that the kernel's checks run in."""

from pathlib import Path

import pytest

from juliabox_cli.image_build import ensure_images

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def julia_image() -> str:
    """The session image of this source, built if it is missing."""
    return ensure_images(ROOT)["julia"]
