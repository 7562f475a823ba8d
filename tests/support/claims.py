"""People who claim sessions all the time, and what is seen of the containers they get.

Containers are looked at from the host through ``/proc`` (their processes, and their folders as
these processes see them), so that a look costs milliseconds and needs no engine.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import (
    Limits,
    SessionCreate,
    SessionInfo,
    SessionList,
    SessionRemove,
    SessionStart,
    SessionStop,
    Verb,
)
from juliabox_spawner.client import ManagerClient
from support.manager_process import IMAGE, LIMITS

#: What a session leaves behind: its owner's name and a word of that session alone.
LEFT = re.compile(r"left-([a-z]+\.[0-9a-f]{16})")

#: Folders that a session may write, apart from its home.
FOLDERS = ("tmp", "run/juliabox", "dev/shm")

#: Seconds in which a person who tries again and again must have a session, and pauses between.
PATIENCE = 120.0
_PAUSE = 0.2

#: Seconds within which a container has its session's limits, kills or not.
LIMITED = 60.0

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Seen:
    """What one container holds of people."""

    processes: dict[int, str]
    #: Words in arguments and environments of its processes, in its folders, and in its home.
    running: set[str]
    folders: set[str]
    home: set[str]
    #: Whether somebody's home is mounted in it, and whether the way in is still open.
    mounted: bool
    door: bool

    @property
    def clean(self) -> bool:
        """Whether nothing of anybody's is in it."""
        return not (self.running or self.folders or self.home or self.mounted)


def look(container: str) -> Seen | None:
    """Look into a container; None if it is dead, or dies meanwhile."""
    told: dict[int, str] = {}
    init = 0
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if container in (path / "cgroup").read_text():
                told[int(path.name)] = _told(path)
                if re.search(r"^NSpid:.*\t1$", (path / "status").read_text(), re.M):
                    init = int(path.name)
    process = Path(f"/proc/{init}")
    try:
        seen = Seen(
            told,
            {word for text in told.values() for word in LEFT.findall(text)},
            {word for place in FOLDERS for word in _words(process / "root" / place)},
            set(_words(process / "root/home/juser")),
            " /home/juser " in (process / "mountinfo").read_text(),
            (process / "root/home/entry.sock").exists(),
        )
        alive = "(zombie)" not in (process / "status").read_text()
    except OSError:
        return None
    return seen if alive else None


def _told(process: Path) -> str:
    """Return arguments and environment of a process."""
    content = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
    return content.decode(errors="replace")


def _words(folder: Path) -> list[str]:
    return LEFT.findall("\n".join(path.name for path in folder.iterdir()))


def memory_limit(container: str) -> int:
    """Return the memory limit that the kernel holds a container to; 0 if it is gone."""
    for file in limit_files(container):
        with suppress(OSError, ValueError):
            return int(file.read_text())
    return 0


def limit_files(container: str) -> Iterator[Path]:
    """Return where the kernel may tell a container's memory limit."""
    older = (path for path in _CGROUP.glob("memory/docker/*") if container in path.name)
    yield from (path / "memory.limit_in_bytes" for path in older)
    # it passes over groups that end meanwhile; Path.glob stops there
    for place, _, _ in os.walk(_CGROUP):
        if container in Path(place).name:
            yield Path(place, "memory.max")


async def _until_limited(container: str, memory: int) -> int:
    """Wait until a container has its session's limit or is gone; return the last one seen."""
    end = time.monotonic() + LIMITED
    while (limit := await asyncio.to_thread(memory_limit, container)) not in {0, memory}:
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.05)
    return limit


class Ledger:
    """Who had which container, over the whole run: none may have two."""

    def __init__(self, owners: dict[str, str]) -> None:
        self.owners = owners
        self.claims: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.seconds: list[float] = []

    def enter(self, container: str, word: str) -> None:
        """Note that a container serves a session; fail if it served another."""
        before = self.owners.setdefault(container, word)
        assert before == word, f"container {container} served {before} and {word}"


@dataclass
class Claimant:
    """One person's one server, claimed again and again."""

    owner: str
    server: str
    hub: ManagerClient
    ledger: Ledger
    #: Words of finished sessions, which must stay in the home.
    kept: set[str]
    limits: Limits = LIMITS
    #: Whether a create or a start is under way; whether anything of a claim is.
    under_way: bool = False
    busy: bool = False
    done: int = 0

    async def live(self, allowed: asyncio.Event) -> None:
        """Claim, look, and stop, while allowed."""
        while True:
            await allowed.wait()
            self.busy = True
            await self.claim_once()
            self.busy = False

    async def claim_once(self) -> None:
        """Have a session, as somebody who tries again; see that it is theirs alone; end it."""
        began = time.monotonic()
        while True:
            word = f"{self.owner}.{secrets.token_hex(8)}"
            try:
                info = await self._start(word)
            except JuliaBoxError as error:
                self._note(error)
            else:
                if await self._served(info, word):
                    break
            waited = time.monotonic() - began
            assert waited < PATIENCE, f"{self.owner}/{self.server}: no session in {waited:.0f} s"
            await asyncio.sleep(_PAUSE)
        self.ledger.seconds.append(time.monotonic() - began)
        self.ledger.claims["warm" if info.warm else "cold"] += 1
        self.done += 1
        await self._end(info)

    async def _start(self, word: str) -> SessionInfo:
        await self._clear()
        environment = {"TOKEN": f"left-{word}", "TINY_LEAVE": word}
        create = SessionCreate(self.owner, self.server, IMAGE, self.limits)
        self.under_way = True
        try:
            made = await self.hub.call(create, 40.0)
            info: SessionInfo = await self.hub.call(SessionStart(made.session, environment), 40.0)
        finally:
            self.under_way = False
        assert (info.owner, info.server, info.state) == (self.owner, self.server, "running"), info
        return info

    async def _clear(self) -> None:
        """Remove what is left of a start that got no answer: its environment is not ours."""
        for one in await self.hub.call(SessionList(), 40.0):
            if (one.owner, one.server) == (self.owner, self.server):
                await self.hub.call(SessionRemove(one.session), 40.0)

    async def _served(self, info: SessionInfo, word: str) -> bool:
        """Judge the container of a running session; False if it died, which kills explain."""
        seen = await _until_left(info.container, word)
        if seen is None:
            self.ledger.errors["died after its start"] += 1
            return False
        self.ledger.enter(info.container, word)
        about = f"{word} in {info.container}: {seen}"
        assert seen.running == seen.folders == {word}, about
        assert {one.split(".")[0] for one in seen.home} == {self.owner}, about
        assert self.kept | {word} <= seen.home, f"a file is lost: {about}"
        assert seen.mounted and not seen.door, about
        # raised beside the start: nobody waits for it, and a manager that was killed does it again
        limit = await _until_limited(info.container, self.limits.memory)
        assert limit in {0, self.limits.memory}, f"{limit} bytes: {about}"
        self.kept.add(word)
        return True

    async def _end(self, info: SessionInfo) -> None:
        # a stop leaves a record that says how it ended, a removal none
        ending: Verb = SessionStop(info.session, 1.0)
        if self.done % 2:
            ending = SessionRemove(info.session)
        try:
            await self.hub.call(ending, 40.0)
        except JuliaBoxError as error:
            self._note(error)

    def _note(self, error: JuliaBoxError) -> None:
        clear = error.code != "internal" and "Traceback" not in error.message
        assert clear and error.message, f"an unclear error: {error.code} {error.message}"
        self.ledger.errors[error.code] += 1


async def _until_left(container: str, word: str, limit: float = 60.0) -> Seen | None:
    """Look into a container until its server has left its word; None once it is dead."""
    end = time.monotonic() + limit
    while True:
        seen = await asyncio.to_thread(look, container)
        if seen is None or word in seen.folders & seen.running & seen.home:
            return seen
        assert time.monotonic() < end, f"{word} does not come up in {container}: {seen}"
        await asyncio.sleep(0.05)
