"""Spawner options, state folder, session image, roles, checks and reasons stand in their pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from traitlets import Undefined

from juliabox_cli import doctor
from juliabox_cli.secret_files import ensure_secrets
from juliabox_cli.state import State, make_folders
from juliabox_spawner import failures, options
from juliabox_spawner.configuration import SpawnerOptions
from juliabox_spawner.hub import roles
from juliabox_spawner.profiles import Profile
from support.documentation import Page, code


def default_text(trait: object) -> str:
    default = getattr(trait, "default_value", Undefined)
    if default is Undefined or default is None:
        made = trait.default()  # type: ignore[attr-defined]
        default = made if made is not None else None
    return '""' if default == "" else repr(default)


def test_each_option_of_the_spawner_is_told_with_its_default(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("spawner").section("Own options").rows()
    told = {code(row["option"])[0]: code(row["default"])[0] for row in rows}
    traits = SpawnerOptions.class_own_traits(config=True)
    assert told == {name: default_text(trait) for name, trait in traits.items()}


def test_each_option_that_is_refused_is_told_with_its_reason(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("spawner").section("Refused options").rows()
    told = {code(row["option"])[0]: row["instead"] for row in rows}
    assert sorted(told) == sorted({*options.REFUSED, *options.FIXED})
    for name, reason in options.REFUSED.items():
        assert told[name] == reason


def test_each_key_of_a_profile_is_told(reference: Callable[[str], Page]) -> None:
    told = set(code(reference("spawner").section("Profiles").text))
    assert set(Profile.__struct_fields__) <= told


def test_each_file_and_folder_of_a_fresh_installation_is_told(
    tmp_path: Path, reference: Callable[[str], Page]
) -> None:
    state = State(tmp_path)
    make_folders(state)
    ensure_secrets(state)
    told = {path for row in reference("state-folder").rows() for path in code(row["path"])}
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    parents = {Path(path).parents[0].as_posix() for path in told}
    untold = {path for path in found if path not in told and path not in parents} - {"secrets"}
    assert untold == set()
    for path in (state.config, state.install, state.compose_env):
        assert path.relative_to(tmp_path).as_posix() in told


def test_each_package_of_the_session_image_is_told(
    root: Path, reference: Callable[[str], Page]
) -> None:
    text = reference("session-image").section("What is in it").text
    told = set(code(text))
    python = re.findall(
        r"^([a-z][\w-]+)", (root / "images/julia/requirements.in").read_text(), re.MULTILINE
    )
    script = (root / "images/julia/system.sh").read_text().replace("\\\n", " ")
    found = re.search(r"apt\.sh (.+)", script)
    assert found is not None
    assert {*python, *found[1].split()} <= told
    version = re.search(r"^version=(\S+)", (root / "images/julia/julia.sh").read_text(), re.M)
    assert version is not None and version[1] in text


def test_each_form_in_which_the_kernel_shows_values_is_told(
    root: Path, reference: Callable[[str], Page]
) -> None:
    driver = root / "images/julia/kernel/juliabox_kernel/driver/bundles.jl"
    listed = re.search(r"RICH_TYPES = \[(.*?)\]", driver.read_text(), re.DOTALL)
    assert listed is not None
    told = set(code(reference("session-image").section("The Julia kernel").text))
    assert set(re.findall(r'"([^"]+)"', listed[1])) <= told


def test_the_scopes_of_each_service_are_told(reference: Callable[[str], Page]) -> None:
    rows = [row for row in reference("hub-api").rows() if "role" in row]
    told = {code(row["service"])[0]: code(row["scopes"]) for row in rows}
    assert told == {
        roles.OPERATOR: roles.OPERATOR_SCOPES,
        roles.ROUTES: roles.ROUTES_SCOPES,
        roles.CULLER: roles.CULLER_SCOPES,
        roles.PORTAL: roles.PORTAL_SCOPES,
        roles.API: roles.API_SCOPES,
    }
    section = reference("hub-api").section("Tokens and scopes").text
    assert {*roles.PORTAL_CLIENT_SCOPES, *roles.SERVER_SCOPES} <= set(code(section))


@pytest.fixture(scope="module")
def troubleshoot(root: Path) -> Page:
    return Page.read(root / "docs" / "how-to" / "troubleshoot.md")


@pytest.mark.parametrize("check", doctor.CHECKS)
def test_each_check_of_doctor_has_a_heading(check: str, troubleshoot: Page) -> None:
    assert troubleshoot.section(check).text.strip()


def test_exactly_the_reasons_of_failed_starts_are_told(root: Path, troubleshoot: Page) -> None:
    reasons = {reason for reason, _ in failures._REASONS.values()}
    for path in (root / "spawner" / "juliabox_spawner").rglob("*.py"):
        tree = ast.parse(path.read_text())
        reasons |= {
            node.value
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "StartError"
            for keyword in call.keywords
            if keyword.arg == "reason"
            for node in ast.walk(keyword.value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    # those that start_error picks by the error's code, or when nothing fits
    reasons |= {"image", "internal"}
    rows = troubleshoot.section("Reasons on the failure page").rows()
    assert {code(row["reason"])[0] for row in rows} == reasons
    for reason, opening in failures._REASONS.values():
        row = next(row for row in rows if code(row["reason"]) == [reason])
        assert reason == "engine" or row["what the page says"] == opening
