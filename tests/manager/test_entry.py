"""The entry program as a container runs it: own namespaces, uid 1000, a stand-in for the server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from juliabox_manager.slots import Slots
from support.state_folder import as_person, command
from support.waiting import until

pytestmark = pytest.mark.engine

ENTRY = Path(__file__).resolve().parents[2] / "images" / "julia" / "juliabox_entry.py"
SESSION = "0123456789abcdef"
SECRET = "s3cret-t0ken"

#: Stands in for the server: obeys configuration, listens, reports what it sees.
SERVER = """
import json, os, socket, sys, time
from pathlib import Path
def load():
    pass
def rehearse(is_enough):
    pass
def main(listening):
    own = Path(os.environ["HOME"], ".jupyter", "jupyter_server_config.py")
    if own.exists() and not os.environ.get("JUPYTERHUB_DISABLE_USER_CONFIG"):
        exec(own.read_text())
    port = socket.create_server(("0.0.0.0", 8888))
    listening()
    import colorsys, this_is_late
    process = Path("/proc/self")
    print(json.dumps({
        "environment": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(),
        "colorsys": colorsys.__file__, "late": this_is_late.__file__,
        "started with": (process / "environ").read_text() + (process / "cmdline").read_text(),
        "descriptors": len(list((process / "fd").iterdir())),
    }), flush=True)
    time.sleep(1000)
"""

#: What the engine does for a session's container.
CONTAINER = """
set -e
mount -t tmpfs none /opt
mkdir -p /opt/juliabox/notebooks/more
echo welcome > /opt/juliabox/notebooks/welcome.ipynb
echo more > /opt/juliabox/notebooks/more/more.ipynb
mount -t tmpfs none /run
mkdir -m 0700 /run/juliabox
chown 1000:1000 /run/juliabox
mount --rbind "$1" /home
cd /
exec setpriv --reuid 1000 --regid 1000 --clear-groups \\
    --inh-caps=-all,+dac_read_search --ambient-caps=+dac_read_search "$2" "$3"
"""


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


class Container:
    """A running entry program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def init(self) -> int:
        """Return the first process of the container's PID namespace, as the host numbers it."""
        for _ in range(3000):
            if pids := children_of(self.process.pid):
                return int(pids[0])
            await asyncio.sleep(0.01)
        raise AssertionError("no container came up")

    async def report(self) -> dict[str, Any]:
        """Return what the server printed once it listened."""
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        return dict(json.loads(line))

    async def end(self) -> str:
        """Kill it; return what it said on standard error."""
        assert self.process.stderr
        if self.process.returncode is None:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ends by itself just now
                for pid in children_of(self.process.pid):
                    os.kill(int(pid), 9)
        said = (await asyncio.wait_for(self.process.stderr.read(), 60)).decode()
        await self.process.wait()
        return said


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment in which the stand-in is installed."""
    folder = tmp_path_factory.mktemp("entry")
    command(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    (packages,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (packages / "juliabox_server.py").write_text(SERVER)
    (packages / "this_is_late.py").touch()
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def slots(state: Path) -> Slots:
    return Slots(state / "slots")


@asynccontextmanager
async def container(slot: Path, python: Path) -> AsyncIterator[Container]:
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc"),
        *("--propagation", "slave", "sh", "-c", CONTAINER, "sh", str(slot), str(python)),
        str(ENTRY),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Container(process)
    try:
        yield made
    finally:
        await made.end()


@asynccontextmanager
async def home(slot: Path, size: str = "1m") -> AsyncIterator[Path]:
    """Mount a home into a slot; a tmpfs is as good as a disk here."""
    place = slot / "juser"
    command("mount", "-t", "tmpfs", "-o", f"size={size},uid=1000,gid=1000,mode=0700", "none", place)
    try:
        yield place
    finally:
        for _ in range(600):
            if not command("umount", place, check=False):
                break
            await asyncio.sleep(0.05)


async def release(slots: Slots, running: Container, **environment: str) -> None:
    await slots.await_entry(SESSION, await running.init(), 60)
    await slots.release(SESSION, {"JUPYTERHUB_API_TOKEN": SECRET, **environment}, 60)


async def test_the_server_gets_all_that_was_handed_over(slots: Slots, python: Path) -> None:
    slot = await slots.prepare(SESSION)
    async with container(slot, python) as running:
        await slots.await_entry(SESSION, await running.init(), 60)
        async with home(slot) as place:
            await release(slots, running, NAME="Zoë\n", BIG="x" * 30_000)
            report = await running.report()
            environment = report["environment"]
            assert environment["JUPYTERHUB_API_TOKEN"] == SECRET
            assert environment["NAME"] == "Zoë\n" and len(environment["BIG"]) == 30_000
            assert environment["HOME"] == report["cwd"] == "/home/juser"
            assert environment["JUPYTER_RUNTIME_DIR"].startswith("/run/juliabox/")
            assert environment["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/"
            assert report["argv"] == ["jupyterhub-singleuser"]
            assert SECRET not in report["started with"]
            # three standard ones, the port, two looks into /proc
            assert report["descriptors"] <= 6
            assert await slots.await_listening(SESSION, 60)
            assert (place / "welcome.ipynb").stat().st_uid == 1000
            assert (place / "more" / "more.ipynb").read_text() == "more\n"
            await running.end()


async def test_a_home_is_furnished_once(slots: Slots, python: Path) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot) as place:
        as_person("echo mine > welcome.ipynb", place)
        for expected in ("mine\n", ""):
            await slots.prepare(SESSION)
            async with container(slot, python) as running:
                await release(slots, running)
                await running.report()
            assert as_person("cat welcome.ipynb", place).stdout == expected
            as_person("rm -r welcome.ipynb more", place)
        assert [entry.name for entry in place.iterdir()] == [".jupyter"]


async def test_it_waits_for_ever_and_for_a_manager_that_restarts(
    slots: Slots, state: Path, python: Path
) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot), container(slot, python) as running:
        await slots.await_entry(SESSION, await running.init(), 60)
        await slots.close(SESSION)
        await asyncio.sleep(0.2)
        await talk_junk(slot / "entry.sock")
        second = Slots(state / "slots")
        await second.prepare(SESSION)
        await release(second, running)
        assert (await running.report())["environment"]["JUPYTERHUB_API_TOKEN"] == SECRET
        assert "does not understand" in await running.end()


async def talk_junk(path: Path) -> None:
    """Be a manager that speaks wrongly, once for each message."""
    messages = [b"\n", b"[1]\n", b'{"version": 9, "environment": {}}\n', b'{"environment"']
    messages += [b'{"version": 2, "environment": {"A": 1}}\n', b"\xff\n"]
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if messages:
            writer.write(messages.pop(0))
            writer.write_eof()
            heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_unix_server(serve, str(path)):
        command("chmod", "0666", path)
        await until(lambda: len(heard) == 6)
    assert set(heard) <= {b"", b'{"version": 2, "state": "loaded"}\n'}


@pytest.mark.parametrize(
    "own", ["1/0", "raise SystemExit(0)", "raise SystemExit(3)", "import sys; sys.exit('no')"]
)
async def test_own_configuration_cannot_lock_a_person_out(
    slots: Slots, python: Path, own: str
) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot) as place, container(slot, python) as running:
        as_person(f'mkdir .jupyter; echo "{own}" > .jupyter/jupyter_server_config.py', place)
        await release(slots, running)
        report = await running.report()
        assert report["environment"]["JUPYTERHUB_DISABLE_USER_CONFIG"] == "1"
        assert report["argv"] == ["jupyterhub-singleuser"]
        assert await slots.await_listening(SESSION, 60)
        assert "without the configuration in ~/.jupyter" in await running.end()


@pytest.mark.soak
async def test_own_configuration_that_hangs_is_left_out_after_a_while(
    slots: Slots, python: Path
) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot) as place, container(slot, python) as running:
        own = "import time; time.sleep(1000)"
        as_person(f'mkdir .jupyter; echo "{own}" > .jupyter/jupyter_server_config.py', place)
        await release(slots, running)
        await asyncio.sleep(28)
        report = await running.report()
        assert report["environment"]["JUPYTERHUB_DISABLE_USER_CONFIG"] == "1"
        assert "did not listen" in await running.end()


async def test_a_full_home_opens_and_is_reported(slots: Slots, python: Path) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot, size="64k") as place, container(slot, python) as running:
        as_person("cat /dev/zero > big", place)
        await release(slots, running)
        report = await running.report()
        assert report["cwd"] == "/home/juser"
        assert report["environment"]["JUPYTER_DATA_DIR"].startswith("/run/juliabox/")
        assert "free some space" in await running.end()
        assert not (place / "welcome.ipynb").exists()


async def test_files_in_the_home_are_never_imported(slots: Slots, python: Path) -> None:
    slot = await slots.prepare(SESSION)
    async with home(slot) as place, container(slot, python) as running:
        as_person(
            "for m in colorsys this_is_late json jupyterhub sitecustomize; do"
            " echo 'raise SystemExit(9)' > $m.py; done; mkdir .jupyter;"
            "echo 1/0 > .jupyter/jupyter_server_config.py",
            place,
        )
        await release(slots, running)
        report = await running.report()
        assert not report["colorsys"].startswith("/home")
        assert not report["late"].startswith("/home")
        await running.end()
