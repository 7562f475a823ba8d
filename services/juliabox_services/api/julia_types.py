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
    "Unsigned": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    # Julia's Bool is an integer and a number
    "Integer": {"type": ["integer", "boolean"]},
    "Real": {"type": ["number", "boolean"]},
    "Number": {"type": ["number", "boolean"]},
    "AbstractFloat": {"type": "number"},
    # up to Julia's floatmax; a little beyond it is rounded to that, more is refused
    **{
        name: {"type": "number", "minimum": -most, "maximum": most}
        for name, most in {"Float16": 65504, "Float32": 3.4028234663852886e38}.items()
    },
    "Float64": {"type": "number"},
    "BigFloat": {"type": "number"},
    "Bool": {"type": "boolean"},
    "String": {"type": "string"},
    "AbstractString": {"type": "string"},
    # C's strings end at a null character, so no name has one
    "Symbol": {"type": "string", "pattern": "^[^\\u0000]*$"},
    "Char": {"type": "string", "minLength": 1, "maxLength": 1},
    "AbstractChar": {"type": "string", "minLength": 1, "maxLength": 1},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string", "format": "date-time"},
    "Nothing": {"type": "null"},
    "Missing": {"type": "null"},
}
_LISTS = {"Array", "Vector", "AbstractArray", "AbstractVector", "DenseArray", "DenseVector"}
_MATRICES = {"Matrix", "AbstractMatrix", "DenseMatrix"}
_TABLES = {"Dict", "AbstractDict"}
#: Digits of whole numbers as keys, for those that have no bounds.
_DIGITS = 18
#: Modules whose types are meant by the names above.
_OURS = {"Base", "Core", "Dates"}
_NAME = re.compile(r"[A-Za-z_][\w.]*")
#: Characters of a type, and of what bounds its variables, and types within types that are looked
#: at: what a source names may be as long and as deep as it likes.
_LONGEST, _LONGEST_BOUND = 500, 60
_DEEPEST = 16

#: What an address can carry of whatever a function takes.
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
#: What no JSON is.
NEVER: Schema = {"not": {}}

#: Variables of a type -> what bounds them.
_Bounds = dict[str, str]


def schema_of(kind: str) -> Schema:
    """Return the schema of a type by its name; an empty one, for anything, if it is not known."""
    return _schema(kind, {}, 0) if len(kind) <= _LONGEST else {}


def _schema(kind: str, bounds: _Bounds, depth: int) -> Schema:
    bare, *variables = _pieces(kind, " where ")
    bounds = bounds | _bounds(variables)
    if bare in bounds:
        # variables within bounds would make each type within types many
        bare, bounds = bounds[bare], {}
    bare = bare.removeprefix("<:")
    found = _NAME.match(bare)
    module, _, name = (found[0] if found else "").rpartition(".")
    if (module and module not in _OURS) or depth > _DEEPEST:
        return {}
    inner = parameters(bare)
    if inner or name in _LISTS | _MATRICES | _TABLES | {"Tuple"}:
        return _composed(name, inner, bounds, depth + 1)
    return dict(_NAMES.get(name, {}))


def _composed(name: str, inner: list[str], bounds: _Bounds, depth: int) -> Schema:
    """Return the schema of a type with parameters."""
    if name == "Union":
        return either([_schema(one, bounds, depth) for one in inner])
    if name in {"Tuple", "NTuple"}:
        return _tuple(name, inner, bounds, depth)
    if name in _TABLES:
        return _table(inner, bounds, depth) if len(inner) == 2 else {"type": "object"}
    dimensions = inner[1:2]
    if name in _MATRICES or (name in _LISTS and dimensions == ["2"]):
        row = {"type": "array", **_items(inner[:1], bounds, depth)}
        return {"type": "array", "items": row, "description": "Its rows, which are of one length."}
    if name in _LISTS and (name.endswith("Vector") or dimensions == ["1"] or len(inner) < 2):
        return {"type": "array", **_items(inner[:1], bounds, depth)}
    return {}


def _table(inner: list[str], bounds: _Bounds, depth: int) -> Schema:
    """Return the schema of a table; its keys are texts in JSON."""
    keys, values = (_schema(one, bounds, depth) for one in inner)
    return {
        "type": "object",
        **_keys(keys),
        **({"additionalProperties": values} if values else {}),
    }


def _keys(schema: Schema) -> Schema:
    """Return what a table's schema says of keys that Julia has as this."""
    if not schema or "anyOf" in schema:
        return {}
    kinds = schema.get("type", ())
    if "integer" in kinds:
        sign = "-?" if schema.get("minimum", -1) < 0 else ""
        # with a digit less than the last, each fits
        digits = len(str(schema["maximum"])) - 1 if "maximum" in schema else _DIGITS
        return {"propertyNames": {"pattern": f"^(0|{sign}[1-9][0-9]{{0,{digits - 1}}})$"}}
    if kinds != "string":
        return {"maxProperties": 0}
    names = {name: rule for name, rule in schema.items() if name != "type"}
    return {"propertyNames": names} if names else {}


def _items(inner: list[str], bounds: _Bounds, depth: int) -> Schema:
    """Return what a list's schema says of its elements."""
    items = _schema(inner[0], bounds, depth) if inner else {}
    return {"items": items} if items else {}


def _tuple(name: str, inner: list[str], bounds: _Bounds, depth: int) -> Schema:
    if not inner:
        return {"type": "array"}
    if name == "NTuple":
        items = {"items": _schema(inner[-1], bounds, depth)}
        size = int(inner[0]) if re.fullmatch(r"[0-9]{1,9}", inner[0]) else None
        return {"type": "array", **items, **_sizes(size)}
    parts = [one for one in inner if one]
    further: Schema | None = None
    if parts and parts[-1].startswith("Vararg"):
        last, *variables = _pieces(parts.pop(), " where ")
        of = parameters(last)[:1]
        further = _schema(of[0], bounds | _bounds(variables), depth) if of else {}
    return listing([_schema(one, bounds, depth) for one in parts], further)


def listing(parts: list[Schema], further: Schema | None) -> Schema:
    """Return the schema of a list of certain values, and of any number of others behind them."""
    found: Schema = {"type": "array", **({"prefixItems": parts} if parts else {})}
    found["minItems"] = len(parts)
    if further is None:
        found["maxItems"] = len(parts)
    elif further:
        found["items"] = further
    return found


def _bounds(variables: list[str]) -> _Bounds:
    """Return what bounds the variables of ``where T<:Real``."""
    found: _Bounds = {}
    for one in variables:
        for variable in _pieces(one.strip("{}") if one.startswith("{") else one, ","):
            name, _, bound = variable.partition("<:")
            known = bool(bound) and len(bound) <= _LONGEST_BOUND
            found[name.strip()] = bound.strip() if known else "Any"
    return found


def _sizes(size: int | None) -> Schema:
    return {} if size is None else {"minItems": size, "maxItems": size}


def parameters(kind: str) -> list[str]:
    """Return the parameters of a type, such as ``Int64`` and ``1`` of ``Array{Int64,1}``."""
    begin = kind.find("{")
    return _pieces(kind[begin + 1 : -1], ",") if begin >= 0 and kind.endswith("}") else []


def _pieces(text: str, separator: str) -> list[str]:
    """Return the pieces of a text between separators that stand in no braces."""
    found, depth, last = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "{(") - (character in "})")
        if depth == 0 and place >= last and text.startswith(separator, place):
            found.append(text[last:place].strip())
            last = place + len(separator)
    found.append(text[last:].strip())
    return found


def either(schemas: list[Schema]) -> Schema:
    """Return the schema of what one of these admits."""
    different: dict[str, Schema] = {}
    for schema in schemas:
        if not schema:
            return {}
        if schema != NEVER:
            different.setdefault(repr(schema), schema)
    if not different:
        return NEVER if schemas else {}
    found = list(different.values())
    return found[0] if len(found) == 1 else {"anyOf": found}


def in_address(schema: Schema) -> Schema:
    """Return what an address can carry of it: text, numbers, true, false and null."""
    if not schema:
        return SCALAR
    if "anyOf" in schema:
        return either([in_address(one) for one in schema["anyOf"] if in_address(one)])
    return {} if schema == NEVER or schema.get("type") in ("array", "object") else schema
