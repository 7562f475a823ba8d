"""A session image of 30 MB, made in seconds from this machine's own Python.

It holds the real entry program and a stand-in for the single-user server that listens on the
session's port. Nothing of a distribution is needed, so that tests of the manager run before the
real images are built.
"""

from __future__ import annotations

import atexit
import functools
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import docker

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "images/julia/juliabox_entry.py"
TAG = f"jbt-tiny:{os.getpid()}"
API_TAG = f"jbt-tiny-api:{os.getpid()}"

#: Stands for the server: says that it is up, and ends on SIGTERM; with ``TINY_STOP_AFTER`` not
#: before that file exists. With ``TINY_LEAVE`` it leaves that word wherever it can, as somebody's
#: work would: in each folder, and in a process of its own.
SERVER = """
import http.server, os, signal, sys, time
from pathlib import Path

def leave(word):
    for folder in ("/tmp", "/run/juliabox", "/dev/shm", "/home/juser"):
        Path(folder, "left-" + word).write_text(word)
    sleep = "import time; time.sleep(100000)"
    os.posix_spawn(sys.executable, [sys.executable, "-ISc", sleep, "left-" + word], os.environ)

def stop(*_):
    awaited = os.environ.get("TINY_STOP_AFTER")
    while awaited and not os.path.exists(awaited):
        time.sleep(0.05)
    try:
        Path("/home/juser/stopped-in-order").write_text("yes")
    except OSError:
        pass  # an API container has no home
    sys.exit(0)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"tiny")

def load():
    pass

def rehearse(is_enough):
    pass

def main(listening):
    signal.signal(signal.SIGTERM, stop)
    print("tiny server up", flush=True)
    if os.environ.get("TINY_LEAVE"):
        leave(os.environ["TINY_LEAVE"])
    if os.environ.get("TINY_CRASH"):
        print("tiny server: " + os.environ["TINY_CRASH"], flush=True)
        sys.exit(3)
    if os.environ.get("TINY_BOMB"):
        hoard = [bytearray(os.urandom(1 << 20)) for _ in range(4096)]
    server = http.server.HTTPServer(("0.0.0.0", 8888), Page)
    listening()
    server.serve_forever()
"""

_LEFT_OUT = {"test", "tests", "idlelib", "ensurepip", "tkinter", "lib2to3", "site-packages"}
_PREFIX = f"python{sys.version_info.major}.{sys.version_info.minor}"


@functools.cache
def make() -> str:
    """Import the image under :data:`TAG` and return its engine id; once in a run.

    It is removed when the run ends.
    """
    atexit.register(_remove)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        _add_python(archive)
        _add_text(archive, f"usr/lib/{_PREFIX}/site-packages/juliabox_server.py", SERVER)
        _add_text(archive, "opt/juliabox/entry.py", ENTRY.read_text())
        for folder in ("home", "tmp", "run/juliabox", "proc", "sys", "dev", "etc"):
            _add_folder(archive, folder)
    client = docker.from_env()
    entry = f'["/bin/tini","-g","--","/usr/bin/{_PREFIX}","-I","/opt/juliabox/entry.py"]'
    try:
        client.api.import_image_from_data(
            content.getvalue(),
            repository="jbt-tiny",
            tag=str(os.getpid()),
            changes=[f"ENTRYPOINT {entry}", "ENV PATH=/usr/bin:/bin"],
        )
        return str(client.api.inspect_image(TAG)["Id"])
    finally:
        client.close()


@functools.cache
def make_api() -> str:
    """Make an image of API containers of the same content, and return its engine id."""
    make()
    atexit.register(_remove, API_TAG)
    subprocess.run(
        ["docker", "build", "-q", "-t", API_TAG, "-"],
        input=f"FROM {TAG}\nLABEL jbt.of=apis\n".encode(),
        check=True,
        capture_output=True,
    )
    client = docker.from_env()
    try:
        return str(client.api.inspect_image(API_TAG)["Id"])
    finally:
        client.close()


def _remove(tag: str = TAG) -> None:
    subprocess.run(["docker", "rmi", "-f", tag], check=False, capture_output=True)


def _add_python(archive: tarfile.TarFile) -> None:
    program = Path(os.path.realpath(sys.executable))
    stdlib = Path(sysconfig.get_path("stdlib"))
    tini = shutil.which("tini") or shutil.which("docker-init")
    assert tini, "tini or docker-init comes with the distribution's Docker"
    archive.add(program, f"usr/bin/{_PREFIX}")
    archive.add(os.path.realpath(tini), "bin/tini")

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = set(Path(info.name).parts)
        if parts & _LEFT_OUT or "config-" in info.name:
            return None
        return info

    archive.add(stdlib, f"usr/lib/{_PREFIX}", filter=kept)
    needed = {program, Path(os.path.realpath(tini)), *stdlib.glob("lib-dynload/*.so")}
    for library in sorted(_libraries(needed)):
        loader = Path(library).name.startswith("ld-linux")
        place = library.lstrip("/") if loader else f"lib/x86_64-linux-gnu/{Path(library).name}"
        archive.add(os.path.realpath(library), place)


def _libraries(programs: set[Path]) -> set[str]:
    found: set[str] = set()
    told = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    for line in told.splitlines():
        words = line.split()
        paths = [word for word in words if word.startswith("/") and not word.endswith(":")]
        found.update(paths[:1])
    return found


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text.encode()), 0o644
    archive.addfile(info, io.BytesIO(text.encode()))


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    # a tmpfs takes over the mode of the folder that it hides
    info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    archive.addfile(info)
