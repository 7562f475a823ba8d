"""Tags name content: what goes in, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from juliabox_cli.image_build import BuildOptions, image_tags
from juliabox_cli.image_source import Sources
from juliabox_ext.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("images", "juliabox_ext", "jupyterhub_config", "plugins", "services", "spawner")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def tags(checkout: Path, julia_source: str = "debian") -> dict[str, str]:
    return image_tags(checkout, BuildOptions(julia_source=julia_source))


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("edited", "concerned"),
    [
        ("spawner/juliabox_manager/protocol/calls.py", {"control"}),
        ("jupyterhub_config/__init__.py", {"control"}),
        ("images/control/requirements.lock", {"control"}),
        ("images/julia/jupyter/jupyter_server_config.py", {"julia"}),
        ("images/julia/requirements.lock", {"julia"}),
        ("images/julia/julia.sh", {"julia", "julia-api"}),
        ("images/julia/packages/JuliaBox/src/content.jl", {"julia", "julia-api"}),
        ("images/julia-api/worker/serve.jl", {"julia-api"}),
        ("images/stages/apt.sh", {"base", "control", "julia", "julia-api"}),
        ("images/base/Dockerfile", {"base", "control", "julia", "julia-api"}),
        ("images/julia/requirements.in", set()),
    ],
)
def test_an_edit_changes_only_the_tags_of_images_it_goes_into(
    checkout: Path, edited: str, concerned: set[str]
) -> None:
    before = tags(checkout)
    with (checkout / edited).open("a") as stream:
        stream.write("# edited\n")
    assert changed(before, tags(checkout)) == concerned


def test_the_kind_of_julia_is_part_of_the_tags_of_images_with_julia_alone(checkout: Path) -> None:
    assert changed(tags(checkout), tags(checkout, "official")) == {"julia", "julia-api"}


def test_both_images_with_julia_begin_with_the_same_steps(checkout: Path) -> None:
    def steps(name: str) -> list[str]:
        text = (checkout / f"images/{name}/Dockerfile").read_text()
        stages = text[text.index("ARG BASE") :].split("FROM ")
        copied = [line for line in stages[-1].splitlines() if "/out/ /" in line]
        return [*stages[:3], *copied]

    assert steps("julia-api") == steps("julia")


def test_caches_and_byte_code_change_no_tag(checkout: Path) -> None:
    before = tags(checkout)
    for folder in ("spawner/__pycache__", "images/julia/.ruff_cache", "services/x.egg-info"):
        (checkout / folder).mkdir()
        (checkout / folder / "anything").write_text("anything")
    assert changed(before, tags(checkout)) == set()


def test_a_context_depends_on_no_file_times_or_owners(checkout: Path) -> None:
    first = Sources(checkout).context("julia").tar().getvalue()
    (checkout / "images/julia/Dockerfile").touch()
    assert Sources(checkout).context("julia").tar().getvalue() == first


def test_the_control_context_holds_nothing_of_the_session_image(checkout: Path) -> None:
    with tarfile.open(fileobj=Sources(checkout).context("control").tar()) as archive:
        names = archive.getnames()
    assert "project/setup.py" in names
    assert [name for name in names if name.startswith("project/images")] == [
        "project/images/__init__.py"
    ]


def test_an_installed_distribution_is_put_back_into_a_wheel(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    install(checkout, site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr("juliabox_cli.image_source._checkout", lambda: None)
    monkeypatch.setattr(
        "importlib.resources.files", lambda package: site / package.replace(".", "/")
    )
    sources = Sources()
    files = sources.context("control").files
    (wheel,) = [name for name in files if name.endswith(".whl")]
    (tmp_path / "again.whl").write_bytes(files[wheel])
    with zipfile.ZipFile(tmp_path / "again.whl") as archive:
        names = archive.namelist()
    assert "juliabox_manager/protocol/calls.py" in names
    assert "juliabox_config/__init__.py" in names
    assert not [name for name in names if name.startswith("juliabox_images/julia")]
    assert sources.context("julia").files.keys() == Sources(checkout).context("julia").files.keys()
    assert sources.tags("debian") == Sources().tags("debian")


def install(checkout: Path, site: Path) -> None:
    """Build the wheel of a checkout and unpack it, as pip does."""
    command = ["pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."]
    subprocess.run([sys.executable, "-m", *command], cwd=checkout, check=True, capture_output=True)
    with zipfile.ZipFile(next((checkout / "dist").glob("*.whl"))) as archive:
        archive.extractall(site)


def test_an_unknown_kind_of_julia_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="auto, official, debian"):
        image_tags(ROOT, BuildOptions(julia_source="newest"))


def test_a_missing_folder_of_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        image_tags(ROOT, BuildOptions(folder=tmp_path / "absent"))


def test_a_folder_without_dockerfiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Dockerfiles"):
        Sources(tmp_path)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("images/*/*.lock")), ids=lambda p: p.parent.name)
def test_locks_name_hashes_and_no_server(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "index" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    assert all("==" in line and line.endswith("\\") for line in pins)


def test_the_npm_lock_names_no_server() -> None:
    text = (ROOT / "images/control/package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text
    assert '"integrity"' in text


def test_hub_and_session_agree_on_jupyterhub() -> None:
    def pin(image: str) -> str:
        lines = (ROOT / f"images/{image}/requirements.lock").read_text().splitlines()
        return next(line for line in lines if line.startswith("jupyterhub=="))

    assert pin("control") == pin("julia")
