"""What the API engine's calls end with, and its figures, stand in their pages."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry

from juliabox_services.api.engine_figures import EngineFigures
from juliabox_services.api.refusals import WORKER_CODES
from support.documentation import Page, code


def told(tree: ast.AST, name: str) -> Iterator[dict[str, ast.expr]]:
    """Yield the keyword arguments of each making of an object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}


def trees(root: Path) -> Iterator[ast.AST]:
    names = ("back", "checks", "fleet", "pool", "refusals", "stream")
    for name in names:
        yield ast.parse((root / f"services/juliabox_services/api/{name}.py").read_text())


def test_each_error_of_a_call_is_told_with_its_status(
    root: Path, reference: Callable[[str], Page]
) -> None:
    expected = dict(WORKER_CODES)
    for tree in trees(root):
        for given in told(tree, "CallError"):
            if isinstance(given["code"], ast.Constant):
                expected[str(given["code"].value)] = ast.literal_eval(given["status"])
    rows = reference("errors").section("Calls of published APIs").rows()
    found = {code(row["code"])[0]: int(row["status"]) for row in rows if "status" in row}
    assert found == expected


def test_each_refusal_of_a_source_is_told(root: Path, reference: Callable[[str], Page]) -> None:
    worker = {"source.syntax", "source.error", "source.missing", "source.output"}
    own = {
        str(given["code"].value)
        for tree in trees(root)
        for given in told(tree, "Checked")
        if isinstance(given.get("code"), ast.Constant)
    }
    rows = reference("errors").section("Calls of published APIs").rows()
    assert {code(row["code"])[0] for row in rows if "status" not in row} == worker | own


def test_each_figure_of_the_engine_is_told_with_type_and_labels(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("metrics").section("The API engine").rows()
    found = {code(row["metric"])[0]: (row["type"], code(row["labels"])) for row in rows}
    figures = EngineFigures(CollectorRegistry())
    expected = {
        one._name: (one._type, list(one._labelnames))
        for one in vars(figures).values()
        if hasattr(one, "_labelnames")
    }
    for now in (figures._containers, figures._outstanding):
        gauge = next(iter(now.collect()))
        expected[gauge.name] = (gauge.type, ["publisher", "api"])
    assert expected.items() <= found.items()
