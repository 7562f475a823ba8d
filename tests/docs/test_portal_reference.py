"""Pages, routes, figures and settings of the portal stand in its page."""

from __future__ import annotations

import re
from collections.abc import Callable

from juliabox_services.portal.app import ROUTES
from juliabox_services.portal.handlers import NEEDS
from juliabox_services.portal.metrics import Metrics
from juliabox_services.portal.models import PAGES
from juliabox_services.portal.settings import PortalSettings
from support.documentation import Page, code

_GROUP = re.compile(r"\([^)]*\)")
_NAMES = re.compile(r"\b(ID|SERVER|PUBLISHER|API|N|FUNCTION)\b")
#: Page -> how its address ends.
ENDS = {"session": "/SERVER", "api": "/PUBLISHER/API"}


def test_each_page_is_told_with_its_data_and_who_may_open_it(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("portal").section("Pages").rows()
    told = {code(row["data"])[0]: row for row in rows}
    rest = {name: ENDS.get(name, "") for name in PAGES}
    assert set(told) == {f"{info.api}{rest[name]}" for name, info in PAGES.items()}
    roles = {name for name, info in PAGES.items() if code(told[f"{info.api}{rest[name]}"]["role"])}
    assert roles == set(NEEDS)


def test_each_route_is_told_with_its_methods(reference: Callable[[str], Page]) -> None:
    rows = reference("portal").section("Routes").rows()
    told = {_NAMES.sub("X", code(row["route"])[0]): row["methods"] for row in rows}
    for route, handler in ROUTES.items():
        named = _GROUP.sub("X", route)
        assert named in told, route
        methods = {m for m in ("GET", "POST", "PUT", "DELETE") if m.lower() in dir_of(handler)}
        assert set(told[named].split(", ")) == methods, route


def dir_of(handler: type) -> set[str]:
    """Return the methods that a handler, or a base of ours, has."""
    ours = [one for one in handler.__mro__ if one.__module__.startswith("juliabox_services")]
    return {name for one in ours for name in vars(one)}


def test_each_figure_and_each_setting_is_told(reference: Callable[[str], Page]) -> None:
    page = reference("portal")
    told = {code(row["metric"])[0] for row in page.section("Figures").rows()}
    found = {
        f"{one.name}_total" if one.type == "counter" else one.name
        for one in Metrics().registry.collect()
        if one.name.startswith("juliabox_")
    }
    assert told == found
    settings = {name for row in page.section("Settings").rows() for name in code(row["setting"])}
    assert settings == set(PortalSettings.__struct_fields__)
