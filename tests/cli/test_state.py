"""The state folder: which one is taken, what is left alone, and what deletion may touch."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from juliabox_cli import config_file, down, up
from juliabox_cli import state as state_module
from juliabox_cli.atomic_files import ensure_folder
from juliabox_cli.state import CONTROL_UID, Install, State, make_folders
from juliabox_ext.errors import ConfigurationError, NotFoundError


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with somebody's files and name it as the state folder."""
    folder = Path(os.path.realpath(tmp_path)) / "home"
    (folder / "run").mkdir(parents=True)
    (folder / "letters.txt").write_text("dear")
    folder.chmod(0o755)
    monkeypatch.setattr(state_module, "_LONGEST_STATE", 200)
    monkeypatch.setenv("JULIABOX_STATE", str(folder))
    return folder


def _console() -> Console:
    return Console(file=io.StringIO())


@pytest.mark.engine
def test_destroy_deletes_nothing_in_a_folder_that_is_no_installation(foreign: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing was deleted"):
        down.destroy(_console())
    assert (foreign / "letters.txt").read_text() == "dear"
    assert (foreign / "run").is_dir()


@pytest.mark.engine
def test_up_refuses_a_folder_with_the_files_of_others_before_it_touches_it(foreign: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds letters\.txt"):
        up.up(_console())
    assert sorted(path.name for path in foreign.iterdir()) == ["letters.txt", "run"]
    assert foreign.stat().st_mode & 0o777 == 0o755


def test_an_empty_disk_of_its_own_is_taken_as_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    state_module.refuse_foreign(State(tmp_path))


@pytest.mark.engine
def test_destroy_leaves_what_others_put_into_the_state_folder(state: State, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (state.root / "notes.txt").write_text("mine")
    (state.root / "volumes" / "link").symlink_to(elsewhere)
    state.write_install(Install(name="juliabox", subnet="10.64.0.0/20", created=0))
    down.destroy(_console())
    assert [path.name for path in state.root.iterdir()] == ["notes.txt"]
    assert (elsewhere / "kept").exists()


@pytest.mark.engine
def test_a_name_that_was_edited_keeps_down_from_stopping_another_installation(
    state: State,
) -> None:
    state.write_install(Install(name="mine", subnet="10.64.0.0/20", created=0))
    state.compose_env.write_text("JULIABOX_NAME=other\n")
    config_file.ensure(state.config)
    config_file.set_values(state.config, {"name": "other"})
    with pytest.raises(ConfigurationError, match="config set name mine"):
        down.down(_console(), keep_sessions=False)


def test_the_first_configuration_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state" / "config.yaml"
    assert config_file.ensure(path)
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["backups", "jupyterhub_config.d"])
@pytest.mark.engine
def test_a_link_that_a_stolen_hub_leaves_in_its_folder_is_never_followed(
    state: State, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "etc"
    target.mkdir(mode=0o750)
    (state.hub / name).rmdir()
    (state.hub / name).symlink_to(target)
    with pytest.raises(ConfigurationError, match=f"{name} is not a folder"):
        make_folders(state)
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o750)


@pytest.mark.engine
def test_a_folder_gets_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        ensure_folder(tmp_path / "a", mode=0o755, owner=CONTROL_UID)
    finally:
        os.umask(before)
    made = (tmp_path / "a").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (CONTROL_UID, 0o755)


def test_the_state_folder_is_judged_behind_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a b"
    target.mkdir()
    (tmp_path / "plain").symlink_to(target)
    monkeypatch.setattr(state_module, "_LONGEST_STATE", 200)
    monkeypatch.setenv("JULIABOX_STATE", str(tmp_path / "plain"))
    with pytest.raises(ConfigurationError, match="JULIABOX_STATE"):
        state_module.find_state()


@pytest.mark.engine
def test_a_busy_machine_does_not_keep_a_running_service_from_an_edit(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Engine:
        running = True

        def container(self, name: str) -> dict[str, Any] | None:
            seen = {"Running": True, "StartedAt": "x"}
            return {"Id": "a", "State": seen, "Mounts": []} if self.running else None

    asked: list[int] = []
    for check in ("check_name", "check_port", "check_disk"):
        monkeypatch.setattr(up.preflight, check, lambda *_, **__: None)
    monkeypatch.setattr(up, "missing_images", lambda *_: [])
    monkeypatch.setattr(up.preflight, "check_memory", lambda: asked.append(1))
    installation: Any = up.Installation(state, config_file.load(state.config))
    installation.__dict__["engine"] = Engine()
    steps = up._Up(installation, up.Steps(_console()))
    steps._check()
    assert asked == []
    installation.engine.running = False
    steps._check()
    assert asked == [1]
