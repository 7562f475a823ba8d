"""Plugin ``singlenode``: the contract, and what is its own."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from juliabox_ext.errors import NoRoomError, PolicyError, UnavailableError
from juliabox_ext.testing.cloud_suite import ComputeSuite
from juliabox_plugins.compute_singlenode import SingleNode
from support.plugin_maker import make


@pytest.fixture
def node(tmp_path: Path) -> SingleNode:
    return make(SingleNode, tmp_path, "singlenode", "https://box.example.org:8443/")


class TestSingleNode(ComputeSuite):
    @pytest.fixture
    def compute(self, node: SingleNode) -> SingleNode:
        return node


def test_names_come_from_the_service_and_the_machine(node: SingleNode) -> None:
    assert node.get_install_id() == "box"
    assert node.get_instance_id() == "box-1"
    assert node.get_alias_hostname() == "box.example.org"
    assert node.get_instance_public_hostname() == "box.example.org"
    assert node.get_instance_local_hostname() == socket.gethostname()
    assert node.get_instance_public_ip() == ""
    socket.inet_aton(node.get_instance_local_ip())


def test_names_of_the_settings_come_first(tmp_path: Path) -> None:
    node = make(
        SingleNode, tmp_path, hostname="a.example.org", local_hostname="a", public_ip="192.0.2.7",
        local_ip="10.0.0.7",
    )  # fmt: skip
    assert node.get_instance_public_hostname() == node.get_alias_hostname() == "a.example.org"
    assert node.get_instance_local_hostname() == "a"
    assert (node.get_instance_public_ip(), node.get_instance_local_ip()) == (
        "192.0.2.7",
        "10.0.0.7",
    )


def test_it_never_ends_itself(node: SingleNode) -> None:
    with pytest.raises(PolicyError, match="only instance") as caught:
        node.terminate_instance()
    assert caught.value.code == "compute.last"
    assert node.can_terminate(False) is False


def test_figures_survive_a_restart(node: SingleNode, tmp_path: Path) -> None:
    node.publish_stats("Load", "Percent", 12)
    again = make(SingleNode, tmp_path, "singlenode")
    assert again.get_cluster_average_stats("Load") == 12


def test_an_old_figure_does_not_count(node: SingleNode) -> None:
    node.publish_stats("Load", "Percent", 100)
    path = node.context.folder / "figures.json"
    kept = json.loads(path.read_text())
    kept["Load"][2] = time.time() - 451
    path.write_text(json.dumps(kept))
    assert node.get_instance_stats("box-1", "Load") is None
    assert node.should_accept_session(False) is True
    node.publish_stats("Other", "Count", 1)
    assert list(json.loads(path.read_text())) == ["Other"]


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"Load": [', '{"Load": 3}', '{"Load": ["x", "Percent", 1e400]}'],
    ids=["empty", "list", "cut_off", "number", "no_figure"],
)  # fmt: skip
def test_a_damaged_file_counts_as_empty(node: SingleNode, content: str) -> None:
    node.context.folder.mkdir()
    (node.context.folder / "figures.json").write_text(content)
    assert node.get_cluster_stats("Load") == {}
    node.publish_stats("Load", "Percent", 5)
    assert node.get_cluster_average_stats("Load") == 5


def publish_many(folder: Path, prefix: str) -> None:
    node = make(SingleNode, folder, "singlenode")
    for number in range(20):
        node.publish_stats(f"{prefix}{number}", "Count", number)


def test_processes_and_threads_lose_no_figure_of_each_other(
    node: SingleNode, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=publish_many, args=(tmp_path, "process"))
    threads = [
        threading.Thread(target=publish_many, args=(tmp_path, name)) for name in ("one", "two")
    ]
    for worker in (other, *threads):
        worker.start()
    for worker in (other, *threads):
        worker.join()
    assert other.exitcode == 0
    for name in ("process", "one", "two"):
        for number in range(20):
            assert node.get_cluster_average_stats(f"{name}{number}") == number


def test_a_full_disk_is_told_and_keeps_the_old_figures(
    node: SingleNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish_stats("Load", "Percent", 5)

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(NoRoomError, match="plugin singlenode") as caught:
            node.publish_stats("Load", "Percent", 6)
    assert caught.value.code == "plugin.disk_full"
    assert node.get_cluster_average_stats("Load") == 5
    assert sorted(path.name for path in node.context.folder.iterdir()) == [
        "figures.json",
        "figures.lock",
    ]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "singlenode").write_text("in the way")
    node = make(SingleNode, tmp_path, "singlenode")
    with pytest.raises(UnavailableError, match="plugin singlenode") as caught:
        node.publish_stats("Load", "Percent", 6)
    assert caught.value.code == "plugin.disk"


def opened(folder: Path) -> list[str]:
    """Return what this process has open below a folder; the rest is that of other tests."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return [name for name in found if name.startswith(f"{folder}/")]


def test_many_figures_leave_no_file_open(node: SingleNode) -> None:
    with (node.context.folder.parent / "proof").open("w"):
        assert len(opened(node.context.folder.parent)) == 1
    for number in range(50):
        node.publish_stats("Load", "Percent", number)
    assert opened(node.context.folder.parent) == []
