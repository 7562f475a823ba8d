"""Homes in folders of the host: what is planted there, and what is missing."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from juliabox_ext.errors import JuliaBoxError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.volume import VolumeHost
from juliabox_manager.volumes import volume_name
from juliabox_plugins.hostdir import HostdirSettings, HostFolders
from support.state_folder import as_person, mounted_below, shared_state_folder, slot

pytestmark = pytest.mark.engine

SESSION = "0" * 16


@pytest.fixture
def state() -> Iterator[Path]:
    with shared_state_folder() as folder:
        yield folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "homes"
    folder.mkdir(mode=0o711)
    return folder


def plugin(state: Path, root: Path, *, grace: float = 86_400.0) -> HostFolders:
    made = HostFolders(PluginContext("hostdir", HostdirSettings(root=root)))
    made.host = VolumeHost(state, grace)
    return made


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def refusal(volumes: HostFolders, target: Path) -> str:
    """Return the code with which a home of ada is refused."""

    async def work() -> str:
        with pytest.raises(JuliaBoxError) as refused:
            await volumes.get_disk_for_user("ada", 0, SESSION, target)
        return refused.value.code

    return asyncio.run(work())


def test_a_home_is_its_owners_alone_without_devices_and_setuid(state: Path, root: Path) -> None:
    volumes, home = plugin(state, root), slot(state)

    async def work() -> None:
        await volumes.adopt({})
        await volumes.get_disk_for_user("ada", 0, SESSION, home)
        status = home.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1000, 0o700)
        flags = os.statvfs(home).f_flag
        assert flags & os.ST_NODEV and flags & os.ST_NOSUID and not flags & os.ST_NOEXEC
        assert as_person("echo kept > file; cat file", home).stdout == "kept\n"
        assert (root / volume_name("ada") / "file").read_text() == "kept\n"
        await volumes.release(SESSION, home)

    run(work)
    assert mounted_below(state) == []


@pytest.mark.parametrize("kind", ["link", "file", "owner"])
def test_what_somebody_planted_in_place_of_a_home_is_refused(
    state: Path, root: Path, tmp_path: Path, kind: str
) -> None:
    volumes, place = plugin(state, root), root / volume_name("ada")
    asyncio.run(volumes.adopt({}))
    if kind == "link":
        place.symlink_to(tmp_path)
    elif kind == "file":
        place.write_text("")
    else:
        place.mkdir()
    assert refusal(volumes, slot(state)) == "volume.foreign"
    assert mounted_below(state) == []


def test_a_root_that_others_may_write_or_that_is_a_link_is_refused(
    state: Path, root: Path, tmp_path: Path
) -> None:
    volumes = plugin(state, root)
    asyncio.run(volumes.adopt({}))
    root.chmod(0o777)
    assert refusal(volumes, slot(state)) == "volume.root"
    link = tmp_path / "link"
    link.symlink_to(root)
    with pytest.raises(JuliaBoxError, match="cannot be opened"):
        asyncio.run(plugin(state, link).adopt({}))


def test_nobody_gets_an_empty_home_while_the_file_server_is_not_mounted(
    state: Path, root: Path
) -> None:
    volumes, home = plugin(state, root), slot(state)

    async def visit() -> None:
        await volumes.adopt({})
        await volumes.get_disk_for_user("ada", 0, SESSION, home)
        await volumes.release(SESSION, home)

    run(visit)
    root.rename(root.with_name("elsewhere"))
    root.mkdir(mode=0o711)
    assert refusal(volumes, home) == "volume.root"
    with pytest.raises(JuliaBoxError, match="not mounted"):
        asyncio.run(plugin(state, root).adopt({}))
    assert list(root.iterdir()) == []


def test_a_removed_home_is_deleted_and_nothing_that_its_links_lead_to(
    state: Path, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("kept")
    volumes, home = plugin(state, root, grace=0.0), slot(state)

    async def work() -> None:
        await volumes.adopt({})
        await volumes.get_disk_for_user("ada", 0, SESSION, home)
        as_person(f"ln -s {outside} out; mkdir -p a/b; chmod 000 a; mkfifo p", home)
        await volumes.release(SESSION, home)
        await volumes.remove("ada")
        assert len(await volumes.purge()) == 1
        assert await volumes.disks() == []

    run(work)
    assert (outside / "precious").read_text() == "kept"
    assert [entry.name for entry in root.iterdir()] == [".removed"]


@pytest.mark.parametrize("path", ["homes", "/", "/srv/../etc"], ids=["relative", "all", "up"])
def test_a_root_must_be_an_absolute_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        HostdirSettings(root=Path(path))
