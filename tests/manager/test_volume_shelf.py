"""Volumes that were put aside: each is told once, and is restored whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.errors import NotFoundError
from juliabox_ext.volume import Disk, VolumeHost
from juliabox_manager.volumes import shelf
from juliabox_manager.volumes.names import volume_name
from juliabox_manager.volumes.places import Places

NAME = volume_name("ada")
FILES = ["disk.img", "meta.json"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(
        VolumeHost(tmp_path, grace=0.0), tmp_path / "home", tmp_path / "removed", tmp_path / "m"
    )
    made.prepare()
    (made.volumes / NAME).mkdir()
    for name in FILES:
        (made.volumes / NAME / name).write_text(name)
    return made


def told(places: Places, read: Any = lambda folder: Disk(folder.name, "ada")) -> list[str]:
    return [disk.state for disk in shelf.read_all(places, None, read)]


def files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_is_being_deleted_is_told_nowhere_and_cannot_be_restored(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.move_aside(places, places.volumes / NAME)
    assert told(places) == ["removed"]
    seen = []
    unlink = os.unlink

    def unlink_slowly(*arguments: Any, **options: Any) -> None:
        seen.append(told(places))
        with pytest.raises(NotFoundError, match="grace period"):
            shelf.take_back(places, places.volumes / NAME, "ada")
        unlink(*arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink_slowly)
    (deleted,) = shelf.delete_expired(places)
    assert deleted.startswith(NAME)
    assert seen == [[], []]
    assert files(places.removed) == files(places.volumes) == []


def once_listed(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something between a look at what is put aside and what is done with that."""
    listed = shelf.removed_folders

    def and_then(places: Places) -> Iterator[tuple[Path, int]]:
        found = list(listed(places))
        shelf.removed_folders = listed
        act()
        yield from found

    monkeypatch.setattr(shelf, "removed_folders", and_then)


def test_what_is_restored_at_the_moment_of_its_deletion_stays_whole(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.move_aside(places, places.volumes / NAME)
    once_listed(monkeypatch, lambda: shelf.take_back(places, places.volumes / NAME, "ada"))
    assert shelf.delete_expired(places) == []
    assert files(places.volumes / NAME) == FILES


def test_what_was_deleted_at_the_moment_of_its_restoring_is_told_to_be_gone(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.move_aside(places, places.volumes / NAME)
    once_listed(monkeypatch, lambda: shelf.delete_expired(places))
    with pytest.raises(NotFoundError, match="grace period"):
        shelf.take_back(places, places.volumes / NAME, "ada")


def test_a_deletion_that_was_cut_off_goes_on(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.move_aside(places, places.volumes / NAME)

    def cut_off(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(os, "unlink", cut_off)
        shelf.delete_expired(places)
    assert told(places) == []
    assert len(files(places.removed)) == 1
    (deleted,) = shelf.delete_expired(places)  # so that who knows more of it can forget that too
    assert deleted.startswith(NAME)
    assert files(places.removed) == []


def test_a_volume_that_cannot_be_deleted_keeps_no_other_one_and_is_not_told_as_deleted(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = volume_name("bob")
    (places.volumes / other).mkdir()
    for name in (NAME, other):
        shelf.move_aside(places, places.volumes / name)
    rename = Path.rename

    def refused(folder: Path, target: Path) -> Path:
        if folder.name.startswith(NAME):
            raise PermissionError(1, "Operation not permitted")
        return rename(folder, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        (deleted,) = shelf.delete_expired(places)
    assert deleted.startswith(other)
    assert told(places) == ["removed"]
    with monkeypatch.context() as patch:
        patch.setattr(shelf.shutil, "rmtree", lambda *_, **__: None)
        assert shelf.delete_expired(places) == []
    (deleted,) = shelf.delete_expired(places)
    assert deleted.startswith(NAME)


def test_a_volume_that_is_moved_while_all_are_read_is_told_once(places: Places) -> None:
    """As it lies then, and not as broken since it was gone when it was looked into."""

    def moved(folder: Path) -> Disk:
        if folder.parent == places.volumes:
            shelf.move_aside(places, folder)
        return Disk(folder.name, "ada")

    assert told(places, moved) == ["removed"]

    def moved_back(folder: Path) -> Disk:
        if folder.parent == places.removed:
            shelf.take_back(places, places.volumes / NAME, "ada")
        return Disk(folder.name, "ada")

    assert told(places, moved_back) == ["idle"]
