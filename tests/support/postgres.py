"""A real PostgreSQL server of this test run's own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from support.ports import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
ACCOUNT = "postgres"
PASSWORD = "of the test's own"


class Postgres:
    """A server in a folder that is removed with it; run by the account that Debian made for it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="juliabox-postgres-"))
        self.port = free_port()
        shutil.chown(self.folder, ACCOUNT, ACCOUNT)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        shutil.chown(password, ACCOUNT, ACCOUNT)
        self._run(
            "initdb", "--pgdata", str(self.data), "--encoding=UTF8", "--locale=C.UTF-8",
            "--auth=scram-sha-256", "--username=juliabox", f"--pwfile={password}", "--no-sync",
        )  # fmt: skip

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """Its address, with the password."""
        password = PASSWORD.replace(" ", "%20").replace("'", "%27")
        return f"postgresql://juliabox:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._run(
            "pg_ctl", "start", "--wait", "--timeout=150", "--pgdata", str(self.data),
            "--options", options, "--log", str(self.folder / "log"),
        )  # fmt: skip

    def stop(self) -> None:
        """Stop it at once, as if its machine had lost power."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate", "--pgdata", str(self.data))

    def process(self) -> int:
        """Return the process that all its others descend from."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def children(self) -> list[int]:
        """Return the processes that it has started and not missed yet."""
        parent = self.process()
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return [int(child) for child in found.split()]

    def remove(self) -> None:
        """Stop it, if it runs, and remove all of it."""
        if (self.data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [PROGRAMS[-1] / program, *arguments],
            user=ACCOUNT,
            group=ACCOUNT,
            extra_groups=[],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
