"""What a session prints reaches the engine at a bounded rate, and its last lines always (S17)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "images/julia/juliabox_output.py"


@pytest.fixture(scope="module")
def output() -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("juliabox_output", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code: str) -> subprocess.Popen[bytes]:
    """Run some Python below the program."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", PROGRAM, sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_what_is_over_the_rate_is_left_out_and_its_end_is_told(output: ModuleType) -> None:
    now, written = [0.0], bytearray()
    passage = output.Passage(written.extend, lambda: now[0])
    for number in range(100):
        passage.take(b"%03d" % number * 20_000)
    assert len(written) <= output.BURST
    now[0] = 10.0
    passage.take(b"again\n")
    told = bytes(written[-output.TAIL - 200 :])
    assert b"bytes of output were left out here" in told
    assert told.endswith(b"099\nagain\n")
    # a flood without an end gets no more than the rate
    before, now[0] = len(written), 20.0
    for _ in range(1000):
        now[0] += 0.1
        passage.take(b"x" * 10_000)
    assert len(written) - before <= output.BURST + 100 * output.RATE * 1.3


def test_the_end_of_a_flood_that_kills_its_program_is_told() -> None:
    process = run("import sys; print('x' * 10**7); sys.exit('the cause')")
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert told.endswith(b"the cause\n\n") and len(told) < 2**19


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137), ("", 0)],
    ids=["status", "killed", "success"],
)
def test_it_ends_as_its_program_does(code: str, status: int) -> None:
    assert run(code).wait(60) == status


def test_it_passes_signals_on_and_waits_for_nobody_else() -> None:
    process = run(
        "import signal, subprocess, sys\n"
        "subprocess.Popen(['sleep', '90'])\n"
        "signal.signal(15, lambda *_: (print('in order'), sys.exit(3)))\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.wait(30) == 3
    assert process.stdout.read() == b"in order\n"


def test_the_same_person_cannot_reach_the_engine_s_end() -> None:
    python, person = "/usr/bin/python3", {"user": 1000, "group": 1000, "extra_groups": []}
    process = subprocess.Popen(
        [python, "-I", "-S", "-c", PROGRAM.read_text(), python, "-c", "print(1); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, **person,
    )  # fmt: skip
    assert process.stdout and process.stdin
    assert process.stdout.readline() == b"1\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    script = "import sys; open(f'/proc/{sys.argv[1]}/fd/1', 'w')"

    def reopen(pid: int | str) -> str:
        line = [python, "-c", script, str(pid)]
        return subprocess.run(line, capture_output=True, text=True, check=False, **person).stderr

    try:
        assert reopen(children[0]) == "", "what a program prints to is its own"
        assert "PermissionError" in reopen(process.pid)
    finally:
        process.communicate(b"\n", timeout=60)
