"""Every key of ``config.yaml`` stands in the reference, with its default and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from juliabox_cli.config import Config, PartialLimits, Profile
from juliabox_cli.units import show_size
from support.documentation import Page, Row, code

#: Sections that stand under a free name or an index.
MEMBERS: dict[str, type[BaseModel]] = {
    "profiles": Profile,
    "groups": PartialLimits,
    "users": PartialLimits,
}
PLACES = {"profiles": "profiles[]", "groups": "groups.NAME", "users": "users.NAME"}
SIZES = {"memory", "disk", "most_memory", "body", "result"}


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield each key as the page writes it, with the field's name and its section."""
    for name, field in model.model_fields.items():
        if not prefix and name in MEMBERS:
            yield from keys(MEMBERS[name], f"{PLACES[name]}.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{name}.")
        else:
            yield f"{prefix}{name}", name, model


@pytest.fixture(scope="module")
def rows(reference: Callable[[str], Page]) -> dict[str, Row]:
    return {code(row["key"])[0]: row for row in reference("configuration").rows()}


def test_the_page_names_exactly_the_keys_of_the_schema(rows: dict[str, Row]) -> None:
    assert sorted(rows) == sorted(key for key, _, _ in keys())


@pytest.mark.parametrize(("key", "name", "model"), list(keys()), ids=str)
def test_the_default_that_is_told_is_the_default(
    key: str, name: str, model: Any, rows: dict[str, Row]
) -> None:
    field, told = model.model_fields[name], rows[key]["default"]
    if field.is_required():
        assert told == "required"
        return
    written = yaml.safe_load(code(told)[0])
    others = {
        "certificate": {"certificate": "", "key": ""},
        "key": {"certificate": "", "key": ""},
    }.get(name, {})
    required = {"slug": "s", "name": "n"} if model is Profile else {}
    default = field.get_default(call_default_factory=True)
    assert getattr(model.model_validate({**required, **others, name: written}), name) == default


@pytest.mark.parametrize(("key", "name", "model"), list(keys()), ids=str)
def test_bounds_and_words_that_are_allowed_are_told(
    key: str, name: str, model: Any, rows: dict[str, Row]
) -> None:
    schema = model.model_json_schema()["properties"][name]
    choices = [schema, *schema.get("anyOf", [])]
    told = rows[key]["allowed"]
    for choice in choices:
        for bound in ("minimum", "maximum"):
            if choice.get(bound):
                value = choice[bound]
                shown = show_size(value) if name in SIZES else f"{value:g}"
                shown = str(value) if isinstance(value, int) and name not in SIZES else shown
                assert re.search(rf"(?<![\d.]){re.escape(shown)}(?![\d.])", told), (key, shown)
        for word in choice.get("enum", []):
            assert re.search(rf"\b{word}\b", told), (key, word)
