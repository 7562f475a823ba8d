"""A machine without Docker: engine, slots, volumes, network and store that keep book.

:class:`World` is what outlives a manager: containers, mounts, slots, records. Each fake belongs to
one manager; when that is killed, every further call of it raises :class:`Dead`, so that nothing it
would have cleaned up is cleaned up.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from juliabox_ext.errors import DeadlineError, InternalError, NotFoundError, UnavailableError
from juliabox_ext.volume import Disk
from juliabox_manager.engine import Container, EngineInfo, Notice
from juliabox_manager.hardening import LABEL_DIGEST, LABEL_KIND
from juliabox_manager.protocol import VolumeInfo
from juliabox_manager.records import Kind, SessionRecord
from juliabox_manager.store import Store

T = TypeVar("T")


class Dead(BaseException):
    """The manager that calls has been killed."""


@dataclass
class Box:
    """A container of the fake engine."""

    session: str
    running: bool = False
    pid: int = 0
    started: float = 0.0
    exit_code: int = 0
    #: What it is made for, and for what its network is closed; empty: it is not.
    kind: str = "session"
    protected: str = ""
    released: bool = False
    #: Docker's id, digest label, and limit of memory.
    container: str = ""
    digest: str = ""
    memory: int = 0


@dataclass
class World:
    """What there is, apart from managers."""

    chance: random.Random
    boxes: dict[str, Box] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    slots: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    #: Calls that fail from now on, one each.
    failures: list[str] = field(default_factory=list)
    #: Who was let into which container.
    served: dict[str, str] = field(default_factory=dict)
    pids: int = 100
    made: int = 0
    listener: Callable[[Notice], None] | None = None

    def die(self, session: str, code: int = 1) -> None:
        """Let a container end by itself."""
        box = self.boxes.get(session)
        if box is not None and box.running:
            box.running, box.pid, box.exit_code, box.protected = False, 0, code, ""
            if self.listener is not None:
                notice = Notice("die", session, box.container)
                asyncio.get_running_loop().call_soon(self.listener, notice)

    def check(self) -> None:
        """Note what must never be."""
        released = [box for box in self.boxes.values() if box.running and box.released]
        for box in released:
            if box.kind == "api":
                if box.session in self.homes:
                    self.faults.append(f"{box.session} of an API has a home")
            elif box.session not in self.homes:
                self.faults.append(f"{box.session} runs without its home")
            elif self.homes[box.session] != self.served[box.container]:
                self.faults.append(f"{box.session} has another person's home")


class _Part:
    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False

    async def turn(self, call: str) -> None:
        """Let others run for a while, then fail if told to."""
        for _ in range(self.world.chance.randrange(6)):
            await asyncio.sleep(0)
        if self.dead:
            raise Dead
        if call in self.world.failures:
            self.world.failures.remove(call)
            raise UnavailableError(f"{call} fails", code=f"fake.{call}")


class FakeEngine(_Part):
    """Stands for :class:`juliabox_manager.engine.Engine`."""

    async def info(self) -> EngineInfo:
        return EngineInfo("fake", 2**34, False)

    async def image_present(self, image_id: str) -> bool:
        return True

    def _told(self, box: Box) -> Container:
        return Container(
            session=box.session,
            id=box.container,
            running=box.running,
            digest=box.digest,
            memory=box.memory,
            pid=box.pid,
            address="10.0.0.9",
            started=box.started,
            exit_code=box.exit_code,
        )

    async def containers(self) -> list[Container]:
        await self.turn("containers")
        return [self._told(box) for box in self.world.boxes.values()]

    async def inspect(self, session: str) -> Container | None:
        await self.turn("inspect")
        box = self.world.boxes.get(session)
        return None if box is None else self._told(box)

    async def last_lines(self, container: Container) -> list[str]:
        await self.turn("last_lines")
        return ["line"]

    async def create(self, session: str, config: dict[str, Any]) -> str:
        await self.turn("create")
        if session not in self.world.boxes:
            self.world.made += 1
            self.world.boxes[session] = Box(
                session,
                container=f"container-{self.world.made}",
                digest=config["Labels"][LABEL_DIGEST],
                kind=config["Labels"].get(LABEL_KIND, "session"),
                memory=config["HostConfig"]["Memory"],
            )
        return self.world.boxes[session].container

    async def update(self, container: str, limits: dict[str, int]) -> None:
        await self.turn("update")
        for box in self.world.boxes.values():
            if box.container == container and box.running:
                box.memory = limits["Memory"]
                return
        raise NotFoundError("gone")

    async def start(self, session: str) -> None:
        await self.turn("start")
        box = self.world.boxes.get(session)
        if box is None:
            raise NotFoundError("gone")
        if session not in self.world.slots:
            raise InternalError("no slot to mount")
        if not box.running:
            self.world.pids += 1
            box.running, box.pid, box.started, box.released = True, self.world.pids, 1.0, False

    async def kill(self, container: Container, signal: str) -> None:
        await self.turn("kill")
        if signal == "SIGKILL" or self.world.chance.random() < 0.5:
            self.world.die(container.session, 137)

    async def remove(self, container: Container) -> None:
        await self.turn("remove")
        self.world.die(container.session, 137)
        self.world.boxes.pop(container.session, None)

    def watch(self, noticed: Callable[[Notice], None]) -> None:
        self.world.listener = noticed

    async def close(self) -> None:
        self.world.listener = None


class FakeSlots(_Part):
    """Stands for :class:`juliabox_manager.slots.Slots`."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.listening: set[str] = set()

    async def prepare(self, session: str) -> Path:
        await self.turn("prepare")
        self.world.slots.add(session)
        self.listening.add(session)
        return Path("/fake") / session

    async def await_entry(self, session: str, pid: int, timeout: float) -> None:  # noqa: ASYNC109
        await self.turn("await_entry")
        box = self.world.boxes.get(session)
        if box is None or not box.running or box.released or box.pid != pid:
            await asyncio.sleep(0.01)
            raise DeadlineError("no entry")

    async def release(
        self,
        session: str,
        environment: dict[str, str],
        timeout: float,  # noqa: ASYNC109
    ) -> None:
        await self.turn("release")
        box = self.world.boxes.get(session)
        if box is None or not box.running or session not in self.listening:
            await asyncio.sleep(0.01)
            raise DeadlineError("no acknowledgement")
        of_api, at_home = box.kind == "api", session in self.world.homes
        if box.protected != box.kind or of_api == at_home or box.released:
            self.world.faults.append(f"{session} released: {box}, {at_home}")
        owner = f"API of {environment['A']}" if of_api else self.world.homes.get(session, "")
        if self.world.served.setdefault(box.container, owner) != owner:
            self.world.faults.append(f"{box.container} serves two people")
        box.released = True
        # the manager may die after the hand-over and before it knows
        await self.turn("released")

    async def await_loaded(self, session: str) -> None:
        await self.turn("await_loaded")

    async def await_listening(self, session: str, timeout: float) -> bool:  # noqa: ASYNC109
        await self.turn("await_listening")
        return True

    async def close(self, session: str) -> None:
        self.listening.discard(session)

    async def remove(self, session: str) -> None:
        await self.turn("remove_slot")
        if session in self.world.homes:
            raise UnavailableError("busy", code="slot.busy")
        box = self.world.boxes.get(session)
        if box is not None and box.running:
            self.world.faults.append(f"slot of running {session} removed")
        self.world.slots.discard(session)

    def list(self) -> list[str]:
        return sorted(self.world.slots)


class FakeVolumes(_Part):
    """Stands for :class:`juliabox_manager.homes.Homes`."""

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        await self.turn("attach")
        self.world.homes[container_id] = user_id
        return Disk(id=user_id, user_id=user_id)

    async def release(self, container_id: str, target: Path) -> None:
        await self.turn("detach")
        box = self.world.boxes.get(container_id)
        if box is not None and box.running and box.released:
            self.world.faults.append(f"home of running {container_id} taken away")
        self.world.homes.pop(container_id, None)

    async def adopt(self, mounted: Mapping[str, tuple[str, Path]]) -> list[str]:
        await self.turn("adopt")
        for session in set(self.world.homes) - set(mounted):
            await self.release(session, Path("/"))
        return sorted(set(mounted) - set(self.world.homes))

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        return {}

    async def disk_ids_used_pct(self) -> float:
        return 0.0

    async def purge(self) -> None:
        await self.turn("purge")

    async def volumes(self, user_id: str | None = None) -> list[VolumeInfo]:
        return []

    async def remove(self, user_id: str) -> None:
        if user_id in self.world.homes.values():
            self.world.faults.append(f"volume of {user_id} removed in use")

    async def restore(self, user_id: str) -> VolumeInfo:
        raise NotFoundError("none")


class FakeNetwork(_Part):
    """Stands for :class:`juliabox_manager.netpolicy.NetworkPolicy`."""

    def _box(self, pid: int) -> Box:
        for box in self.world.boxes.values():
            if box.running and box.pid == pid:
                return box
        raise NotFoundError("process has ended")

    async def apply(self, pid: int, kind: Kind = "session") -> None:
        await self.turn("apply")
        self._box(pid).protected = kind

    async def in_place(self, pid: int, kind: Kind = "session") -> bool:
        await self.turn("in_place")
        return self._box(pid).protected == kind


class MortalStore(Store):
    """The real store, until its manager is killed."""

    dead = False

    async def record(self, record: SessionRecord, step: str) -> None:
        if self.dead:
            raise Dead
        await super().record(record, step)

    async def retire(self, record: SessionRecord) -> None:
        if self.dead:
            raise Dead
        await super().retire(record)

    async def forget(self, session: str) -> None:
        if self.dead:
            raise Dead
        await super().forget(session)

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self.dead:
            raise Dead
        return await super().transact(work)

    async def close(self) -> None:
        if self.dead:
            self._unwritten.clear()  # what was held in memory dies with it
        await super().close()
