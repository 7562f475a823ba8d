"""Reading, checking and editing ``config.yaml``; every complaint names line, key and cure."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from juliabox_cli.atomic_files import write_text
from juliabox_cli.config import Config
from juliabox_cli.config_rules import findings
from juliabox_cli.config_template import TEMPLATE
from juliabox_ext.errors import ConfigurationError

Place = tuple[str | int, ...]

#: Where secrets may stand.
_SETTINGS = ("plugins", "settings")
_INSTALL = ("plugins", "install")


def load(path: Path) -> Config:
    """Return the checked configuration; a missing file counts as an empty one."""
    return check(path, _read(path) if path.exists() else "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _error([f"{path} cannot be read: {error}"]) from None


def ensure(path: Path) -> bool:
    """Write the commented defaults unless the file exists; return whether it was written."""
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text(path, TEMPLATE, mode=0o600)
    return True


def check(path: Path, text: str) -> Config:
    """Return the configuration in ``text``, or raise ``ConfigurationError`` with all findings."""
    tree = _parse(path, text)
    try:
        config = Config.model_validate(_plain(tree))
    except ValidationError as error:
        complaints = [_complaint(path, tree, dict(detail)) for detail in error.errors()]
        raise _error(complaints) from None
    broken = [_at(path, tree, place) + message for place, message in findings(config)]
    if broken:
        raise _error(broken)
    return config


def set_values(path: Path, values: Mapping[str, str]) -> Config:
    """Set dotted keys to YAML values, keeping comments; an invalid result is not written."""
    tree = _parse(path, _read(path))
    for key, value in values.items():
        _set(tree, key, value)
    return _save(path, tree)


def _set(tree: CommentedMap, key: str, value: str) -> None:
    parts = _split(key)
    node: Any = tree
    for part in parts[:-1]:
        node = _child(node, part, key)
    last = parts[-1]
    parsed = _value(value, shown=tuple(parts[:2]) != _SETTINGS)
    if isinstance(node, list):
        node[_index(node, last, key)] = parsed
    else:
        node[str(last)] = parsed


def unset_value(path: Path, key: str) -> Config:
    """Remove a dotted key, so that its default holds again."""
    tree = _parse(path, _read(path))
    parts = _split(key)
    node: Any = tree
    for part in parts[:-1]:
        node = _existing(node, part, key)
    _existing(node, parts[-1], key)
    del node[_index(node, parts[-1], key) if isinstance(node, list) else parts[-1]]
    return _save(path, tree)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _parse(path: Path, text: str) -> CommentedMap:
    try:
        tree = _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _error([f"{path.name}, line {line}: not valid YAML: {error.problem}"]) from None
    except YAMLError as error:
        raise _error([f"{path.name}: not valid YAML: {error}"]) from None
    if tree is None:
        return CommentedMap()
    if not isinstance(tree, CommentedMap):
        raise _error([f"{path.name}, line 1: must be a mapping of keys to values"])
    return tree


def _plain(node: Any) -> Any:
    """Turn the commented tree into plain containers, which pydantic's messages show well."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _error(complaints: list[str]) -> ConfigurationError:
    return ConfigurationError("\n".join(complaints), code="configuration.invalid")


def _line(tree: Any, place: Place) -> int:
    """Return the line of the deepest part of ``place`` that stands in the file."""
    line, node = 1, tree
    for part in place:
        try:
            if isinstance(node, CommentedMap) and part in node:
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                line = node.lc.item(part)[0] + 1
            else:
                break
        except (KeyError, TypeError, AttributeError):
            break
        node = node[part]
    return line


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _at(path: Path, tree: Any, place: Place) -> str:
    return f"{path.name}, line {_line(tree, place)}: {_dotted(place) or 'the file'}: "


def _complaint(path: Path, tree: Any, detail: dict[str, Any]) -> str:
    place: Place = tuple(part for part in detail["loc"] if _is_key(part))
    start = _at(path, tree, place)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return start + _unknown_key(place)
    if kind == "missing":
        return start + "is missing, and has no default"
    # what stands below a plugin's name may be a secret, and an address may hold one
    given = "what stands there" if place[:2] in (_SETTINGS, _INSTALL) else _shown(detail["input"])
    return f"{start}{given} is refused: {_reason(detail)}"


def _is_key(part: object) -> bool:
    """Tell keys of the file from markers that pydantic puts in between."""
    return not (isinstance(part, str) and part.startswith(("function-", "constrained-")))


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_REASONS: dict[str, str] = {
    "literal_error": "must be one of {expected}",
    "value_error": "{error}",
    "string_pattern_mismatch": "must match {pattern}",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "list_type": "must be a list, such as [first, second]",
    "string_type": "must be text; put it in quotes",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _reason(detail: dict[str, Any]) -> str:
    """Say what is allowed, in our words; an unforeseen kind keeps pydantic's."""
    form = _REASONS.get(detail["type"])
    return form.format(**(detail.get("ctx") or {})) if form else str(detail["msg"]).lower()


def _unknown_key(place: Place) -> str:
    known = sorted(_known_keys(place[:-1]))
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"no such key; {hint}known here: {', '.join(known)}"


def _known_keys(place: Place) -> list[str]:
    """Return the keys of the section at ``place``, of which the last part may be an index."""
    section: type[BaseModel] = Config
    member = False
    for part in place:
        if member:  # an index of a list, or a free name such as a group's
            member = False
            continue
        annotation = section.model_fields[str(part)].annotation
        member = not _is_model(annotation)
        section = _inner_model(annotation)
    return list(section.model_fields)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _inner_model(annotation: Any) -> Any:
    """Return the section that an annotation such as ``list[Profile]`` holds."""
    if _is_model(annotation):
        return annotation
    return next((arg for arg in get_args(annotation) if _is_model(arg)), annotation)


def _split(key: str) -> list[str | int]:
    parts = key.split(".")
    if not all(parts):
        raise ConfigurationError(f"{key!r} is no key; write for example sessions.memory")
    return [int(part) if part.isdigit() else part for part in parts]


def _value(text: str, *, shown: bool) -> Any:
    try:
        return _yaml().load(text) if text.strip() else text
    except MarkedYAMLError as error:
        what = repr(text) if shown else "what was given"
        raise ConfigurationError(f"{what} is not a YAML value: {error.problem}") from None


def _index(node: list[Any], part: str | int, key: str) -> int:
    if isinstance(part, int) and part < len(node):
        return part
    raise ConfigurationError(f"{key}: there is no item {part}; the list has {len(node)}")


def _child(node: Any, part: str | int, key: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, key)]
    if node.get(part) is None:
        node[str(part)] = CommentedMap()
    if not isinstance(node[part], dict | list):
        raise ConfigurationError(f"{key}: {part} holds a value, not a mapping")
    return node[part]


def _existing(node: Any, part: str | int, key: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, key)]
    if not isinstance(node, dict) or part not in node:
        raise ConfigurationError(f"{key} is not set in the file, so its default holds already")
    return node[part]


def _save(path: Path, tree: CommentedMap) -> Config:
    stream = io.StringIO()
    _yaml().dump(tree, stream)
    config = check(path, stream.getvalue())
    write_text(path, stream.getvalue(), mode=0o600)
    return config
