"""What a session uses, read from control groups of either version."""

from __future__ import annotations

from pathlib import Path

import pytest

from juliabox_manager.usage import LONGEST, Reading, _Trace, memory_limit, read

ID = "c" * 64


def version_1(root: Path) -> None:
    files = {
        "memory/memory.usage_in_bytes": "5000\n",
        "memory/memory.stat": "cache 10\ntotal_inactive_file 1000\n",
        "cpuacct/cpuacct.usage": "2500000000\n",
        "pids/pids.current": "7\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def version_2(root: Path) -> None:
    files = {
        "memory.current": "5000\n",
        "memory.stat": "anon 10\ninactive_file 1000\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "pids.current": "7\n",
    }
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)


def process(proc: Path, groups: str) -> Path:
    (proc / "42").mkdir(parents=True)
    (proc / "42/cgroup").write_text(groups)
    return proc / "42/root/sys/fs/cgroup"


GROUPS = {
    "version-1": (f"4:memory:/docker/{ID}\n2:cpuacct:/docker/{ID}\n", version_1),
    "version-2-cgroupfs": (f"0::/docker/{ID}\n", version_2),
    "version-2-systemd-seen-from-a-namespace": (f"0::/../docker-{ID}.scope\n", version_2),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_memory_is_read_without_the_cache_that_can_be_given_back(kind: str, tmp_path: Path) -> None:
    groups, fill = GROUPS[kind]
    fill(process(tmp_path, groups))
    reading = read(42, ID, tmp_path)
    assert reading is not None
    assert (reading.memory, reading.cpu, reading.pids) == (4000, 2.5, 7)


def test_a_process_that_is_another_containers_by_now_is_not_read(tmp_path: Path) -> None:
    version_2(process(tmp_path, f"0::/docker/{'d' * 64}\n"))
    assert read(42, ID, tmp_path) is None
    assert read(43, ID, tmp_path) is None
    assert read(42, "", tmp_path) is None


def at(seconds: float, cpu: float) -> Reading:
    return Reading(time=seconds, memory=0, cpu=cpu, pids=1)


def test_cores_are_counted_over_a_moment_that_is_neither_too_short_nor_too_long() -> None:
    trace = _Trace(at(100, 10))
    assert trace.count(at(100.1, 10.1)) is None
    assert trace.count(at(100.5, 10.25)) == pytest.approx(0.5)
    assert trace.count(at(100.6, 99)) == pytest.approx(0.5)
    assert trace.count(at(102.5, 12.25)) == pytest.approx(1.0)
    assert trace.count(at(103 + LONGEST, 13)) is None


@pytest.mark.parametrize("kind", GROUPS)
def test_the_limit_is_read_that_the_kernel_holds_a_container_to(kind: str, tmp_path: Path) -> None:
    groups, _ = GROUPS[kind]
    root = process(tmp_path, groups)
    name = "memory/memory.limit_in_bytes" if ":memory:" in groups else "memory.max"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_text("67108864\n")
    assert memory_limit(42, ID, tmp_path) == 67108864
    assert memory_limit(42, "d" * 64, tmp_path) is None
    (root / name).write_text("max\n")
    assert memory_limit(42, ID, tmp_path) is None
