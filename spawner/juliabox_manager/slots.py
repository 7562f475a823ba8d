"""Slots: the one way into a session's container.

::

    STATE/slots/<session>/             0755, root's; mounted `ro,rslave` on /home of the container
    STATE/slots/<session>/entry.sock   the manager listens, the entry program connects
    STATE/slots/<session>/juser        the home volume is bound here and appears in the container

The entry program of the container connects as uid 1000 and waits. The manager knows the peer by
the kernel's word (``SO_PEERCRED``): right uid, and same PID namespace as the container's first
process. They exchange lines, each a JSON object with ``"version": 2``:

================ =================================== ==========================================
who              line                                when
================ =================================== ==========================================
entry program    ``{"state": "loaded", …}``          its modules are in memory
manager          ``{"environment": {…}, …}``         it releases the session
entry program    ``{"state": "accepted", …}``        it has the environment
entry program    ``{"state": "listening", …}``       the server's port accepts connections
================ =================================== ==========================================

When the environment is accepted, the manager takes the socket away: from then on the person's
programs run in there. The connection stays until the server listens; what comes through it then
is the person's word about their own server and is believed in nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import Struct

from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    DeadlineError,
    RequestError,
    UnavailableError,
)
from juliabox_manager.protocol import ENTRY_SOCKET, HOME_MOUNT, SESSION_UID

log = structlog.get_logger(__name__)

HANDOVER_VERSION = 2

#: Longest line that the entry program may send.
MAX_LINE = 4096

#: Connections of one slot that are kept while it is not known which container may connect.
MAX_WAITING = 4

#: Longest path of a Unix socket, without its final zero byte.
MAX_SOCKET_PATH = 107

_SESSION = re.compile(r"[0-9a-f]{16}")
_CREDENTIALS = struct.Struct("=iII")


EntryState = Literal["loaded", "accepted", "listening"]


class _Told(Struct, forbid_unknown_fields=True):
    """What the entry program tells."""

    version: Literal[2]
    state: EntryState


_told = msgspec.json.Decoder(_Told)


@dataclass(eq=False)
class _Peer:
    """A connected entry program."""

    pid: int
    reader: StreamReader
    writer: StreamWriter
    #: Whether the environment was sent to it.
    sent: bool = False
    told: set[EntryState] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        self.writer.close()
        self.changed.set()

    @property
    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def listen(self) -> None:
        """Note what is told until the connection ends; raise ``ValueError`` for anything else."""
        try:
            while line := await self.reader.readline():
                state = _told.decode(line).state
                if state != "loaded" and not self.sent:
                    raise ValueError(f"{state} without an environment")
                self.told.add(state)
                self.changed.set()
        finally:
            self.close()

    async def tells(self, state: EntryState) -> bool:
        """Wait until it tells a state; False if the connection ends before."""
        while state not in self.told and not self.gone:
            self.changed.clear()
            await self.changed.wait()
        return state in self.told


@dataclass
class _Slot:
    """A slot on which the manager listens."""

    session: str
    server: asyncio.Server | None = None
    #: First process of the container; 0 as long as it is not known.
    init: int = 0
    #: Connected peers, the newest last.
    peers: list[_Peer] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Slots:
    """The slots of one instance, below ``folder`` (``STATE/slots``)."""

    def __init__(self, folder: Path) -> None:
        longest = folder / ("0" * 16) / ENTRY_SOCKET
        if len(bytes(longest)) > MAX_SOCKET_PATH:
            raise ConfigurationError(
                f"the path {longest} is too long for a Unix socket ({MAX_SOCKET_PATH} bytes at "
                "most); choose a state folder with a shorter name"
            )
        self._folder = folder
        self._slots: dict[str, _Slot] = {}
        #: Entry programs that accepted their environment and do not listen yet.
        self._released: dict[str, _Peer] = {}

    def path(self, session: str) -> Path:
        """Return a session's slot folder, whether it exists or not."""
        if not _SESSION.fullmatch(session):
            raise RequestError(f"{session!r} is not a session's id")
        return self._folder / session

    async def prepare(self, session: str) -> Path:
        """Make a session's slot and listen in it; return its folder. Repeating it is harmless.

        A session that was released already must not be prepared again: its socket would be within
        the person's reach.
        """
        folder = self.path(session)
        if session in self._slots:
            return folder
        slot = self._slots[session] = _Slot(session)
        try:
            for part in (self._folder, folder, folder / HOME_MOUNT):
                part.mkdir(mode=0o755, parents=True, exist_ok=True)
            for part in (self._folder, folder):
                part.chmod(0o755)
            listening = _listen(folder / ENTRY_SOCKET)
            slot.server = await asyncio.start_unix_server(
                lambda reader, writer: self._connected(slot, reader, writer),
                sock=listening,
                limit=MAX_LINE,
                backlog=MAX_WAITING,
            )
        except BaseException:
            del self._slots[session]
            raise
        return folder

    async def _connected(self, slot: _Slot, reader: StreamReader, writer: StreamWriter) -> None:
        pid, uid = _credentials(writer.get_extra_info("socket"))
        peer = _Peer(pid, reader, writer)
        if uid != SESSION_UID:
            _refuse(slot, peer, f"uid {uid}")
        elif slot.init and not _same_container(pid, slot.init):
            _refuse(slot, peer, "another container")
        elif self._slots.get(slot.session) is not slot:
            peer.close()
        else:
            slot.peers.append(peer)
            while len(slot.peers) > MAX_WAITING:
                slot.peers.pop(0).close()
            slot.changed.set()
            try:
                await peer.listen()
            except (ConnectionError, ValueError, msgspec.DecodeError) as error:
                _refuse(slot, peer, f"it talks of something else: {error}")

    async def await_entry(self, session: str, pid: int, timeout: float) -> None:  # noqa: ASYNC109 - fixed interface
        """Wait until the entry program of the container with first process ``pid`` is connected.

        A connection that came before counts. Raise ``DeadlineError`` after ``timeout`` seconds.
        """
        slot = self._listening(session)
        slot.init = pid
        try:
            async with asyncio.timeout(timeout):
                await _entry(slot)
        except TimeoutError:
            slot.init = 0
            raise DeadlineError(
                f"the entry program of session {session} did not connect within {timeout:g} s; "
                "the container's log says why",
                code="deadline.entry",
            ) from None

    async def await_loaded(self, session: str) -> None:
        """Wait, without end, until the entry program has loaded its modules.

        :meth:`await_entry` must have been called; a connection that breaks may come again.
        """
        slot = self._listening(session)
        while not await (await _entry(slot)).tells("loaded"):
            pass

    async def release(self, session: str, environment: dict[str, str], timeout: float) -> None:  # noqa: ASYNC109 - fixed interface
        """Hand the environment over, await that it is accepted, and close the slot's socket.

        The connection may break and come again meanwhile. Raise ``ConflictError`` if
        :meth:`await_entry` has not been called, ``DeadlineError`` after ``timeout`` seconds.
        """
        slot = self._listening(session)
        if not slot.init:
            raise ConflictError(f"session {session} cannot be released: its container is unknown")
        message = {"version": HANDOVER_VERSION, "environment": environment}
        line = json.dumps(message).encode() + b"\n"
        try:
            async with asyncio.timeout(timeout):
                while not await _hand_over(peer := await _entry(slot), slot, line):
                    pass
        except TimeoutError:
            raise DeadlineError(
                f"session {session} did not take its environment within {timeout:g} s",
                code="deadline.release",
            ) from None
        if peer in slot.peers:  # it may have said something else right behind
            slot.peers.remove(peer)
        self._released[session] = peer
        await self.close(session, keep=True)

    async def await_listening(self, session: str, timeout: float) -> bool:  # noqa: ASYNC109 - fixed interface
        """Wait until a released session's server listens; False if that cannot be known.

        It cannot after a restart of the manager, when the entry program breaks the connection, or
        when it tells nothing for ``timeout`` seconds.
        """
        peer = self._released.pop(session, None)
        if peer is None:
            return False
        try:
            async with asyncio.timeout(timeout):
                return await peer.tells("listening")
        except TimeoutError:
            return False
        finally:
            peer.close()

    def _listening(self, session: str) -> _Slot:
        slot = self._slots.get(session)
        if slot is None:
            raise ConflictError(f"the slot of session {session} is not prepared or was closed")
        return slot

    async def close(self, session: str, *, keep: bool = False) -> None:
        """Stop listening, drop the connections and delete the socket; the folder stays.

        ``keep`` keeps the connection of an entry program that has accepted its environment.
        """
        if not keep and (peer := self._released.pop(session, None)) is not None:
            peer.close()
        socket_path = self.path(session) / ENTRY_SOCKET
        slot = self._slots.pop(session, None)
        socket_path.unlink(missing_ok=True)
        if slot is not None:
            if slot.server is not None:
                slot.server.close()
            for peer in slot.peers:
                peer.close()

    async def remove(self, session: str) -> None:
        """Close a slot and delete its folder.

        Raise ``UnavailableError`` while a home is still mounted in it; it stays in :meth:`list`.
        """
        await self.close(session)
        folder = self.path(session)
        try:
            for part in (folder / HOME_MOUNT, folder):
                with contextlib.suppress(FileNotFoundError):
                    part.rmdir()
        except OSError as error:
            raise UnavailableError(
                f"the slot of session {session} cannot be removed yet: {error}", code="slot.busy"
            ) from error

    def list(self) -> list[str]:
        """Return the sessions that have a slot folder, in use or left over."""
        if not self._folder.exists():
            return []
        names = (entry.name for entry in self._folder.iterdir())
        return sorted(name for name in names if _SESSION.fullmatch(name))


async def _entry(slot: _Slot) -> _Peer:
    """Return the newest connection that comes from the slot's container; wait for one."""
    while True:
        slot.changed.clear()
        for peer in list(slot.peers):
            if peer.gone:
                _drop(slot, peer)
            elif not _same_container(peer.pid, slot.init):
                _refuse(slot, peer, "another container")
        for peer in slot.peers[:-1]:
            _drop(slot, peer)
        if slot.peers:
            return slot.peers[0]
        await slot.changed.wait()


async def _hand_over(peer: _Peer, slot: _Slot, line: bytes) -> bool:
    """Send the environment to a peer; tell whether it was accepted.

    A peer that breaks off is dropped.
    """
    peer.sent = True
    try:
        peer.writer.write(line)
        await peer.writer.drain()
    except ConnectionError:
        pass
    if await peer.tells("accepted"):
        return True
    _refuse(slot, peer, "it did not accept its environment")
    return False


def _drop(slot: _Slot, peer: _Peer) -> None:
    peer.close()
    if peer in slot.peers:
        slot.peers.remove(peer)


def _refuse(slot: _Slot, peer: _Peer, why: str) -> None:
    log.warning("connection to a slot refused", session=slot.session, pid=peer.pid, reason=why)
    _drop(slot, peer)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o666)
    except BaseException:
        listening.close()
        raise
    return listening


def _credentials(connection: socket.socket) -> tuple[int, int]:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _same_container(pid: int, init: int) -> bool:
    """Tell whether two processes live in the same PID namespace."""
    try:
        peer, first = (Path(f"/proc/{number}/ns/pid").stat() for number in (pid, init))
    except OSError:
        return False
    return peer.st_ino == first.st_ino
