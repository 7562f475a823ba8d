"""MIME bundles as Jupyter wants them, from the fields that Julia sends."""

import base64
import json
import re
from typing import Any

_TEXT_BY_MEANING = ("application/javascript", "application/xml")


def bundle(fields: list[bytes]) -> dict[str, Any]:
    """Turn type, data, type, data… into a MIME bundle. JSON that is none is left out."""
    found: dict[str, Any] = {}
    for name_bytes, data in zip(fields[::2], fields[1::2], strict=False):
        name = name_bytes.decode()
        if name == "application/json" or name.endswith("+json"):
            try:
                found[name] = json.loads(data)
            except ValueError:
                continue
        elif name.startswith("text/") or name in _TEXT_BY_MEANING or name.endswith("+xml"):
            found[name] = data.decode("utf-8", "replace")
        else:
            found[name] = base64.b64encode(data).decode("ascii")
    return found


_CROSS_REFERENCE = re.compile(r"\[([^\]]*)\]\(@\w+[^)]*\)")
_DOCTEST = re.compile(r"^(\s*)(`{3,})\s*(?:jldoctest|julia-repl|@\w+)[^\n]*$", re.MULTILINE)
_ADMONITION = re.compile(
    r"^!!! (\w+)(?: \"([^\"\n]*)\")?\n((?:[ \t]+[^\n]*\n?|[ \t]*\n(?=[ \t]+\S))+)", re.MULTILINE
)


def _quoted(match: re.Match[str]) -> str:
    title = match[2] or match[1].capitalize()
    lines = [line.strip() for line in match[3].rstrip().split("\n")]
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *lines]) + "\n"


def documentation(plain: str, markdown: str) -> dict[str, Any]:
    """Make a bundle of Julia's documentation, in Markdown that a notebook can render."""
    text = _CROSS_REFERENCE.sub(r"\1", markdown)
    text = _DOCTEST.sub(r"\1\2julia", text)
    text = _ADMONITION.sub(_quoted, text)
    return {"text/plain": plain, "text/markdown": text}
