"""The parts that the manager works with, and what it uses of those that have fakes in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from juliabox_ext.volume import Disk
from juliabox_manager.engine import Engine
from juliabox_manager.events import EventLog
from juliabox_manager.hardening import Hardening
from juliabox_manager.protocol import VolumeInfo
from juliabox_manager.records import Kind
from juliabox_manager.store import Store


class NetworkPart(Protocol):
    """What is used of :class:`juliabox_manager.netpolicy.NetworkPolicy`."""

    async def apply(self, pid: int, kind: Kind = "session") -> None:
        """Load the policy of a kind into the network namespace of a process."""

    async def in_place(self, pid: int, kind: Kind = "session") -> bool:
        """Tell whether the policy is there, complete."""


class VolumesPart(Protocol):
    """What is used of :class:`juliabox_manager.homes.Homes`."""

    async def get_disk_for_user(
        self, user_id: str, size: int, container_id: str, target: Path
    ) -> Disk:
        """Mount an owner's home at ``target``."""

    async def release(self, container_id: str, target: Path) -> None:
        """Take it away; nothing if it was not attached."""

    async def refresh_disk_use_status(
        self, container_id_list: Sequence[str] | None = None
    ) -> dict[str, Disk]:
        """Measure the homes of sessions."""

    async def adopt(self, mounted: Mapping[str, tuple[str, Path]]) -> list[str]:
        """Lock again what live sessions use; undo all else; return sessions without their home."""

    async def disk_ids_used_pct(self) -> float:
        """Return how much of the room for homes is in use."""

    async def purge(self) -> None:
        """Delete what is past its grace."""

    async def volumes(self, user_id: str | None = None) -> list[VolumeInfo]:
        """Return volumes of one owner or of all."""

    async def remove(self, user_id: str) -> None:
        """Put an owner's home aside."""

    async def restore(self, user_id: str) -> VolumeInfo:
        """Bring it back."""


class SlotsPart(Protocol):
    """What is used of :class:`juliabox_manager.slots.Slots`."""

    async def prepare(self, session: str) -> Path:
        """Make a slot and listen in it."""

    async def await_entry(self, session: str, pid: int, timeout: float) -> None:  # noqa: ASYNC109
        """Wait for the entry program of a container."""

    async def await_loaded(self, session: str) -> None:
        """Wait until its modules are loaded."""

    async def release(
        self,
        session: str,
        environment: dict[str, str],
        timeout: float,  # noqa: ASYNC109
    ) -> None:
        """Hand the environment over."""

    async def await_listening(self, session: str, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until the server listens; False if that cannot be known."""

    async def close(self, session: str) -> None:
        """Stop listening."""

    async def remove(self, session: str) -> None:
        """Remove a slot."""

    def list(self) -> list[str]:
        """Return the sessions that have a slot folder."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts of one manager."""

    store: Store
    engine: Engine
    slots: SlotsPart
    volumes: VolumesPart
    network: NetworkPart
    hardening: Hardening
    events: EventLog
    #: Where a session's home is mounted on the host.
    target: Callable[[str], Path]
