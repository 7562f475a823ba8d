"""Homes of several plugins behind one door, some of which hang, block or raise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import NotFoundError, PluginError, UnavailableError, VolumeError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import PluginFault, Registry
from juliabox_ext.selection import PluginSelection
from juliabox_ext.volume import Disk, JBoxVol, VolumeHost, Volumes
from juliabox_manager import contained
from juliabox_manager import homes as manager_homes
from juliabox_manager.contained import ContainedVolumes
from juliabox_manager.homes import Homes
from support.state_folder import command, mounted_below, shared_state_folder, slot
from support.waiting import LoopClock, until

TARGET = Path("/state/slots/s/juser")


class Stranger(Volumes):
    """A volume plugin that does what a test tells it to."""

    provides = (JBoxVol.JBP_USERHOME,)

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.attached: dict[str, str] = {}
        self.people = ["ada"]
        self.renewed = 0
        self.faults: dict[str, Any] = {}
        self.adopted: list[tuple[dict[str, Any], set[Path]]] = []
        #: Whether it hangs or blocks by now, and what ends the latter.
        self.at_fault = threading.Event()
        self.unblocked = threading.Event()

    async def _do(self, method: str) -> None:
        fault = self.faults.get(method)
        if fault in ("hang", "block"):
            self.at_fault.set()
        if fault == "hang":
            await asyncio.sleep(3600)
        elif fault == "block":
            self.unblocked.wait(60)  # what a plugin must not do
        elif fault is not None:
            raise fault

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        await self._do("get_disk_for_user")
        self.attached[container_id] = user_id
        return Disk(user_id, user_id)

    async def get_disk_from_container(self, cid: str) -> Disk | None:
        return None

    def is_mount_path(self, fs_path: Path) -> bool:
        return fs_path.parts[1] == self.name

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        return {name: Disk(self.name, "x") for name in container_id_list or self.attached}

    def disk_ids_used_pct(self) -> float:
        return 0.0

    async def release(self, container_id: str, target: Path, backup: bool = False) -> None:
        await self._do("release")
        self.attached.pop(container_id, None)

    async def adopt(
        self, mounted: Mapping[str, tuple[str, Path]], foreign: Collection[Path] = ()
    ) -> list[str]:
        await self._do("adopt")
        self.adopted.append((dict(mounted), set(foreign)))
        return [name for name, (_, place) in mounted.items() if not self.is_mount_path(place)]

    async def disks(self, user_id: str | None = None) -> list[Disk]:
        return [Disk(self.name, name) for name in self.people if user_id in (None, name)]

    async def remove(self, user_id: str) -> None:
        await self._do("remove")

    async def restore(self, user_id: str) -> Disk:
        await self._do("restore")
        return Disk(self.name, user_id)

    async def purge(self) -> list[str]:
        await self._do("purge")
        return []

    async def refresh_user_home_image(self) -> None:
        self.renewed += 1


@pytest.fixture
async def kinds() -> AsyncIterator[list[Stranger]]:
    yield [Stranger(PluginContext(name)) for name in ("new", "old")]


@pytest.fixture
async def homes(kinds: list[Stranger]) -> AsyncIterator[Homes]:
    doors = [
        ContainedVolumes(kind, PluginInfo(kind.name, "juliabox.volume", "stranger", "1.0", "x:y"))
        for kind in kinds
    ]
    made = Homes(doors)
    yield made
    await made.close()


async def test_a_plugin_that_raises_is_named_with_its_distribution_and_method(
    homes: Homes, kinds: list[Stranger]
) -> None:
    kinds[0].faults["get_disk_for_user"] = ZeroDivisionError("by zero")
    with pytest.raises(PluginError) as refused:
        await homes.get_disk_for_user("ada", 1, "s", TARGET)
    assert refused.value.code == "plugin.failed"
    for word in ("new", "stranger 1.0", "get_disk_for_user", "by zero"):
        assert word in refused.value.message


async def test_what_a_plugin_raises_on_purpose_passes(homes: Homes, kinds: list[Stranger]) -> None:
    kinds[0].faults["get_disk_for_user"] = VolumeError("worn out", code="volume.quarantined")
    with pytest.raises(VolumeError, match="worn out"):
        await homes.get_disk_for_user("ada", 1, "s", TARGET)


@pytest.mark.parametrize("fault", ["hang", "block"])
async def test_a_plugin_that_hangs_or_blocks_holds_up_neither_the_manager_nor_another_plugin(
    homes: Homes, kinds: list[Stranger], fault: str
) -> None:
    await homes.adopt({"theirs": ("bob", Path("/old/slot"))})
    clock = LoopClock(asyncio.get_running_loop())
    kinds[0].faults["get_disk_for_user"] = fault
    start = asyncio.create_task(homes.get_disk_for_user("ada", 1, "s", TARGET))
    await until(kinds[0].at_fault.is_set)
    await homes.release("theirs", Path("/old/slot"))
    assert not start.done()
    clock.later(contained.CHANGE)
    with pytest.raises(PluginError, match=f"within {contained.CHANGE:g} s") as refused:
        await start
    assert refused.value.code == "plugin.hangs"
    kinds[0].unblocked.set()


async def test_sessions_stay_with_the_plugin_that_holds_their_home(
    homes: Homes, kinds: list[Stranger]
) -> None:
    new, old = kinds
    places = {"a": ("ada", Path("/new/slot")), "b": ("bob", Path("/old/slot"))}
    assert await homes.adopt(places) == []
    assert new.adopted == [({"a": places["a"]}, {Path("/old/slot")})]
    assert old.adopted == [({"b": places["b"]}, {Path("/new/slot")})]
    measured = await homes.refresh_disk_use_status(["a", "b", "c"])
    assert {name: disk.id for name, disk in measured.items()} == {"a": "new", "b": "old"}
    new.people, old.people = ["ada"], ["bob"]
    await homes.get_disk_for_user("bob", 1, "c", TARGET)
    await homes.get_disk_for_user("cleo", 1, "d", TARGET)
    assert (new.attached, old.attached) == ({"d": "cleo"}, {"c": "bob"})
    assert [(info.plugin, info.volume) for info in await homes.volumes()] == [
        ("new", "new"),
        ("old", "old"),
    ]


async def test_a_home_is_restored_from_wherever_it_was_put_aside(
    homes: Homes, kinds: list[Stranger]
) -> None:
    kinds[0].faults["restore"] = NotFoundError("none here")
    assert (await homes.restore("ada")).plugin == "old"
    kinds[1].faults["restore"] = NotFoundError("nor here")
    with pytest.raises(NotFoundError):
        await homes.restore("ada")


async def test_a_plugin_that_cannot_take_over_is_asked_again_and_ends_no_session(
    homes: Homes, kinds: list[Stranger]
) -> None:
    kinds[0].faults["adopt"] = OSError("not yet")
    assert await homes.adopt({"a": ("ada", Path("/new/slot"))}) == []
    with pytest.raises(UnavailableError) as refused:
        await homes.get_disk_for_user("bob", 1, "b", TARGET)
    assert refused.value.code == "volume.not_adopted"
    kinds[0].faults.clear()
    await homes.purge()
    assert kinds[0].renewed == 1
    await homes.purge()
    assert kinds[0].renewed == 1
    assert [set(own) for own, _ in kinds[0].adopted] == [{"a"}]
    await homes.get_disk_for_user("bob", 1, "b", TARGET)


async def test_nobody_gets_an_empty_home_because_the_chosen_plugin_is_not_there(
    tmp_path: Path,
) -> None:
    """The default would be at hand."""
    selection = PluginSelection(
        enabled=["broken", "home"], features={JBoxVol.JBP_USERHOME: ["broken", "home"]}
    )
    registry = Registry(selection, ["vol"], PluginContext("", folder=tmp_path))
    registry.load()
    registry.faults[:] = [
        PluginFault("broken", "juliabox.volume", "stranger", "plugin.import", "broken is broken")
    ]
    homes = Homes.load(registry, VolumeHost(tmp_path))
    try:
        with pytest.raises(PluginError, match="broken is broken") as refused:
            await homes.get_disk_for_user("ada", 1, "s", TARGET)
        assert refused.value.code == "plugin.import"
        # what runs, runs on
        assert await homes.adopt({"a": ("ada", Path("/somewhere/else"))}) == []
    finally:
        await homes.close()


async def test_a_plugin_whose_purge_hangs_keeps_no_reconcile_waiting_and_no_other_purge(
    homes: Homes, kinds: list[Stranger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_homes, "PURGE_LIMIT", 1.0)
    kinds[0].faults["purge"] = "hang"
    async with asyncio.timeout(60):
        for _ in range(2):
            await homes.purge()
    await until(lambda: kinds[1].renewed)  # a busy machine may need longer than that second
    assert (kinds[0].renewed, kinds[1].renewed) == (0, 1)


@pytest.mark.engine
async def test_a_home_of_a_plugin_that_is_disabled_by_now_does_not_keep_its_slot(
    homes: Homes,
) -> None:
    with shared_state_folder() as state:
        place = slot(state)
        command("mount", "-t", "tmpfs", "none", place)
        assert await homes.adopt({"a": ("ada", place)}) == ["a"]
        assert mounted_below(state) == []


async def test_what_is_under_way_at_the_end_lets_go_of_what_it_holds(
    kinds: list[Stranger], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = threading.Event(), threading.Event()

    async def hold() -> list[str]:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)  # as who puts back what he took
            let_go.set()
        return []

    monkeypatch.setattr(kinds[0], "purge", hold)
    door = ContainedVolumes(kinds[0])
    purge = asyncio.create_task(door.purge())
    await until(begun.is_set)
    await door.close()
    assert let_go.is_set()
    await asyncio.gather(purge, return_exceptions=True)


async def test_a_plugin_that_does_not_let_go_keeps_no_manager_from_its_end(
    kinds: list[Stranger], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    async def insist() -> list[str]:
        begun.set()
        # asyncio would tell of it in the middle of another test
        asyncio.current_task()._log_destroy_pending = False  # type: ignore[union-attr]
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    monkeypatch.setattr(kinds[0], "purge", insist)
    door = ContainedVolumes(kinds[0])
    purge = asyncio.create_task(door.purge())
    await until(begun.is_set)
    async with asyncio.timeout(30):
        await door.close()
    purge.cancel()
    await asyncio.gather(purge, return_exceptions=True)
