"""An engine that makes its socket anew, as the manager's container sees it: by a mounted file."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_manager.engine_socket import await_replaced

pytestmark = pytest.mark.engine


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[socket.socket, Path, Path]]:
    """Mount the file of a socket that listens, as compose does, and return it with both places."""
    listening, seen = tmp_path / "docker.sock", tmp_path / "other" / "docker.sock"
    seen.parent.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(seen.parent)], check=True)
    seen.touch()
    server = _listen(listening)
    subprocess.run(["mount", "--bind", str(listening), str(seen)], check=True)
    yield server, listening, seen
    server.close()
    subprocess.run(["umount", "--recursive", str(seen.parent)], check=True)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


async def test_a_socket_that_was_made_anew_is_noticed(
    mounted: tuple[socket.socket, Path, Path],
) -> None:
    server, listening, seen = mounted
    watch = asyncio.ensure_future(await_replaced(f"unix://{seen}", patience=0.3, pause=0.05))
    await asyncio.sleep(0.5)
    assert not watch.done()
    server.close()
    again = _listen(listening)
    await asyncio.wait_for(watch, 30)
    again.close()


async def test_an_engine_that_is_away_is_awaited_where_its_socket_is_seen_itself(
    tmp_path: Path,
) -> None:
    _listen(tmp_path / "docker.sock").close()
    watch = await_replaced(f"unix://{tmp_path}/docker.sock", patience=0.1, pause=0.05)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch, 0.6)
