"""Start, end and crash of the Julia process."""

import os
import signal
import time
from pathlib import Path

import pytest

from conftest import PATIENCE, Notebook

LOST = "variables, functions and loaded packages are gone"


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids: int, within: float = 30) -> bool:
    end = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def with_child(kernel: Notebook) -> tuple[int, int, int]:
    """Process ids of the Python part, Julia, and a program that Julia runs."""
    child = int(kernel.run("c = run(`sleep 300`, wait=false); print(getpid(c))").stdout)
    return kernel.manager.provisioner.pid, kernel.julia(), child  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("exit(3)", "exit code 3"),
        ("ccall(:abort, Cvoid, ())", "SIGABRT"),
        ("ccall(:raise, Cint, (Cint,), 11); unsafe_load(Ptr{Int}(8))", "SIGSEGV"),
        ("run(`kill -9 $(getpid())`); sleep(5)", "SIGKILL"),
        ("x = Any[]; while true; push!(x, ones(2^22)); end", "memory ran out; the limit is"),
    ],
    ids=["exit", "abort", "segfault", "kill", "memory"],
)
def test_end_of_julia_is_told_with_its_reason(kernel: Notebook, code: str, reason: str) -> None:
    kernel.run("lost = 1")
    outcome = kernel.run(code)
    assert outcome.reply["content"]["ename"] == "JuliaEnded"
    assert reason in outcome.error
    assert LOST in outcome.error
    assert kernel.run("isdefined(Main, :lost)").result == {"text/plain": "false"}


def test_end_of_julia_while_idle_is_told(kernel: Notebook) -> None:
    pid = kernel.julia()
    request = kernel.send("1")
    kernel.until_idle(request)
    os.kill(pid, signal.SIGKILL)
    assert LOST in kernel.late(request, LOST)
    assert kernel.run("2").result == {"text/plain": "2"}


def test_shutdown_runs_exit_hooks_and_leaves_no_process(fresh: Notebook) -> None:
    marker = Path("/tmp/said-goodbye")
    marker.unlink(missing_ok=True)
    fresh.run(f'atexit(() -> write("{marker}", "x"))')
    pids = with_child(fresh)
    fresh.manager.shutdown_kernel()
    assert gone(*pids)
    assert marker.exists()


def test_shutdown_of_a_busy_kernel_leaves_no_process(fresh: Notebook) -> None:
    pids = with_child(fresh)
    fresh.send("while true end")
    time.sleep(0.5)
    start = time.monotonic()
    fresh.manager.shutdown_kernel()
    assert time.monotonic() - start < PATIENCE / 2, "it did not end by itself"
    assert gone(*pids)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_death_of_the_python_part_ends_julia(fresh: Notebook, busy: bool) -> None:
    python, julia, child = with_child(fresh)
    if busy:
        fresh.send("while true end")
        time.sleep(0.5)
    os.kill(python, signal.SIGKILL)
    assert gone(julia, child)


def test_restart_gives_a_new_session(fresh: Notebook) -> None:
    before = fresh.julia()
    fresh.run("x = 1")
    fresh.manager.restart_kernel()
    fresh.client.wait_for_ready(timeout=60)
    assert fresh.julia() != before
    assert fresh.run("isdefined(Main, :x)").result == {"text/plain": "false"}
    assert gone(before)


def test_startup_file_is_run_and_its_failure_only_told(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "startup.jl").write_text('from_startup = 5\nerror("in startup")\n')
    monkeypatch.setenv("JULIA_DEPOT_PATH", f"{tmp_path}:")
    notebook = Notebook()
    try:
        assert notebook.run("from_startup").result == {"text/plain": "5"}
    finally:
        notebook.close()


def test_nothing_is_written_to_the_home(kernel: Notebook) -> None:
    kernel.run("1 + 1")
    assert not (Path.home() / ".ipython" / "profile_default" / "history.sqlite").exists()
