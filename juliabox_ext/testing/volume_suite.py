"""Contract suite of a kind of volume: derive from :class:`VolumesSuite` and override ``make``.

Override ``state`` too if the plugin really mounts: with a folder that is a shared mount. Each test
runs on an event loop and a machine of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.errors import ConflictError, NoRoomError, NotFoundError
from juliabox_ext.plugin import Plugin
from juliabox_ext.volume import VolumeHost, Volumes

SIZE = 64 * 1024**2
DAY = 86_400.0

Make = Callable[[VolumeHost], Volumes]
Work = Callable[[], Coroutine[Any, Any, None]]


class VolumesSuite:
    """What every kind of volume does."""

    @pytest.fixture
    def make(self) -> Make:
        """Return what makes the plugin, configured, for a machine; once more is a restart."""
        raise NotImplementedError

    @pytest.fixture
    def state(self, tmp_path: Path) -> Path:
        """Return a state folder."""
        return tmp_path

    @pytest.fixture
    def volumes(self, make: Make, state: Path) -> Volumes:
        """Return the plugin for an empty machine."""
        made = make(VolumeHost(state, grace=DAY))
        asyncio.run(made.adopt({}))
        return made

    def put(self, volumes: Volumes, target: Path, name: str, text: str) -> None:
        """Write a file of the person's at a target."""
        (target / name).write_text(text)

    def get(self, volumes: Volumes, target: Path, name: str) -> str | None:
        """Read one; None if there is none."""
        place = target / name
        return place.read_text() if place.exists() else None

    @staticmethod
    def slot(state: Path, container: str) -> Path:
        """Make the place of a container's disk."""
        place = state / "slots" / container / "juser"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def run(self, work: Work) -> None:
        """Run a test's coroutine."""
        asyncio.run(work())

    # -- what a plugin is -----------------------------------------------------------------------

    def test_it_provides_features_of_volumes(self, volumes: Volumes) -> None:
        assert isinstance(volumes, Plugin)
        assert volumes.provides
        assert set(volumes.provides) <= set(volumes.functionalities)

    # -- attaching ------------------------------------------------------------------------------

    def test_a_disk_is_attached_for_its_owner_and_known_by_its_container(
        self, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def work() -> None:
            disk = await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            again = await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            assert (disk.id, disk.user_id) == (again.id, "ada")
            found = await volumes.get_disk_from_container("a" * 16)
            assert found is not None and (found.id, found.state) == (disk.id, "mounted")
            assert await volumes.get_disk_from_container("b" * 16) is None
            (listed,) = await volumes.disks("ada")
            assert (listed.id, list(listed.sessions)) == (disk.id, ["a" * 16])
            assert listed.size == 0 or listed.size >= SIZE
            await volumes.release("a" * 16, target)
            assert await volumes.get_disk_from_container("a" * 16) is None
            (listed,) = await volumes.disks("ada")
            assert (listed.state, list(listed.sessions)) == ("idle", [])

        self.run(work)

    def test_what_a_person_wrote_is_there_the_next_time_and_for_nobody_else(
        self, volumes: Volumes, state: Path
    ) -> None:
        target, other = self.slot(state, "a" * 16), self.slot(state, "b" * 16)

        async def work() -> None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            self.put(volumes, target, "notes", "kept")
            await volumes.release("a" * 16, target)
            assert self.get(volumes, target, "notes") is None
            # case and look-alikes tell people apart
            for stranger in ("Ada", "\u0430da", "bob"):
                await volumes.get_disk_for_user(stranger, SIZE, "b" * 16, other)
                assert self.get(volumes, other, "notes") is None
                await volumes.release("b" * 16, other)
            await volumes.get_disk_for_user("ada", 2 * SIZE, "b" * 16, other)
            assert self.get(volumes, other, "notes") == "kept"
            await volumes.release("b" * 16, other)

        self.run(work)

    def test_containers_of_one_person_share_the_disk_until_the_last_has_ended(
        self, volumes: Volumes, state: Path
    ) -> None:
        first, second = self.slot(state, "a" * 16), self.slot(state, "b" * 16)

        async def work() -> None:
            await asyncio.gather(
                volumes.get_disk_for_user("ada", SIZE, "a" * 16, first),
                volumes.get_disk_for_user("ada", SIZE, "b" * 16, second),
            )
            self.put(volumes, first, "notes", "shared")
            assert self.get(volumes, second, "notes") == "shared"
            await volumes.release("a" * 16, first)
            await volumes.release("a" * 16, first)
            assert self.get(volumes, first, "notes") is None
            assert self.get(volumes, second, "notes") == "shared"
            with pytest.raises(ConflictError):
                await volumes.remove("ada")
            await volumes.release("b" * 16, second)

        self.run(work)

    def test_a_container_with_a_disk_elsewhere_is_refused(
        self, volumes: Volumes, state: Path
    ) -> None:
        target, other = self.slot(state, "a" * 16), self.slot(state, "b" * 16)

        async def work() -> None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            with pytest.raises(ConflictError):
                await volumes.get_disk_for_user("ada", SIZE, "a" * 16, other)
            await volumes.release("a" * 16, target)
            await volumes.release("c" * 16, other)

        self.run(work)

    def test_a_full_machine_refuses_and_leaves_nothing_attached(
        self, make: Make, volumes: Volumes, state: Path
    ) -> None:
        full = make(VolumeHost(state, reserve=2**62))
        target = self.slot(state, "a" * 16)

        async def work() -> None:
            with pytest.raises(NoRoomError):
                await full.get_disk_for_user("ada", SIZE, "a" * 16, target)
            assert await full.get_disk_from_container("a" * 16) is None
            assert not full.is_mount_path(target)

        self.run(work)

    def test_a_start_that_is_cancelled_leaves_what_a_release_undoes(
        self, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def work() -> None:
            for delay in (0.0, 0.01, 0.05):
                start = asyncio.create_task(
                    volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
                )
                await asyncio.sleep(delay)
                start.cancel()
                with suppress(asyncio.CancelledError):
                    await start
                await volumes.release("a" * 16, target)
                assert not volumes.is_mount_path(target)
            await volumes.finish()

        self.run(work)

    # -- looking --------------------------------------------------------------------------------

    def test_disks_are_measured_by_container_and_their_paths_recognized(
        self, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def work() -> None:
            assert not volumes.is_mount_path(target)
            disk = await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            assert volumes.is_mount_path(target)
            assert volumes.is_mount_path(target / "deeper")
            assert not volumes.is_mount_path(state)
            measured = await volumes.refresh_disk_use_status(["a" * 16, "f" * 16])
            assert set(measured) == {"a" * 16}
            found = measured["a" * 16]
            assert (found.id, found.user_id) == (disk.id, "ada")
            assert found.used is None or 0 <= found.used <= found.size
            assert set(await volumes.refresh_disk_use_status()) == {"a" * 16}
            assert 0.0 <= volumes.disk_ids_used_pct() <= 100.0
            await volumes.refresh_user_home_image()
            await volumes.release("a" * 16, target)
            assert await volumes.refresh_disk_use_status() == {}

        self.run(work)

    # -- removing -------------------------------------------------------------------------------

    def test_a_removed_disk_comes_back_until_its_grace_is_over(
        self, make: Make, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def visit(text: str) -> str | None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            before = self.get(volumes, target, "notes")
            self.put(volumes, target, "notes", text)
            await volumes.release("a" * 16, target)
            return before

        async def work() -> None:
            await volumes.remove("ada")  # there is none
            assert await visit("first") is None
            await volumes.remove("ada")
            assert await visit("second") is None
            with pytest.raises(ConflictError):
                await volumes.restore("ada")
            await volumes.remove("ada")
            assert [disk.state for disk in await volumes.disks("ada")] == ["removed"] * 2
            assert all(disk.delete_after > 0 for disk in await volumes.disks("ada"))
            assert (await volumes.restore("ada")).state == "idle"
            assert await visit("third") == "second"
            with pytest.raises(NotFoundError):
                await volumes.restore("bob")
            assert await volumes.purge() == []
            impatient = make(VolumeHost(state, grace=0.0))
            assert len(await impatient.purge()) == 1
            assert [disk.state for disk in await impatient.disks()] == ["idle"]
            assert await visit("fourth") == "third"

        self.run(work)

    # -- restarts -------------------------------------------------------------------------------

    def test_a_restart_keeps_what_is_listed_and_undoes_the_rest(
        self, make: Make, volumes: Volumes, state: Path
    ) -> None:
        places = {name: self.slot(state, name * 16) for name in "abc"}

        async def before() -> None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, places["a"])
            await volumes.get_disk_for_user("ada", SIZE, "b" * 16, places["b"])
            self.put(volumes, places["a"], "notes", "kept")
            await volumes.finish()
            volumes.close()

        self.run(before)
        restarted = make(VolumeHost(state, grace=DAY))

        async def after() -> None:
            assert restarted.is_mount_path(places["a"])
            listed = {"a" * 16: ("ada", places["a"]), "c" * 16: ("cleo", places["c"])}
            assert await restarted.adopt(listed) == ["c" * 16]
            assert self.get(restarted, places["a"], "notes") == "kept"
            assert self.get(restarted, places["b"], "notes") is None
            found = await restarted.get_disk_from_container("a" * 16)
            assert found is not None and found.user_id == "ada"
            with pytest.raises(ConflictError):
                await restarted.remove("ada")
            await restarted.get_disk_for_user("ada", SIZE, "b" * 16, places["b"])
            assert self.get(restarted, places["b"], "notes") == "kept"
            for name in "ab":
                await restarted.release(name * 16, places[name])
                assert not restarted.is_mount_path(places[name])
            await restarted.remove("ada")

        self.run(after)

    def test_somebody_elses_home_is_not_handed_over_by_a_restart(
        self, make: Make, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def before() -> None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            await volumes.finish()
            volumes.close()

        self.run(before)
        restarted = make(VolumeHost(state, grace=DAY))

        async def after() -> None:
            assert await restarted.adopt({"a" * 16: ("bob", target)}) == ["a" * 16]
            assert not restarted.is_mount_path(target)

        self.run(after)

    def test_what_other_plugins_show_at_their_targets_is_left_alone(
        self, make: Make, volumes: Volumes, state: Path
    ) -> None:
        target = self.slot(state, "a" * 16)

        async def before() -> None:
            await volumes.get_disk_for_user("ada", SIZE, "a" * 16, target)
            self.put(volumes, target, "notes", "kept")
            await volumes.finish()
            volumes.close()

        self.run(before)
        restarted = make(VolumeHost(state, grace=DAY))

        async def after() -> None:
            assert await restarted.adopt({}, [target]) == []
            assert self.get(restarted, target, "notes") == "kept"
            assert await restarted.adopt({"a" * 16: ("ada", target)}) == []
            await restarted.release("a" * 16, target)
            assert not restarted.is_mount_path(target)

        self.run(after)
