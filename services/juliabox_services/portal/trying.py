"""A test call as a program would make it: method, address and body of its arguments."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from juliabox_ext.errors import RequestError

#: Most characters of an address; longer calls send their arguments in the body.
ADDRESS = 2000


class Made(NamedTuple):
    """One call over HTTP."""

    method: str
    #: Below the API's own address.
    path: str
    #: JSON; ``None``: no body.
    body: str | None


def make_call(function: str, arguments: list[str], keywords: dict[str, str]) -> Made:
    """Return the call of a function with JSON texts as arguments.

    What an address can carry is a GET; lists and objects go in the body. The texts are sent as they
    were written, since numbers may have more digits than a program keeps.

    Raise ``RequestError`` (``portal.try``) for a text that is no JSON, and where positional and
    keyword arguments would both need the body.
    """
    given = [(text.strip(), _value(f"argument {at}", text)) for at, text in enumerate(arguments, 1)]
    named = {name: (text.strip(), _value(name, text)) for name, text in keywords.items()}
    plain = not any(_whole(value) for _, value in given)
    plain_names = not any(_whole(value) for _, value in named.values())
    if plain and plain_names:
        path = _path(function, given) + _query(named)
        if len(path) <= ADDRESS:
            return Made("GET", path, None)
    if not named or plain_names:
        listed = ", ".join(text for text, _ in given)
        return Made("POST", function + _query(named), f"[{listed}]")
    if plain:
        fields = ", ".join(f"{_text(name)}: {text}" for name, (text, _) in named.items())
        return Made("POST", _path(function, given), f"{{{fields}}}")
    raise RequestError(
        "lists and objects can be given as positional or as keyword arguments, not as both",
        code="portal.try",
    )


def _value(what: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise RequestError(f"{what} is no JSON: {error}", code="portal.try") from None


def _whole(value: Any) -> bool:
    """Tell whether a value needs the body."""
    return isinstance(value, list | dict)


def _path(function: str, given: list[tuple[str, Any]]) -> str:
    return "/".join([function, *(quote(_shown(*one), safe="") for one in given)])


def _query(named: dict[str, tuple[str, Any]]) -> str:
    pairs = [
        f"{quote(name, safe='')}={quote(_shown(*one), safe='')}" for name, one in named.items()
    ]
    return f"?{'&'.join(pairs)}" if pairs else ""


def _shown(text: str, value: Any) -> str:
    """Return a value as an address has it: texts bare, unless they would be read as another."""
    if not isinstance(value, str):
        return text
    if value in {"", ".", ".."} or value.startswith('"'):
        return _text(value)
    try:
        read = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return value
    return value if _whole(read) else _text(value)


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()
