"""Key files: made once, private, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from juliabox_ext.errors import ConfigurationError
from juliabox_manager.keys import load_key, load_or_make_key, make_key, public_key


def test_a_made_key_is_private_and_loads_again(tmp_path: Path) -> None:
    file = tmp_path / "curve.key"
    made = make_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_key(file) == load_or_make_key(file) == made
    assert public_key(made.secret) == made.public
    assert made.secret not in repr(made)


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    make_key(tmp_path / "curve.key")
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "curve.key")


@pytest.mark.parametrize("content", ["", "x" * 40 + "x", "ä" * 40, '"' * 40, "x" * 39])
def test_a_file_that_holds_no_key_is_named_and_its_content_is_not(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "curve.key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"curve\.key") as caught:
        load_key(file)
    assert not content or content not in str(caught.value)


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "curve.key")
    (tmp_path / "curve.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_key(tmp_path / "curve.key")


def test_a_link_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "curve.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "curve.key")
    for name in ("link.key", "none.key"):
        with pytest.raises(ConfigurationError, match=name):
            load_key(tmp_path / name)
