"""Every command, argument and option stands in the reference, and nothing that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from juliabox_cli.main import cli
from support.documentation import Page, code


def commands(command: click.Command = cli, path: str = "juliabox") -> Iterator[tuple[str, Any]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands())


def words(parameter: click.Parameter) -> list[str]:
    """Return how a parameter stands on the page."""
    if isinstance(parameter, click.Argument):
        return [(parameter.name or "").upper()]
    return list(parameter.opts)


def test_each_command_has_a_heading_and_each_heading_a_command(
    reference: Callable[[str], Page],
) -> None:
    told = [head for head in reference("command-line").headings if head.startswith("juliabox")]
    assert sorted(told) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_arguments_and_options_of_a_command_are_told(
    path: str, reference: Callable[[str], Page]
) -> None:
    told = []
    for row in reference("command-line").section(path).rows():
        told += code(row[next(iter(row))])
    expected = [word for parameter in COMMANDS[path].params for word in words(parameter)]
    if path == "juliabox":
        expected += ["-h", "--help"]
    assert sorted(told) == sorted(expected)


def test_defaults_of_options_are_told(reference: Callable[[str], Page]) -> None:
    for path, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.default, str):
                rows = reference("command-line").section(path).rows()
                row = next(one for one in rows if option.opts[-1] in code(next(iter(one.values()))))
                assert f"`{option.default}`" in row["meaning"], (path, option.name)


def test_every_variable_that_the_command_reads_is_told(
    root: Path, reference: Callable[[str], Page]
) -> None:
    read: set[str] = set()
    for path in (root / "services" / "juliabox_cli").glob("*.py"):
        text = path.read_text()
        read |= set(re.findall(r'(?:environ\.get|(?<![\w.])get)\(\s*"([A-Z][A-Z_]+)"', text))
    options = (root / "services" / "juliabox_cli" / "image_options.py").read_text()
    listed = re.findall(r'"((?:[A-Z]+_)+[A-Z]+|[a-z]+_proxy)"', options)
    told = reference("command-line").section("Environment").rows()
    names = {name for row in told for name in code(row["variable"])}
    assert names == read | set(listed)


def test_the_programs_of_the_parts_are_told(root: Path, reference: Callable[[str], Page]) -> None:
    programs = set(re.findall(r'"(juliabox-\w+) = ', (root / "setup.py").read_text()))
    told = reference("command-line").section("Programs of the parts").rows()
    assert {code(row["program"])[0] for row in told} == programs
