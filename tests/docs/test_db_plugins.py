"""Each setting and method of the database plugins is told, and the how-to's code runs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.db import RESERVED, ColumnType, Database, UsageAccounting
from juliabox_ext.plugin import PluginContext
from juliabox_ext.testing.db_fake import FakeDatabase
from juliabox_plugins.rdbms import Rdbms
from support.documentation import Page, code

PLUGINS = [info for info in catalog.available(["juliabox.db"]) if info.built_in]


def default_text(field: FieldInfo) -> str:
    if field.annotation in (SecretStr, SecretStr | None):
        return "secret"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


@pytest.mark.parametrize("name", ["dynamodb", "rdbms", "usage"])
def test_exactly_the_settings_of_a_database_plugin_are_told(
    name: str, reference: Callable[[str], Page]
) -> None:
    (info,) = (one for one in PLUGINS if one.name == name)
    section = reference("db-plugins").section(name)
    told = {code(row["setting"])[0]: row["default"] for row in section.rows() if "setting" in row}
    fields = catalog.load_class(info).Settings.model_fields
    assert told == {name: default_text(field) for name, field in fields.items()}
    if not fields:
        assert "No settings." in section.text


def test_each_plugin_of_the_group_is_named(reference: Callable[[str], Page]) -> None:
    rows = [row for row in reference("db-plugins").rows() if "feature" in row]
    told: set[tuple[str, str]] = set()
    for row in rows:
        told |= {(one, name) for one in code(row["feature"]) for name in code(row["plugins"])}
    provided = {(one, info.name) for info in PLUGINS for one in features(info)}
    assert told == provided


def features(info: PluginInfo) -> list[str]:
    return [one for one in catalog.load_class(info).provides if one.startswith("db")]


@pytest.mark.parametrize(
    ("contract", "heading"),
    [
        pytest.param(Database, "Contract of a database", id="database"),
        pytest.param(UsageAccounting, "usage", id="usage"),
    ],
)
def test_each_method_is_told_with_its_arguments(
    contract: type[Any], heading: str, reference: Callable[[str], Page]
) -> None:
    rows = [row for row in reference("db-plugins").section(heading).rows() if "method" in row]
    told = {code(row["method"])[0] for row in rows}
    assert told == {signature(contract, name) for name in contract.__abstractmethods__}


def signature(contract: type[Any], name: str) -> str:
    """Return a method as the page writes it: without types, and without the bare star."""
    parts = []
    for one in list(inspect.signature(getattr(contract, name)).parameters.values())[1:]:
        plain = str(one.replace(annotation=inspect.Parameter.empty))
        parts.append(plain.replace("'", '"'))
    return f"{name}({', '.join(parts)})"


def test_types_and_reserved_names_are_told(reference: Callable[[str], Page]) -> None:
    section = reference("db-plugins").section("Contract of a database")
    told = [code(row["type of a column"])[0] for row in section.rows() if "type of a column" in row]
    assert sorted(told) == sorted(ColumnType.__args__)  # type: ignore[attr-defined]
    assert set(RESERVED) <= set(code(section.text))


@pytest.mark.parametrize("database", ["fake", "sqlite"])
def test_the_code_of_the_how_to_runs(database: str, root: Path, tmp_path: Path) -> None:
    used: Any = FakeDatabase()
    if database == "sqlite":
        used = Rdbms(PluginContext("rdbms", Rdbms.Settings(), folder=tmp_path))
        used.configure()
    names: dict[str, Any] = {"feature": {"db": used}.__getitem__, "__name__": "how_to"}
    text = (root / "docs/how-to/plugin-database.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        exec(block, names)
    used.close()
