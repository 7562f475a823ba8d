"""When a kernel may be started ahead of a server that was not warm."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "images/julia/kernel/juliabox_kernel/idle.py"
_spec = importlib.util.spec_from_file_location("juliabox_kernel_idle", PROGRAM)
assert _spec is not None
assert _spec.loader is not None
idle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(idle)


class Stat:
    """A machine's times, which go on with each look: (idle, busy) ticks of each second."""

    def __init__(self, *seconds: tuple[int, int]) -> None:
        self.totals = itertools.accumulate(seconds, lambda a, b: (a[0] + b[0], a[1] + b[1]))
        self.looks = 0

    def read_text(self) -> str:
        """Return the first line of ``/proc/stat``, and another."""
        self.looks += 1
        unused, busy = next(self.totals)
        return f"cpu  {busy} 0 0 {unused} 0 0 0 0 9 9\ncpu0 1 0 0 1 0 0 0 0 0 0\n"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "LOOK", (0, 0))


def test_a_busy_machine_is_looked_at_until_it_has_time_to_spare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stat = Stat((0, 0), (0, 100), (29, 71), (30, 70), (100, 0))
    monkeypatch.setattr(idle, "_TIMES", stat)
    idle.await_idle()
    assert stat.looks == 4


def test_a_machine_that_does_not_tell_its_times_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(idle, "_TIMES", tmp_path / "absent")
    idle.await_idle()
    monkeypatch.setattr(idle, "_TIMES", tmp_path / "odd")
    (tmp_path / "odd").write_text("nothing of the kind\n")
    idle.await_idle()


def test_this_machine_tells_its_times() -> None:
    found = idle.processor_times()
    assert found is not None
    assert 0 < found[0] < found[1]
