"""What is shipped: the wheel's packages and data files, and nothing that names a registry."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "juliabox_cli",
    "juliabox_config",
    "juliabox_ext",
    "juliabox_images",
    "juliabox_manager",
    "juliabox_plugins",
    "juliabox_services",
    "juliabox_spawner",
}
#: Folders of data, in the checkout and in the wheel.
DATA = {"images": "juliabox_images", "jupyterhub_config": "juliabox_config"}

#: What only a checkout uses: its Makefile makes the environment that the wheel is installed into.
CHECKOUT_ONLY = {"juliabox_cli/make_venv.sh"}

#: Hosts of package registries in two halves, so that this file names none either.
HOSTS = [
    f"{host}.{rest}"
    for host, rest in (
        ("pypi", "org"),
        ("files.python" + "hosted", "org"),
        ("registry.np" + "mjs", "org"),
        ("registry.yarn" + "pkg", "com"),
        ("deb.deb" + "ian", "org"),
        ("security.deb" + "ian", "org"),
        ("ftp.deb" + "ian", "org"),
        ("archive.ubu" + "ntu", "com"),
        ("download.doc" + "ker", "com"),
        ("registry-1.doc" + "ker", "io"),
        ("pkg.julia" + "lang", "org"),
        ("proxy.gol" + "ang", "org"),
        ("crates", "i" + "o"),
        ("gh" + "cr", "io"),
        ("qu" + "ay", "io"),
    )
]


def tracked() -> list[Path]:
    """Return the files that git knows, and new ones that it does not ignore."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / one for one in done.stdout.split("\0") if one]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel from what git knows, and return the names in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        copy = folder / "source" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    command = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), "./source"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("juliabox-*.whl"))) as archive:
        return archive.namelist()


def test_the_wheel_holds_exactly_our_packages(wheel: list[str]) -> None:
    top = {one.split("/")[0] for one in wheel if ".dist-info/" not in one}
    assert top == PACKAGES


def test_the_wheel_holds_every_file_of_the_source(wheel: list[str]) -> None:
    missing = []
    for path in tracked():
        parts = path.relative_to(ROOT).parts
        if parts[0] in DATA:
            wanted = "/".join((DATA[parts[0]], *parts[1:]))
        elif parts[0] in ("spawner", "services", "plugins"):
            wanted = "/".join(parts[1:])
        elif parts[0] == "juliabox_ext":
            wanted = "/".join(parts)
        else:
            continue
        if wanted not in wheel and wanted not in CHECKOUT_ONLY:
            missing.append(wanted)
    assert missing == []


@pytest.mark.parametrize(
    "file",
    [
        "juliabox_images/control/Dockerfile",
        "juliabox_images/julia/own.Dockerfile",
        "juliabox_images/julia/juliabox_entry.py",
        "juliabox_images/julia/kernel/juliabox_kernel/driver/main.jl",
        "juliabox_images/julia/notebooks/welcome.ipynb",
        "juliabox_config/jupyterhub_config.py",
        "juliabox_config/templates/login.html",
        "juliabox_config/static/juliabox.css",
        "juliabox_ext/py.typed",
    ],
)
def test_the_wheel_holds_a_file_that_only_runs_when_installed(file: str, wheel: list[str]) -> None:
    assert file in wheel


def test_the_wheel_holds_no_leftovers(wheel: list[str]) -> None:
    assert [one for one in wheel if "__pycache__" in one or one.endswith((".pyc", ".orig"))] == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(host)}\b" for host in HOSTS))
    found = []
    for path in tracked():
        match = pattern.search(path.read_bytes().decode(errors="ignore"))
        if match is not None:
            found.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert found == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    home = str(ROOT)
    if len(ROOT.parts) < 3:
        pytest.fail("the checkout lies too near to the root to tell")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if home.encode() in path.read_bytes()
    ]
    assert found == []
