"""Julia's names of types as JSON Schema: which JSON a method takes for an argument."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

_INTEGERS = {
    f"{sign}Int{bits}": (
        0 if sign else -(2 ** (bits - 1)),
        2**bits - 1 if sign else 2 ** (bits - 1) - 1,
    )
    for sign in ("", "U")
    for bits in (8, 16, 32, 64, 128)
}
_NAMES: dict[str, Schema] = {
    **{
        name: {"type": "integer", "minimum": least, "maximum": most}
        for name, (least, most) in _INTEGERS.items()
    },
    "BigInt": {"type": "integer"},
    "Signed": {"type": "integer"},
    "Unsigned": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    # Julia's Bool is an integer and a number
    "Integer": {"type": ["integer", "boolean"]},
    "Real": {"type": ["number", "boolean"]},
    "Number": {"type": ["number", "boolean"]},
    "AbstractFloat": {"type": "number"},
    # what rounds to infinity is refused
    **{
        name: {"type": "number", "exclusiveMinimum": -least, "exclusiveMaximum": least}
        for name, least in {"Float16": 65520, "Float32": 3.4028235677973366e38}.items()
    },
    "Float64": {"type": "number"},
    "BigFloat": {"type": "number"},
    "Bool": {"type": "boolean"},
    "String": {"type": "string"},
    "AbstractString": {"type": "string"},
    "Symbol": {"type": "string"},
    "Char": {"type": "string", "minLength": 1, "maxLength": 1},
    "AbstractChar": {"type": "string", "minLength": 1, "maxLength": 1},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string"},
    "Nothing": {"type": "null"},
    "Missing": {"type": "null"},
}
_LISTS = {"Array", "Vector", "AbstractArray", "AbstractVector"}
_TABLES = {"Dict", "AbstractDict"}
#: Modules whose types are meant by the names above.
_OURS = {"Base", "Core", "Dates"}
_NAME = re.compile(r"[A-Za-z_][\w.]*")

#: What an address can carry of whatever a function takes.
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}


def schema_of(kind: str) -> Schema:
    """Return the schema of a type by its name; an empty one, for anything, if it is not known."""
    bare = kind.partition(" where ")[0].strip()
    found = _NAME.match(bare)
    module, _, name = (found[0] if found else "").rpartition(".")
    if module and module not in _OURS:
        return {}
    inner = parameters(bare)
    if inner or name in _LISTS or name in _TABLES:
        return _composed(name, inner)
    return dict(_NAMES.get(name, {}))


def _composed(name: str, inner: list[str]) -> Schema:
    """Return the schema of a type with parameters."""
    if name == "Union":
        return either([schema_of(one) for one in inner])
    if name == "Tuple":
        parts = [schema_of(one) for one in inner]
        size = len(parts)
        return {"type": "array", "prefixItems": parts, "minItems": size, "maxItems": size}
    if name in _TABLES:
        values = schema_of(inner[1]) if len(inner) == 2 else {}
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if name in _LISTS and (name.endswith("Vector") or inner[1:] in ([], ["1"])):
        items = schema_of(inner[0]) if inner else {}
        return {"type": "array", "items": items} if items else {"type": "array"}
    if name == "Matrix" or (name in _LISTS and inner[1:] == ["2"]):
        return {"type": "array", "items": _composed("Vector", inner[:1])}
    return {}


def parameters(kind: str) -> list[str]:
    """Return the parameters of a type, such as ``Int64`` and ``1`` of ``Array{Int64,1}``."""
    begin = kind.find("{")
    if begin < 0 or not kind.endswith("}"):
        return []
    found, depth, last = [], 0, begin + 1
    for place in range(begin + 1, len(kind) - 1):
        character = kind[place]
        depth += (character in "{(") - (character in "})")
        if character == "," and depth == 0:
            found.append(kind[last:place].strip())
            last = place + 1
    found.append(kind[last : len(kind) - 1].strip())
    return found


def either(schemas: list[Schema]) -> Schema:
    """Return the schema of what one of these admits."""
    different: list[Schema] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    if not different or {} in different:
        return {}
    return different[0] if len(different) == 1 else {"anyOf": different}


def in_address(schema: Schema) -> Schema:
    """Return what an address can carry of it: text, numbers, true, false and null."""
    if not schema:
        return SCALAR
    if "anyOf" in schema:
        kept = [in_address(one) for one in schema["anyOf"] if in_address(one)]
        return either(kept)
    return {} if schema.get("type") in ("array", "object") else schema
