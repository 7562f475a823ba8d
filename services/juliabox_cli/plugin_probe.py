"""What plugins are and what is wrong with them, found out in a child process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from juliabox_ext.catalog import PluginInfo
from juliabox_ext.registry import PATIENCE, PluginFault

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Probed:
    """A plugin as its class says, or with the fault that keeps it out."""

    info: PluginInfo
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    #: First line of the class's documentation, and the JSON schema of its settings.
    summary: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: The operator's settings with secrets hidden.
    shown: Mapping[str, Any] = field(default_factory=dict)
    fault: PluginFault | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.info.name

    def left_out(self, code: str, message: str) -> Probed:
        """Return the same with a fault."""
        info = self.info
        fault = PluginFault(info.name, info.group, info.distribution, code, message)
        return Probed(**{**vars(self), "fault": fault})


def probe(
    infos: Sequence[PluginInfo], settings: Settings, *, patience: float = PATIENCE
) -> list[Probed]:
    """Import and check plugins in a child of this Python; return one answer for each, in order.

    A plugin that hangs for longer than ``patience`` seconds, or ends the child, is at fault; the
    others are examined by another child.
    """
    found: list[Probed] = []
    while len(found) < len(infos):
        found += _one_child(infos[len(found) :], settings, patience)
    return found


def _one_child(infos: Sequence[PluginInfo], settings: Settings, patience: float) -> list[Probed]:
    """Return answers up to the first plugin that hangs or ends the child, which is the last."""
    found: list[Probed] = []
    hangs = False
    request = {"plugins": [asdict(info) for info in infos], "settings": settings}
    with _child(json.dumps(request).encode()) as answers:
        try:
            for line in _lines(answers, patience):
                answer = json.loads(line)
                if "end" in answer:
                    found.append(_probed(infos[len(found)], answer))
        except TimeoutError:
            hangs = True
    if len(found) < len(infos):
        broken = infos[len(found)]
        did = f"was not imported within {patience:g} s"
        if not hangs:
            did = f"ended the process that imported it from {broken.reference}"
        code = "plugin.hangs" if hangs else "plugin.import"
        found.append(Probed(broken).left_out(code, f"{broken} {did}; it is left out"))
    return found


@contextlib.contextmanager
def _child(request: bytes) -> Iterator[int]:
    """Run a child with a request; yield the descriptor of its answers, and end it afterwards."""
    answers, writing = os.pipe()
    try:
        with tempfile.TemporaryFile() as stream:
            stream.write(request)
            stream.seek(0)
            # -P: the working folder is no place to import from
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "juliabox_cli.plugin_child"],
                stdin=stream,
                stdout=writing,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
    finally:
        os.close(writing)
    try:
        yield answers
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(answers)


def _lines(answers: int, patience: float) -> Iterator[bytes]:
    """Yield the child's lines; raise ``TimeoutError`` when the next one takes too long."""
    rest = b""
    while True:
        ready, _, _ = select.select([answers], [], [], patience)
        if not ready:
            raise TimeoutError
        chunk = os.read(answers, 65536)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _probed(info: PluginInfo, answer: Mapping[str, Any]) -> Probed:
    probed = Probed(
        info,
        tuple(answer.get("provides", ())),
        tuple(answer.get("requires", ())),
        answer.get("summary", ""),
        answer.get("schema", {}),
        answer.get("shown", {}),
    )
    return probed.left_out(answer["code"], answer["message"]) if "code" in answer else probed
