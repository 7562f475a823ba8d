"""Keeping a Docker engine up on a host without systemd, with runit's ``runsv``.

The engine is started again within a second of its end. A run script clears what a cut-off run left
(a PID file that names nobody, or somebody else), and waits for an engine that is already there
rather than start a second one.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from juliabox_cli.atomic_files import ensure_folder, write_text
from juliabox_ext.errors import UnavailableError

_RUN = """\
#!/bin/sh
# Written by juliabox up: starts the Docker engine for runsv.
exec 2>&1
clear_stale() {{
    # a PID file counts only while a living process of that very name has the PID: the engine takes
    # a zombie for a running containerd, waits 15 s for it and gives up
    test -f "$1" || return 0
    pid=$(cat "$1")
    grep -qs "^Name:[[:space:]]*$2\\$" /proc/"$pid"/status &&
        ! grep -qs '^State:[[:space:]]*[ZX]' /proc/"$pid"/status && return 0
    rm -f "$1"
}}
# containerd dies with the engine, a moment later
test ! -f {containerd_pidfile} || sleep 0.2
clear_stale {pidfile} dockerd
clear_stale {containerd_pidfile} containerd
if test -f {pidfile}; then
    echo "an engine runs as process $(cat {pidfile}); waiting for its end"
    exec tail --pid="$(cat {pidfile})" --sleep-interval=0.5 --follow /dev/null
fi
exec {command}
"""

_LOG = """\
#!/bin/sh
# Written by juliabox up: keeps the engine's log, 10 files of 1 MB.
mkdir -p {folder}
exec svlogd -tt {folder}
"""


@dataclass(frozen=True)
class EngineService:
    """A supervised engine; the defaults are those of the host's own."""

    folder: Path = Path("/etc/sv/juliabox-docker")
    command: tuple[str, ...] = ("dockerd",)
    pidfile: Path = Path("/var/run/docker.pid")
    exec_root: Path = Path("/var/run/docker")
    log: Path = Path("/var/log/juliabox-docker")

    @property
    def installed(self) -> bool:
        """Whether the service's scripts are there."""
        return (self.folder / "run").exists()

    def install(self) -> None:
        """Write the scripts."""
        ensure_folder(self.folder / "log", mode=0o755)
        script = _RUN.format(
            pidfile=shlex.quote(str(self.pidfile)),
            containerd_pidfile=shlex.quote(str(self.exec_root / "containerd" / "containerd.pid")),
            command=shlex.join(self.command),
        )
        write_text(self.folder / "run", script, mode=0o755)
        log = _LOG.format(folder=shlex.quote(str(self.log)))
        write_text(self.folder / "log" / "run", log, mode=0o755)

    def supervised(self) -> bool:
        """Tell whether a ``runsv`` looks after the service."""
        done = subprocess.run(
            ["sv", "status", str(self.folder)], capture_output=True, text=True, check=False
        )
        return done.returncode == 0 and "runsv not running" not in done.stdout

    def start(self) -> None:
        """Start the supervisor if it is not there, and the engine through it."""
        if shutil.which("runsv") is None:
            raise UnavailableError(
                "the package runit is not installed; it keeps the Docker engine up where there is "
                "no systemd. Install it, or start the engine yourself, then repeat",
                code="engine.no_supervisor",
            )
        if not self.supervised():
            subprocess.Popen(
                ["runsv", str(self.folder)],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
            return
        subprocess.run(["sv", "up", str(self.folder)], capture_output=True, check=False)
