"""Programs end, and so does who waits for them: in time, when stopped, and if they do not die."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext.errors import UnavailableError
from juliabox_manager import netpolicy, programs
from juliabox_manager.programs import CommandTimeout, run
from support.waiting import until

#: What no other run of the tests on this machine waits for.
LONG = f"61.{os.getpid()}"


class Started:
    """A program as the event loop shows it, which ends at once."""

    returncode: int | None = 0

    async def communicate(self, _: bytes | None) -> tuple[bytes, bytes]:
        """Give no output."""
        await asyncio.sleep(0)
        return b"", b""


class Undying(Started):
    """A program that hangs in the kernel."""

    returncode = None

    async def communicate(self, _: bytes | None) -> tuple[bytes, bytes]:
        """Never end."""
        await asyncio.Event().wait()
        raise AssertionError

    def kill(self) -> None:
        """Be as it was."""

    async def wait(self) -> int:
        """Never end."""
        await asyncio.Event().wait()
        raise AssertionError


def start(monkeypatch: pytest.MonkeyPatch, program: Started) -> None:
    async def made(*_: Any, **__: Any) -> Started:
        return program

    monkeypatch.setattr(asyncio, "create_subprocess_exec", made)


async def test_a_cancellation_that_comes_as_a_program_ends_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lost one lets a loop go on for ever, and a manager never end."""

    class Ended(Started):
        async def communicate(self, said: bytes | None) -> tuple[bytes, bytes]:
            await asyncio.sleep(0)
            if not task.cancelling():
                asyncio.get_running_loop().call_soon(task.cancel)
            return b"", b""

        async def wait(self) -> int:
            return 0

    async def reconcile() -> None:
        for _ in range(100):
            await run(["true"], limit=30.0)
            await asyncio.sleep(0)

    start(monkeypatch, Ended())
    task = asyncio.create_task(reconcile())
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_program_that_takes_too_long_or_whose_caller_leaves_is_killed() -> None:
    with pytest.raises(CommandTimeout, match=r"sleep did not end within 0\.2 s") as late:
        await run(["sleep", LONG], limit=0.2)
    assert late.value.process is None
    task = asyncio.create_task(run(["sleep", LONG], limit=60))
    await until(sleeping)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not sleeping()


def sleeping() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == f"sleep\0{LONG}\0".encode():
                found.append(process.name)
        except OSError:
            continue
    return found


async def test_nobody_waits_for_a_program_that_does_not_die(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "KILL_LIMIT", 0.1)
    monkeypatch.setattr(netpolicy, "_COMMAND_TIMEOUT", 0.1)
    program = Undying()
    start(monkeypatch, program)
    with pytest.raises(CommandTimeout) as late:
        await run(["umount"], limit=0.1)
    assert late.value.process is program
    with pytest.raises(UnavailableError, match="nft did not end"):
        await netpolicy._run(["nft"], "")
    task = asyncio.create_task(run(["umount"], limit=60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_errors_are_kept_apart_where_that_is_asked_for() -> None:
    said = ["sh", "-c", "cat; echo wrong >&2; exit 3"]
    assert await run(said, limit=30, text="right\n", apart=True) == programs.Outcome(
        3, "right", "wrong"
    )
    assert await run(said, limit=30, text="right\n") == programs.Outcome(3, "right\nwrong")
