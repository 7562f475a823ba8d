"""Tables of ``docs/reference/plugins.md``, made from the code.

``python tests/support/plugin_tables.py`` writes them into the page.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from juliabox_ext import catalog
from juliabox_ext.catalog import MOUNT_POINTS
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import Plugin
from juliabox_ext.registry import matches

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "plugins.md"
BEGIN, END = "<!-- made from the code: begin -->", "<!-- made from the code: end -->"
NONE = "no"
EXAMPLE = PAGE.parents[1] / "examples" / "juliabox-greeting"


def providers() -> dict[str, list[str]]:
    """Return feature -> names of the built-in plugins that provide it."""
    found: dict[str, list[str]] = {}
    for info in catalog.available():
        if info.built_in:
            for feature in catalog.load_class(info).provides:
                found.setdefault(feature, []).append(info.name)
    return {feature: sorted(set(names)) for feature, names in found.items()}


def examples() -> dict[str, list[str]]:
    """Return feature -> names of plugins of the example package, which tests install."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    found: dict[str, list[str]] = {}
    sys.path.insert(0, str(EXAMPLE))
    try:
        for group, entries in project["entry-points"].items():
            for name, reference in entries.items():
                loaded = EntryPoint(name, reference, group).load()
                for feature in loaded.provides:
                    found.setdefault(feature, []).append(name)
    finally:
        sys.path.remove(str(EXAMPLE))
    return found


def provided(feature: str, built_in: dict[str, list[str]], example: dict[str, list[str]]) -> str:
    """Return a cell: the built-in plugins, else that of the example, else that it is not."""
    if feature in built_in:
        return ", ".join(f"`{name}`" for name in built_in[feature])
    if feature in example:
        return f"`{example[feature][0]}` ([example](../tutorials/first-plugin.md))"
    return NONE


def constants(mount_point: type[Plugin]) -> dict[str, str]:
    """Return the constants of a mount point: name -> feature."""
    return {name: value for name, value in vars(mount_point).items() if name.startswith("JBP_")}


def methods(functionality: type[Plugin]) -> list[str]:
    """Return methods and attributes that a functionality has beyond all plugins, then configure."""
    found: dict[str, None] = {}
    for cls in functionality.__mro__:
        if cls is Plugin:
            break
        own = [*vars(cls), *vars(cls).get("__annotations__", {})]
        names = [n for n in own if not n.startswith(("_", "JBP_"))]
        found.update(dict.fromkeys(names))
    for name in ("functionalities", "provides", "requires", "Settings"):
        found.pop(name, None)
    return [*found, "configure"]


def signature(functionality: type[Plugin], name: str) -> str:
    """Return a method with its arguments, or an attribute's name."""
    member = inspect.getattr_static(functionality, name, None)
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    if not inspect.isfunction(member):
        return name
    parameters = list(inspect.signature(member).parameters.values())[1:]
    shown, keywords = [], False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not keywords:
            keywords = True
            shown.append("*")
        star = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else f"={one.default!r}"
        shown.append(f"{star}{one.name}{default}")
    return f"{name}({', '.join(shown)})"


def loaded_by(feature: str) -> list[str]:
    """Return the parts that load plugins of a feature."""
    return [part for part, wanted in LOADS.items() if matches(feature, wanted)]


def tables() -> str:
    """Return all tables, each below its heading."""
    built_in, example = providers(), examples()
    text = []
    for group, mount_point in MOUNT_POINTS.items():
        text.append(f"### {mount_point.__name__}\n\nEntry-point group `{group}`.\n")
        text.append("| functionality | feature | class | loaded by | built in |")
        text.append("| --- | --- | --- | --- | --- |")
        for name, feature in constants(mount_point).items():
            cells = (
                f"`{name}`",
                f"`{feature}`",
                f"`{mount_point.functionalities[feature].__name__}`",
                ", ".join(loaded_by(feature)),
                provided(feature, built_in, example),
            )
            text.append(f"| {' | '.join(cells)} |")
        text.append("\n| class | methods and attributes |\n| --- | --- |")
        for functionality in dict.fromkeys(mount_point.functionalities.values()):
            shown = [f"`{signature(functionality, one)}`" for one in methods(functionality)]
            text.append(f"| `{functionality.__name__}` | {', '.join(shown)} |")
        text.append("")
    return "\n".join(text)


def groups() -> str:
    """Return the table of parts and groups."""
    lines = ["| part | groups | features |", "| --- | --- | --- |"]
    for part, wanted in LOADS.items():
        names = ", ".join(f"`{group}`" for group in catalog.groups_of(wanted))
        lines.append(f"| {part} | {names} | {', '.join(f'`{one}`' for one in wanted)} |")
    return "\n".join(lines) + "\n"


def made() -> str:
    """Return what stands between the marks of the page."""
    return f"{groups()}\n{tables()}"


def written(text: str) -> str:
    """Return a page's text with the tables in place."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE} lacks its marks")
    return f"{text[: found.start(1)]}\n{made()}\n{text[found.end(1) :]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
