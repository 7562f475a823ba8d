"""The kernel that is started ahead: nothing of the exercise shows, and the person's is in place."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from juliabox_kernel import warm

from conftest import Notebook


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def prepared() -> Iterator[warm.WarmKernel]:
    """A kernel started ahead, for the next notebook."""
    warm.prepare()
    kernel = warm._prepared
    assert kernel is not None
    yield kernel
    if (left := warm.take()) is not None:
        left.process.kill()
        left.process.wait()


def test_first_notebook_takes_the_prepared_kernel_with_its_own_surroundings(
    prepared: warm.WarmKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Project.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_PERSON", "here")
    monkeypatch.setenv("JULIA_DEPOT_PATH", f"{tmp_path}/depot:")
    notebook = Notebook()
    try:
        assert notebook.manager.provisioner.pid == prepared.process.pid  # type: ignore[union-attr]
        first = notebook.run("1 + 1")
        assert first.reply["content"]["execution_count"] == 1
        assert first.result == {"text/plain": "2"}
        places = 'pwd(), Base.active_project(), ENV["OF_THE_PERSON"], DEPOT_PATH[1]'
        seen = f'print(join([{places}], " "))'
        expected = f"{tmp_path} {tmp_path}/Project.toml here {tmp_path}/depot"
        assert notebook.run(seen).stdout == expected
        found = notebook.run("filter(n -> n in (:x, :f, :i), names(Main, all=true))").result
        assert found == {"text/plain": "Symbol[]"}
    finally:
        notebook.close()


def test_setting_that_julia_reads_at_its_start_gets_a_fresh_julia(
    prepared: warm.WarmKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JULIA_NUM_THREADS", "2")
    notebook = Notebook()
    try:
        assert notebook.run("print(Threads.nthreads())").stdout == "2"
    finally:
        notebook.close()


def test_prepared_kernel_ends_when_its_server_becomes_another_program(
    prepared: warm.WarmKernel,
) -> None:
    prepared._socket.close()
    end = time.monotonic() + 30
    while not gone(prepared.process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert gone(prepared.process.pid)


def test_dead_prepared_kernel_is_replaced_by_an_ordinary_one(prepared: warm.WarmKernel) -> None:
    os.kill(prepared.process.pid, 9)
    prepared.process.wait()
    notebook = Notebook()
    try:
        assert notebook.run("2").result == {"text/plain": "2"}
    finally:
        notebook.close()
