"""Every verb, field, answer and error code stands in the reference."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from juliabox_cli.rendering import HUB_VERBS, PORTAL_VERBS
from juliabox_cli.rendering_api import API_VERBS
from juliabox_ext.errors import FAMILIES
from juliabox_manager import protocol
from juliabox_manager.metrics import METRICS
from juliabox_manager.protocol import Limits, Request
from juliabox_manager.verbs import VERBS
from juliabox_spawner import start_queue
from support.documentation import Page, code

ANSWERS = (
    "SessionInfo",
    "ExitInfo",
    "ApiContainer",
    "UsageInfo",
    "ImageInfo",
    "PoolInfo",
    "VolumeInfo",
    "StatsInfo",
    "Event",
    "Pong",
    "TaskInfo",
    "TaskJob",
    "TaskResult",
)
STRUCTS: dict[str, type[msgspec.Struct]] = {"Limits": Limits} | {
    name: getattr(protocol, name) for name in ANSWERS
}
SOURCES = ("juliabox_ext", "spawner", "services", "plugins")


def default_text(field: Any) -> str:
    """Return a field's default as the page writes it; empty where it is required."""
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return ""
    made = field.default_factory
    default = field.default if made is msgspec.NODEFAULT else made()
    return f"`{msgspec.json.encode(default).decode()}`"


def answer_name(verb: type) -> str:
    answer = protocol.RESULTS[verb]
    if answer is None:
        return "null"
    inner = get_args(answer)
    return f"list of `{inner[0].__name__}`" if inner else f"`{answer.__name__}`"


@pytest.mark.parametrize("tag", VERBS)
def test_a_verb_is_told_with_its_fields_defaults_and_answer(
    tag: str, reference: Callable[[str], Page]
) -> None:
    section = reference("verbs").section(tag)
    fields = msgspec.structs.fields(VERBS[tag])
    told = {code(row["field"])[0]: row["default"] for row in section.rows()}
    assert told == {field.name: default_text(field) for field in fields}
    if not fields:
        assert "No fields." in section.text
    assert f"Answers: {answer_name(VERBS[tag])}" in section.text.replace("\n", " ")


def test_the_request_is_told_with_its_fields(reference: Callable[[str], Page]) -> None:
    rows = reference("verbs").section("Transport").rows()
    told = {code(row["field"])[0]: row["default"] for row in rows if "field" in row}
    fields = msgspec.structs.fields(Request)
    assert told == {field.name: default_text(field) for field in fields}


def test_the_verbs_of_each_client_are_told(reference: Callable[[str], Page]) -> None:
    rows = reference("verbs").section("Transport").rows()
    told = {code(row["client"])[0]: code(row["verbs"]) for row in rows if "client" in row}
    assert told == {"hub": HUB_VERBS, "portal": PORTAL_VERBS, "api": API_VERBS, "operator": []}


@pytest.mark.parametrize("name", STRUCTS)
def test_an_answer_is_told_with_its_fields(name: str, reference: Callable[[str], Page]) -> None:
    rows = reference("verbs").section(name).rows()
    assert [code(row["field"])[0] for row in rows] == list(STRUCTS[name].__struct_fields__)


def raised(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each error code in the source with the class that carries it."""
    paths = [path for source in SOURCES for path in (root / source).rglob("*.py")]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for keyword in node.keywords:
                    if keyword.arg == "code" and node.func.id in FAMILIES:
                        yield from ((text, node.func.id) for text in texts(keyword.value))
            elif isinstance(node, ast.ClassDef) and node.name not in FAMILIES:
                for part in node.body:
                    if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "code":
                        yield str(ast.literal_eval(part.value)), ast.unparse(node.bases[0])


def texts(value: ast.expr) -> list[str]:
    """Return the codes that an expression stands for."""
    if isinstance(value, ast.JoinedStr):
        assert ast.unparse(value) == "f'policy.limit.{name}'", ast.unparse(value)
        return [f"policy.limit.{name}" for name in Limits.__struct_fields__]
    if isinstance(value, ast.Attribute | ast.Name):
        return []  # passed on from another error
    if isinstance(value, ast.IfExp):
        return [*texts(value.body), *texts(value.orelse)]
    return [str(ast.literal_eval(value))]


def test_exactly_the_codes_that_the_source_raises_are_told_with_their_families(
    root: Path, reference: Callable[[str], Page]
) -> None:
    expected = defaultdict(set)
    for one, family in raised(root):
        expected[one].add(family)
    rows = reference("errors").section("Codes").rows()
    assert {code(row["code"])[0]: set(code(row["family"])) for row in rows} == expected


def test_families_are_told_with_code_status_and_whether_to_try_again(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("errors").section("Families").rows()
    told = {
        code(row["family"])[0]: (
            code(row["code unless a more exact one is given"])[0],
            int(row["status"]),
            row["retryable"] == "yes",
        )
        for row in rows
    }
    assert told == {name: (cls.code, cls.status, cls.retryable) for name, cls in FAMILIES.items()}


def test_each_metric_of_the_queue_is_told_with_its_type(reference: Callable[[str], Page]) -> None:
    rows = reference("metrics").section("The hub").rows()
    told = {code(row["metric"])[0]: row["type"] for row in rows}
    instruments = (start_queue.WAITING, start_queue.WORKING, start_queue.WAITED)
    assert told == {one._name: one._type for one in instruments}


def test_each_metric_of_the_manager_is_told_with_type_and_labels(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("metrics").section("The manager").rows()
    told = {code(row["metric"])[0]: (row["type"], code(row["labels"])) for row in rows}
    instruments = [one for one in vars(METRICS).values() if hasattr(one, "_labelnames")]
    expected = {one._name: (one._type, list(one._labelnames)) for one in instruments}
    for states in (METRICS._sessions, METRICS._apis, METRICS._warm):
        gauge = next(iter(states.collect()))
        expected[gauge.name] = (gauge.type, ["state"])
    assert told == expected
