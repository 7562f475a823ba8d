from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from juliabox_ext.errors import ConfigurationError, ConflictError, DeadlineError, RequestError
from juliabox_manager.slots import MAX_LINE, Slots

pytestmark = pytest.mark.engine

SESSION = "0123456789abcdef"
ENVIRONMENT = {"TOKEN": "s3cret", "NAME": "Zoë\n", "BIG": "x" * 200_000}
LOADED, ACCEPTED, LISTENING = (
    b'{"version": 2, "state": "%s"}\n' % state for state in (b"loaded", b"accepted", b"listening")
)

#: Enters a PID namespace of its own, becomes a uid, connects, and passes bytes through.
PEER = """
import ctypes, os, socket, sys, threading
path, uid, own = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "own"
if own:
    ctypes.CDLL(None).unshare(0x20000000)
known, tell = os.pipe()
if (child := os.fork()):
    print(child, flush=True)
    os.write(tell, b".")
    os.waitpid(child, 0)
    os._exit(0)
os.read(known, 1)
os.setgid(uid)
os.setuid(uid)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(path)
    print("connected", flush=True)
    def send():
        while line := sys.stdin.buffer.readline():
            try:
                connection.sendall(line)
            except OSError:
                break
    threading.Thread(target=send, daemon=True).start()
    while received := connection.recv(65536):
        sys.stdout.buffer.write(received)
        sys.stdout.buffer.flush()
print("closed", flush=True)
os._exit(0)
"""


class Peer:
    """What a container's entry program is to the manager."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int) -> None:
        assert process.stdin and process.stdout
        self.process, self.pid = process, pid
        self.write, self.lines = process.stdin.write, process.stdout

    async def line(self) -> str:
        return (await asyncio.wait_for(self.lines.readline(), 30)).decode().strip()


@asynccontextmanager
async def peer(path: Path, *, uid: int = 1000, own: bool = True) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PEER, str(path), str(uid), "own" if own else "shared"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout
    made = Peer(process, int(await process.stdout.readline()))
    try:
        assert await made.line() == "connected"
        yield made
    finally:
        for pid in (made.pid, process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        await process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jbt-volumes-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "slots"


@pytest.fixture
def slots(folder: Path) -> Slots:
    return Slots(folder)


def mode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, stat.S_IMODE(status.st_mode)


async def test_a_session_gets_its_environment_once_and_the_door_closes(slots: Slots) -> None:
    place = await slots.prepare(SESSION)
    assert await slots.prepare(SESSION) == place
    assert mode(place) == mode(place / "juser") == (0, 0o755)
    assert mode(place / "entry.sock") == (0, 0o666)
    async with peer(place / "entry.sock") as entry:
        await slots.await_entry(SESSION, entry.pid, 30)
        release = asyncio.create_task(slots.release(SESSION, ENVIRONMENT, 30))
        assert json.loads(await entry.line()) == {"version": 2, "environment": ENVIRONMENT}
        assert not release.done()
        entry.write(ACCEPTED)
        await release
        assert [path.name for path in place.iterdir()] == ["juser"]
        entry.write(LISTENING)
        assert await slots.await_listening(SESSION, 30)
        assert await entry.line() == "closed"
    assert not await slots.await_listening(SESSION, 30)
    with pytest.raises(ConflictError):
        await slots.release(SESSION, ENVIRONMENT, 1)
    assert slots.list() == [SESSION]
    await slots.remove(SESSION)
    await slots.remove(SESSION)
    assert slots.list() == []


async def test_a_peer_of_another_uid_or_container_is_refused(slots: Slots) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    async with peer(path, uid=1001) as wrong_uid, peer(path, uid=0) as root:
        assert await wrong_uid.line() == await root.line() == "closed"
    async with peer(path) as early, peer(path) as entry, peer(path, own=False) as host:
        await slots.await_entry(SESSION, entry.pid, 30)
        assert await early.line() == await host.line() == "closed"
        async with peer(path) as late:
            assert await late.line() == "closed"
        release = asyncio.create_task(slots.release(SESSION, ENVIRONMENT, 30))
        assert "s3cret" in await entry.line()
        entry.write(ACCEPTED)
        await release


async def test_nobody_in_time_is_an_error(slots: Slots) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    with pytest.raises(DeadlineError, match="connect"):
        await slots.await_entry(SESSION, os.getpid(), 0.05)
    async with peer(path) as silent:
        await slots.await_entry(SESSION, silent.pid, 30)
        with pytest.raises(DeadlineError, match="environment"):
            await slots.release(SESSION, ENVIRONMENT, 0.1)
    await slots.close(SESSION)
    with pytest.raises(ConflictError):
        await slots.await_entry(SESSION, os.getpid(), 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"x" * (4 * MAX_LINE) + b"\n",
        b"[" * MAX_LINE + b"\n",
        b"\xff\x00\n",
        b'{"version": 1, "state": "accepted"}\n',
        b'{"version": 2, "state": "refused"}\n',
        ACCEPTED,
        b"NaN\n",
        b"\n",
    ],
    ids=["oversized", "deep", "bytes", "version", "refusal", "early", "nan", "empty"],
)
async def test_junk_is_no_acknowledgement(slots: Slots, answer: bytes) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    async with peer(path) as entry:
        await slots.await_entry(SESSION, entry.pid, 30)
        entry.write(answer)
        assert await entry.line() == "closed" or entry.process.returncode is not None
        with pytest.raises(DeadlineError):
            await slots.release(SESSION, {}, 0.3)
        with pytest.raises(DeadlineError):
            await slots.await_entry(SESSION, entry.pid, 0.05)


async def test_junk_behind_an_acknowledgement_ends_the_connection_and_not_the_release(
    slots: Slots,
) -> None:
    place = await slots.prepare(SESSION)
    async with peer(place / "entry.sock") as entry:
        await slots.await_entry(SESSION, entry.pid, 30)
        release = asyncio.create_task(slots.release(SESSION, ENVIRONMENT, 30))
        await entry.line()
        entry.write(ACCEPTED + b"junk\n")
        await release
        assert not await slots.await_listening(SESSION, 30)
        assert await entry.line() == "closed"


async def test_a_container_tells_when_it_is_loaded(slots: Slots) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    async with peer(path) as first:
        await slots.await_entry(SESSION, first.pid, 30)
        loaded = asyncio.create_task(slots.await_loaded(SESSION))
        async with peer(path) as stranger:
            stranger.write(LOADED)
            assert await stranger.line() == "closed"
        assert not loaded.done()
        first.write(LOADED)
        await asyncio.wait_for(loaded, 30)


async def test_a_server_that_never_listens_is_not_known_to(slots: Slots) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    async with peer(path) as entry:
        await slots.await_entry(SESSION, entry.pid, 30)
        release = asyncio.create_task(slots.release(SESSION, {}, 30))
        await entry.line()
        entry.write(ACCEPTED)
        await release
        assert not await slots.await_listening(SESSION, 0.1)
        assert await entry.line() == "closed"


async def test_many_connections_are_bounded(slots: Slots) -> None:
    path = await slots.prepare(SESSION) / "entry.sock"
    opened = [await asyncio.open_unix_connection(str(path)) for _ in range(3)]
    for reader, writer in opened:  # uid 0 of the test itself
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_the_listener_may_restart_before_the_release(folder: Path) -> None:
    """A manager that is killed leaves its socket; the next one listens anew in the same slot."""
    first = Slots(folder)
    path = await first.prepare(SESSION) / "entry.sock"
    async with peer(path) as entry:
        await first.await_entry(SESSION, entry.pid, 30)
        await first.close(SESSION)
        assert await entry.line() == "closed"
    path.touch()
    second = Slots(folder)
    assert second.list() == [SESSION]
    await second.prepare(SESSION)
    async with peer(path) as again:
        await second.await_entry(SESSION, again.pid, 30)
        release = asyncio.create_task(second.release(SESSION, {"A": "b"}, 30))
        assert json.loads(await again.line())["environment"] == {"A": "b"}
        again.write(ACCEPTED)
        await release


def test_paths_stay_within_bounds(folder: Path, slots: Slots) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        Slots(folder / ("x" * 80))
    for bad in ("..", "../x", "", "0" * 15, "0" * 17, "0123456789ABCDEF", "0123456789abcde\n"):
        with pytest.raises(RequestError):
            slots.path(bad)
