"""``juliabox api``: what people published, and what an operator does with it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from juliabox_cli import units
from juliabox_cli.engine_api import EngineApi, api_path, engine, plain, segments
from juliabox_cli.installation import open_installation
from juliabox_ext.errors import NotFoundError, RequestError

#: Seconds between two looks at a log that is followed.
_LOOK = 1.0
#: Who stopped an API, or why.
_STOPPED = {
    "": "",
    "owner": "by its owner",
    "admin": "by an admin",
    "gone": "as its publisher is gone",
}
_ACCESS = ("public", "users", "listed", "token")


@click.group("api")
def api() -> None:
    """List, save, stop and call published APIs; NAME is PUBLISHER/API."""


@api.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the APIs of all people."""
    with engine(open_installation()) as opened:
        apis = opened.manage("GET", "apis", query={"all": "1"})["apis"]
    if as_json:
        click.echo(json.dumps(apis, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            f"{one['publisher']}/{one['api']}",
            f"{one['active']} of {one['newest']}",
            one["access"],
            _STOPPED[one["stopped"]],
            str(one["containers"]),
            str(one["calls"]),
            str(one["errors"]),
            ", ".join(one["functions"]),
        )
        for one in apis
    ]
    _print(
        (
            "API",
            "version",
            "access",
            "stopped",
            "containers",
            "calls/day",
            "failed",
            "functions",
        ),
        rows,
    )


@api.command()
@click.argument("name")
@click.option("--source", is_flag=True, help="Print the source alone.")
@click.option("--version", type=int, help="Of this version, not the one that answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, source: bool, version: int | None, as_json: bool) -> None:
    """Show an API: its functions, settings and versions."""
    with engine(open_installation()) as opened:
        detail = opened.manage("GET", api_path(name))
        if version is not None:
            detail["version"] = opened.manage("GET", f"{api_path(name)}/versions/{version}")
    shown = detail["version"]
    if source:
        click.echo(_handed_over(shown["source"]), nl=not shown["source"].endswith("\n"))
        return
    if as_json:
        click.echo(json.dumps(detail, indent=2, ensure_ascii=False))
        return
    summary = detail["summary"]
    state = f"stopped {_STOPPED[summary['stopped']]}" if summary["stopped"] else "answers calls"
    click.echo(f"{name}, version {shown['version']}: {state} at {summary['url']}")
    for function in shown["functions"]:
        for method in function["methods"]:
            click.echo(f"  {plain(_signature(function['name'], method))}")
    given = {key: value for key, value in shown["options"].items() if value not in (None, [], "")}
    click.echo("  " + ", ".join(f"{key}: {plain(_brief(value))}" for key, value in given.items()))
    rows = [
        (str(one["version"]), _moment(one["saved"]), one["saved_by"], decimal(one["bytes"]),
         one["note"])
        for one in detail["versions"]
    ]  # fmt: skip
    _print(("version", "saved", "by", "size", "note"), rows)


@api.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("-f", "--function", "functions", multiple=True, help="A function to publish.")
@click.option("--access", type=click.Choice(_ACCESS), help="Who may call.")
@click.option("--user", "users", multiple=True, help="Who may call, with --access listed.")
@click.option("--group", "groups", multiple=True, help="Whose members may call, likewise.")
@click.option("--description", help="A text for callers.")
@click.option("--timeout", help="Longest call, such as 30s.")
@click.option("--memory", help="Memory of a container, such as 512M.")
@click.option("--minimum", type=int, help="Containers that are kept though nobody calls.")
@click.option("--maximum", type=int, help="Most containers.")
@click.option("--workers", type=int, help="Calls that a container carries out at once.")
@click.option(
    "--recycle-calls", type=int, help="Calls after which a container is replaced; 0 never."
)
@click.option("--rate", type=int, help="Calls of one caller in a minute.")
@click.option("--origin", "origins", multiple=True, help="An origin whose pages may call.")
@click.option("--content", "content", multiple=True, help="A type of answers beside JSON.")
@click.option("--cache", help="Cache-Control of good answers to GET, such as max-age=60.")
@click.option("--idempotent", "idempotent", multiple=True, help="A function safe to repeat.")
@click.option("--note", help="Why there is a new version.")
@click.option("--keep", is_flag=True, help="Do not let it answer calls yet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def save(name: str, file: str, note: str | None, keep: bool, as_json: bool, **given: Any) -> None:
    """Save FILE as a new version of an API, or as a new API; what is not given stays.

    FILE is Julia source; - reads standard input. Of what answers already no version is made.
    """
    source = sys.stdin.read() if file == "-" else _text(Path(file))
    functions = list(given.pop("functions"))
    with engine(open_installation()) as opened:
        body: dict[str, Any] = {"source": source, "note": note or "", "activate": not keep}
        if functions:
            body["functions"] = functions
        chosen = _options(given)
        if chosen:
            body["options"] = {**_options_now(opened, name), **chosen}
        detail = opened.manage("PUT", api_path(name), body)
    if as_json:
        click.echo(json.dumps(detail, indent=2, ensure_ascii=False))
        return
    summary = detail["summary"]
    if detail.get("unchanged"):
        present = summary["newest" if keep else "active"]
        told = f"nothing is new: version {present} has this source, these functions and options"
    else:
        told = f"saved as version {summary['newest']}"
    click.echo(f"{told}; {_answering(name, summary)}")


def _answering(name: str, summary: dict[str, Any]) -> str:
    """Return which version answers calls, or what lets it."""
    active = f"version {summary['active']}"
    if summary["stopped"]:
        return f"{active} answers no calls until `juliabox api start {name}`"
    return f"{active} answers calls"


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as the engine reads them."""
    chosen = {key: value for key, value in given.items() if value not in (None, ())}
    for key, parse in (("timeout", units.parse_duration), ("memory", units.parse_size)):
        if key in chosen:
            try:
                chosen[key] = parse(chosen[key])
            except ValueError as error:
                raise RequestError(f"--{key} {error}", code="api.options") from None
    return {key: list(one) if isinstance(one, tuple) else one for key, one in chosen.items()}


def _options_now(opened: EngineApi, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = opened.manage("GET", api_path(name))["version"]["options"]
    except NotFoundError:
        return {}
    return found


@api.command()
@click.argument("name")
@click.argument("version", type=int)
def activate(name: str, version: int) -> None:
    """Let another version answer the calls: roll back, or forth."""
    with engine(open_installation()) as opened:
        detail = opened.manage("POST", f"{api_path(name)}/activate", {"version": version})
    click.echo(_answering(name, detail["summary"]))


@api.command()
@click.argument("name")
def stop(name: str) -> None:
    """Let an API answer no calls; its owner can neither start nor remove it."""
    with engine(open_installation()) as opened:
        opened.manage("POST", f"{api_path(name)}/stop")
    click.echo(f"{name} is stopped")


@api.command()
@click.argument("name")
def start(name: str) -> None:
    """Let a stopped API answer calls again."""
    with engine(open_installation()) as opened:
        opened.manage("POST", f"{api_path(name)}/start")
    click.echo(f"{name} answers calls")


@api.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove an API with all its versions, its log and its figures."""
    path = api_path(name)
    if not yes:
        click.confirm(f"Remove {name}?", abort=True)
    with engine(open_installation()) as opened:
        opened.manage("DELETE", path)
    click.echo(f"{name} is removed")


@api.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what comes.")
@click.option("--tail", type=int, default=100, help="Lines to begin with.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def log(name: str, follow: bool, tail: int, as_json: bool) -> None:
    """Show what an API's functions printed, which calls failed, and its news."""
    with engine(open_installation()) as opened:
        after, limit = 0, tail
        while True:
            query = {"after": after, "limit": max(1, min(limit, 1000))}
            lines = opened.manage("GET", f"{api_path(name)}/log", query=query)["lines"]
            for line in lines:
                click.echo(json.dumps(line, ensure_ascii=False) if as_json else _line(line))
                after = line["number"]
            if not follow:
                return
            limit = 1000
            time.sleep(_LOOK)


def _line(line: dict[str, Any]) -> str:
    about = f"{line['function']} {line['status']}" if line["kind"] == "call" else line["kind"]
    # a line that a function printed does not begin as one of the log's
    text = plain(line["text"]).rstrip().replace("\n", "\n    ")
    return f"{_moment(line['time'])} v{line['version']} {about}: {text}"


@api.command()
@click.argument("function")
@click.argument("arguments", nargs=-1)
@click.option("-k", "--keyword", "keywords", multiple=True, help="A keyword: NAME=VALUE.")
@click.option("--body", help="A JSON body: further arguments, or keywords.")
@click.option("--as", "person", help="Who calls; by default an admin.")
def call(
    function: str, arguments: tuple[str, ...], keywords: tuple[str, ...], body: str | None,
    person: str | None,
) -> None:  # fmt: skip
    """Call PUBLISHER/API/FUNCTION, as a program would, and print the answer."""
    # what an address cannot have as it is
    given_as = {one: f'"{one}"' for one in ("", ".", "..")}
    parts = [*segments(function, 3), *(given_as.get(one, one) for one in arguments)]
    path = "/".join(quote(part, safe="") for part in parts)
    pairs = [tuple(one.split("=", 1)) for one in keywords]
    if any(len(pair) != 2 for pair in pairs):
        raise RequestError("--keyword has the form NAME=VALUE", code="api.keyword")
    given: dict[str, Any] = {"params": pairs}
    if body is not None:
        given |= {"data": body.encode(), "headers": {"Content-Type": "application/json"}}
    with engine(open_installation(), person or "") as opened:
        answer = opened.send("GET" if body is None else "POST", path, **given)
    if answer.headers.get("Content-Type", "").startswith(("application/json", "text/")):
        click.echo(_handed_over(answer.text))
    else:
        sys.stdout.buffer.write(answer.content)


@api.command()
@click.option("--limit", type=int, default=100, help="Most rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(limit: int, as_json: bool) -> None:
    """Show who saved, activated, stopped, started or removed which API, newest first."""
    with engine(open_installation()) as opened:
        rows = opened.manage("GET", "audit", query={"limit": limit})["rows"]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    _print(
        ("time", "who", "what", "API", "version", "detail"),
        [
            (
                _moment(one["time"]), one["who"], one["what"], f"{one['publisher']}/{one['api']}",
                str(one["version"] or ""), one["detail"],
            )
            for one in rows
        ],
    )  # fmt: skip


def _signature(name: str, method: dict[str, Any]) -> str:
    told = [_argument(one) for one in method["arguments"]] + ["..."] * method["more"]
    keywords = [_argument(one) for one in method["keywords"]] + ["..."] * method["more_keywords"]
    return f"{name}({', '.join(told)}{'; ' if keywords else ''}{', '.join(keywords)})"


def _argument(one: dict[str, Any]) -> str:
    kind = "" if one["type"] == "Any" else f"::{one['type']}"
    return f"{one['name']}{kind}" + ("" if one["required"] else "=…")


def _handed_over(text: str) -> str:
    """Return a text as it is for a file or a program, and what does not command a terminal."""
    return plain(text) if sys.stdout.isatty() else text


def _brief(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}", code="api.source") from None


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _print(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name)
    for row in rows:
        # texts of people: no markup of theirs is obeyed
        table.add_row(*(Text(plain(cell[:200])) for cell in row))
    Console().print(table)


COMMANDS: list[click.Command] = [api]
