"""Routes, options and settings of the API engine stand in its page."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from tornado.web import RequestHandler

from juliabox_services.api.interface import ROUTES
from juliabox_services.api.models import Options
from juliabox_services.api.settings import ApiSettings
from support.documentation import Page, code

_GROUP = re.compile(r"\([^)]*\)")
_METHODS = ("GET", "POST", "PUT", "DELETE")


def test_each_route_of_the_interface_is_told_with_its_methods(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("apis").section("The interface").rows()
    words = re.compile(r"\b(PUBLISHER|API|NUMBER)\b")
    told = {words.sub("X", code(row["route"])[0]): set(row["methods"].split(", ")) for row in rows}
    found = {}
    for route, handler in ROUTES.items():
        own = {m for m in _METHODS if getattr(handler, m.lower()) is not _unset(m)}
        found[_GROUP.sub("X", route)] = own
    assert told == found


def _unset(method: str) -> object:
    return getattr(RequestHandler, method.lower())


def test_each_option_is_told_with_its_default(reference: Callable[[str], Page]) -> None:
    rows = reference("apis").section("Options").rows()
    told = {name: code(row["default"])[0] for row in rows for name in code(row["option"])}
    defaults = msgspec.to_builtins(Options())
    assert told == {name: msgspec.json.encode(defaults[name]).decode() for name in defaults}


def test_each_setting_is_told(reference: Callable[[str], Page]) -> None:
    rows = reference("apis").section("Settings").rows()
    told = {name for row in rows for name in code(row["setting"])}
    assert told == set(ApiSettings.__struct_fields__)
