"""What the session image's extension makes of a home: an archive, and a list of packages."""

from __future__ import annotations

import io
import os
import random
import socket
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "images/julia/juliabox_home"


@pytest.fixture(scope="module")
def extension() -> Iterator[dict[str, ModuleType]]:
    """The modules of the extension that need no Jupyter server."""
    sys.path.insert(0, str(SOURCE))
    try:
        import juliabox_home.archive  # type: ignore[import-not-found]
        import juliabox_home.packages  # type: ignore[import-not-found]

        yield {"archive": juliabox_home.archive, "packages": juliabox_home.packages}
    finally:
        sys.path.remove(str(SOURCE))


def archived(extension: dict[str, ModuleType], home: Path) -> tarfile.TarFile:
    chunks: list[bytes] = []
    extension["archive"].write_archive(home, chunks.append)
    assert all(len(chunk) <= extension["archive"].CHUNK for chunk in chunks)
    return tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), errors="surrogateescape")


def test_files_folders_and_links_come_back_as_they_were(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "folder/deeper").mkdir(parents=True)
    (home / "folder/notes").write_text("kept\n")
    (home / "folder/notes").chmod(0o600)
    (home / "folder/deeper/big").write_bytes(random.Random(1).randbytes(1_000_000))
    (home / "again").hardlink_to(home / "folder/notes")
    (home / "out").symlink_to("/etc/passwd")
    (home / "dangling").symlink_to("./nowhere//")
    (home / "ünï\ncode").write_text("x")
    (home / "empty").write_text("")
    with archived(extension, home) as tar:
        target = tmp_path / "back"
        tar.extractall(target, filter="fully_trusted")
    assert (target / "folder/notes").read_text() == "kept\n"
    assert (target / "folder/notes").stat().st_mode & 0o777 == 0o600
    assert (target / "again").samefile(target / "folder/notes")
    big = "folder/deeper/big"
    assert (target / big).read_bytes() == (home / big).read_bytes()
    assert os.readlink(target / "out") == "/etc/passwd"  # noqa: PTH115
    assert os.readlink(target / "dangling") == "./nowhere//"  # noqa: PTH115
    names = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == names


def test_sockets_pipes_and_the_unreadable_are_left_out_and_listed(
    extension: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("kept")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        deep = tmp_path
        # longer than a path may be
        for _ in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        os.chdir(tmp_path)
        with archived(extension, deep) as tar:
            told = tar.extractfile("NOT-IN-THIS-ARCHIVE.txt")
            assert told is not None
            lines = told.read().decode().splitlines()
            assert tar.getmember("file").size == 4
            assert not {"pipe", "socket"} & set(tar.getnames())
    assert "pipe: neither file, folder nor link" in lines
    assert "socket: neither file, folder nor link" in lines
    assert any("File name too long" in line for line in lines)


def test_names_that_are_no_text_come_through(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    name = b"\xff\xfe" + b"n" * 120
    (Path(os.fsdecode(bytes(tmp_path) + b"/" + name))).write_text("x")
    with archived(extension, tmp_path) as tar:
        assert [os.fsencode(found) for found in tar.getnames()] == [name]


def test_a_file_that_shrinks_while_it_is_read_is_filled_up(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3_000_000)
    (tmp_path / "b").write_text("whole")
    chunks: list[bytes] = []
    made = extension["archive"]
    exactly = made._Exactly(io.BytesIO(b"short"), 10)
    assert exactly.read(10) == b"short\0\0\0\0\0"

    def put(chunk: bytes) -> None:
        chunks.append(chunk)

    made.write_archive(tmp_path, put, 0)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.getnames() == ["a", "b"]


def test_memory_is_bounded_however_large_a_home_is(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(200 * 1024**2)
    for number in range(3000):
        (tmp_path / f"{number}").touch()
    size = 0

    def put(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)

    tracemalloc.start()
    try:
        extension["archive"].write_archive(tmp_path, put, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 200 * 1024**2
    assert peak < 8 * 1024**2


def test_a_reader_who_leaves_stops_the_work(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1024**4)  # would take an hour
    stopped = extension["archive"].Stopped

    def put(_: bytes) -> None:
        raise stopped

    with pytest.raises(stopped):
        extension["archive"].write_archive(tmp_path, put, 0)


# -- packages ------------------------------------------------------------------------------------

PROJECT = '[deps]\nExample = "7876af07-990d-54b4-ab0e-23690620f79a"\n'
MANIFESTS = {
    "new-format": (
        'julia_version = "1.10.11"\nmanifest_format = "2.0"\n[[deps.Example]]\n'
        'uuid = "7876af07-990d-54b4-ab0e-23690620f79a"\nversion = "0.5.5"\n'
        '[[deps.Dates]]\nuuid = "ade2ca70-3891-5945-98fb-dc099432e06a"\n',
        "1.10.11",
    ),
    "old-format": (
        '[[Example]]\nuuid = "7876af07-990d-54b4-ab0e-23690620f79a"\nversion = "0.5.5"\n'
        '[[Dates]]\nuuid = "ade2ca70-3891-5945-98fb-dc099432e06a"\n',
        None,
    ),
}


def environment(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.mark.parametrize("kind", MANIFESTS)
def test_packages_are_told_with_version_and_who_asked_for_them(
    extension: dict[str, ModuleType], tmp_path: Path, kind: str
) -> None:
    manifest, julia = MANIFESTS[kind]
    environment(tmp_path / "v1.9", Project="")
    environment(tmp_path / "v1.10", Project=PROJECT, Manifest=manifest)
    environment(tmp_path / "mine")
    found = extension["packages"].environments(tmp_path)
    assert [one["name"] for one in found] == ["v1.10", "v1.9", "mine"]
    assert found[0]["julia"] == julia
    assert found[0]["packages"] == [
        {
            "name": "Example",
            "uuid": "7876af07-990d-54b4-ab0e-23690620f79a",
            "version": "0.5.5",
            "direct": True,
        },
        {
            "name": "Dates",
            "uuid": "ade2ca70-3891-5945-98fb-dc099432e06a",
            "version": None,
            "direct": False,
        },
    ]
    assert found[1]["packages"] == found[2]["packages"] == []


@pytest.mark.parametrize(
    ("project", "manifest"),
    [
        ("not = [toml", ""),
        ("", "\0\1\2"),
        ("deps = 7", "deps = [1, [2], {}]"),
        ("[deps]\nA = 1", 'manifest_format = "2.0"\ndeps = "x"'),
        ("", "x = " + "[" * 5000),
        ("[deps]\nA = 'u'", "[[A]]\nuuid = 5\nversion = {}\n"),
        ("", "x = '" + "y" * 5_000_000 + "'"),
    ],
    ids=["no-toml", "no-text", "wrong-types", "text-for-table", "deep", "odd-package", "large"],
)
def test_broken_environments_are_told_as_such_and_stop_nothing(
    extension: dict[str, ModuleType], tmp_path: Path, project: str, manifest: str
) -> None:
    environment(tmp_path / "v1.0", Project=project, Manifest=manifest)
    environment(tmp_path / "v1.10", Project=PROJECT)
    found = extension["packages"].environments(tmp_path)
    assert [package["name"] for package in found[0]["packages"]] == ["Example"]
    assert found[1]["error"] is None or len(found[1]["error"]) < 300


def test_pipes_and_links_to_nowhere_are_no_packages(
    extension: dict[str, ModuleType], tmp_path: Path
) -> None:
    folder = environment(tmp_path / "v1.0")
    os.mkfifo(folder / "Project.toml")
    (folder / "Manifest.toml").symlink_to("/dev/zero")
    other = environment(tmp_path / "v1.1")
    (other / "Project.toml").symlink_to("Project.toml")
    found = extension["packages"].environments(tmp_path)
    assert all(one["error"] and one["packages"] == [] for one in found)
    assert extension["packages"].environments(tmp_path / "none") == []
