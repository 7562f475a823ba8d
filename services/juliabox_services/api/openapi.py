"""The OpenAPI 3.1 document of an API, from the methods of its functions.

It tells what the engine answers, no more: parameters are JSON by ``content``, since that is how
addresses are read. Each number of arguments in the address is a path of its own; of a method that
takes any number of further ones, the first of those is told.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any
from urllib.parse import quote

import msgspec

from juliabox_services.api.answers import EVENTS, JSON
from juliabox_services.api.julia_types import Schema, either, in_address, listing, schema_of
from juliabox_services.api.models import Function, Method, Version

#: Arguments in an address, and paths of one function, that are told.
_MOST_ARGUMENTS = 12
_MOST_PATHS = 8

_FAULT: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string", "description": "Stable; messages may change."},
        "message": {"type": "string"},
        "frames": {
            "description": "Where in the publisher's own source, innermost first.",
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["function", "line"],
                "properties": {"function": {"type": "string"}, "line": {"type": "integer"}},
            },
        },
        "output": {"type": ["string", "null"]},
    },
}
_LATER: Schema = {
    "type": "object",
    "required": ["request", "result"],
    "properties": {"request": {"type": "string"}, "result": {"type": "string"}},
}
_FAULTS = {
    "400": "The address, the body or the arguments are none that the function takes.",
    "401": "There is no token, or the hub does not know it.",
    "403": "The token does not admit this call.",
    "404": "The API or the function is not there.",
    "405": "The address does not know the method.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "429": "Too many calls in a minute; `Retry-After` tells when there may be more.",
    "500": "The function failed, or what it returned cannot be told.",
    "502": "The function's process died.",
    "503": "No call can be carried out now; `Retry-After` tells when to try again.",
    "504": "The function took too long, and was ended.",
}
_HELP = (
    "Arguments in an address are JSON: a text that is not a number, `true`, `false` or `null` may "
    "be written without its quotes. With `Prefer: respond-async` the answer is 202 and the address "
    "of the result; with `Accept: text/event-stream` values come as events."
)


class Documents:
    """Documents as they are sent; the last ``most`` are kept, since one may take long to write."""

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str, int], tuple[Version, bytes]] = OrderedDict()

    def of(self, version: Version, prefix: str) -> bytes:
        """Return the document of a version; ``prefix`` is always the same."""
        known = self._kept.pop(version.key, None)
        if known is None or known[0] is not version:
            known = (version, msgspec.json.encode(document(version, prefix)))
        self._kept[version.key] = known
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return known[1]


def document(version: Version, prefix: str) -> dict[str, Any]:
    """Return the document of a version whose calls live below ``prefix``."""
    name = f"{version.publisher}/{version.api}"
    paths: dict[str, Any] = {}
    for function in version.functions:
        paths |= _paths(function)
    root = f"{prefix}{quote(version.publisher, safe='')}/{version.api}"
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": str(version.version),
            "description": "\n\n".join(filter(None, [version.options.description, _HELP])),
        },
        "servers": [{"url": root}],
        "paths": paths,
        "components": {
            "schemas": {"Fault": _FAULT, "Later": _LATER},
            "responses": _responses(version),
        },
    }
    if version.options.access != "public":
        scheme = {"type": "http", "scheme": "bearer", "description": "A token of the hub."}
        found["components"]["securitySchemes"] = {"token": scheme}
        found["security"] = [{"token": []}]
    return found


def _responses(version: Version) -> dict[str, Any]:
    contents: dict[str, Any] = {JSON: {"schema": {}}}
    for kind in version.options.content:
        contents[kind] = {"schema": {"type": "string"}}
    contents[EVENTS] = {"schema": {"type": "string"}}
    fault = {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}}
    found: dict[str, Any] = {
        "200": {"description": "What the function gives.", "content": contents},
        "202": {
            "description": "The result will be at the address in `Location`.",
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Later"}}},
        },
    }
    for status, text in _FAULTS.items():
        found[status] = {"description": text, "content": fault}
        if status in {"429", "503"}:
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {_component(status): found[status] for status in sorted(found)}


def _component(status: str) -> str:
    return f"Status{status}"


def _paths(function: Function) -> dict[str, Any]:
    methods = function.methods or [Method(more_keywords=True)]
    counts = {len(method.arguments) for method in methods}
    counts |= {len(method.arguments) + 1 for method in methods if method.more}
    found = {f"/{quote(function.name, safe='!')}": _without(function, methods)}
    for count in sorted(counts - {0})[:_MOST_PATHS]:
        if count <= _MOST_ARGUMENTS:
            path, item = _with(function, _of_count(methods, count), count)
            if item:
                found[path] = item
    return found


def _of_count(methods: list[Method], count: int) -> list[Method]:
    """Return the methods that take so many arguments."""
    return [
        method
        for method in methods
        if len(method.arguments) == count or (method.more and len(method.arguments) < count)
    ]


def _kind(method: Method, place: int) -> Schema:
    """Return the schema of an argument, from 0 on."""
    named = method.arguments
    return schema_of(named[place].type if place < len(named) else method.more_type)


def _operation(function: Function, kind: str, count: int, **more: Any) -> dict[str, Any]:
    doc = function.doc.strip()
    statuses = ["200", "202", *_FAULTS]
    told: dict[str, Any] = {
        "operationId": f"{kind}_{function.name}_{count}",
        "summary": doc.partition("\n")[0][:120] or function.name,
        **({"description": doc} if doc else {}),
        **{key: value for key, value in more.items() if value},
        "responses": {
            status: {"$ref": f"#/components/responses/{_component(status)}"}
            for status in sorted(statuses)
        },
    }
    return told


def _without(function: Function, methods: list[Method]) -> dict[str, Any]:
    """Return the path without arguments: they come in the body."""
    without = _of_count(methods, 0)
    # a keyword is refused that is in the address and in the body, which no document can tell; so
    # where the body may have keywords, none are told of the address
    listed = [one for one in methods if not (without and _demanding(one))]
    given = [_array(method) for method in listed]
    # the one argument itself, unless it must be listed
    alone = [in_address(_kind(method, 0)) for method in _of_count(listed, 1)]
    given += [schema for schema in alone if schema]
    given += [_object(without)] if without else []
    needed = not without or any(map(_demanding, without))
    body = {"required": needed, "content": {JSON: {"schema": either(given)}}}
    keywords = [] if without else _keywords(methods)
    found = {"post": _operation(function, "post", 0, parameters=keywords, requestBody=body)}
    if without:
        found["get"] = _operation(function, "get", 0, parameters=_keywords(without))
    return found


def _with(
    function: Function, methods: list[Method], count: int
) -> tuple[str, dict[str, Any] | None]:
    """Return a path with arguments, unless there is one that no address can carry."""
    names = _names(methods, count)
    path = "".join(f"/{{{name}}}" for name in names)
    parameters = []
    for place, name in enumerate(names):
        kinds = [in_address(_kind(method, place)) or None for method in methods]
        if None in kinds:
            return path, None
        schema = either([kind for kind in kinds if kind is not None])
        parameters.append(_parameter(name, "path", schema, required=True))
    body: dict[str, Any] = {}
    if any(method.keywords or method.more_keywords for method in methods):
        schema = _object(methods)
        body = {"required": "required" in schema, "content": {JSON: {"schema": schema}}}
    return f"/{quote(function.name, safe='!')}{path}", {
        "get": _operation(function, "get", count, parameters=[*parameters, *_keywords(methods)]),
        "post": _operation(function, "post", count, parameters=parameters, requestBody=body),
    }


def _names(methods: list[Method], count: int) -> list[str]:
    found: list[str] = []
    for place in range(count):
        named = methods[0].arguments
        name = named[place].name if place < len(named) else ""
        if not re.fullmatch(r"\w{1,60}", name) or name in found:
            name = f"argument{place + 1}"
        found.append(name)
    return found


def _parameter(name: str, where: str, schema: Schema, *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "content": {JSON: {"schema": schema}},
    }


def _keywords(methods: list[Method]) -> list[dict[str, Any]]:
    """Return the keywords that an address can carry, required where each method demands them."""
    kinds: dict[str, list[Schema]] = {}
    needed: dict[str, int] = {}
    for method in methods:
        for keyword in method.keywords:
            kinds.setdefault(keyword.name, []).append(in_address(schema_of(keyword.type)))
            needed[keyword.name] = needed.get(keyword.name, 0) + keyword.required
    return [
        _parameter(name, "query", either(schemas), required=needed[name] == len(methods))
        for name, schemas in kinds.items()
        if all(schemas)
    ]


def _demanding(method: Method) -> bool:
    """Tell whether a method cannot be called without keywords."""
    return any(keyword.required for keyword in method.keywords)


def _array(method: Method) -> Schema:
    """Return the schema of a body that lists all arguments."""
    named = [schema_of(argument.type) for argument in method.arguments]
    return listing(named, schema_of(method.more_type) if method.more else None)


def _object(methods: list[Method]) -> Schema:
    """Return the schema of a body with keywords."""
    properties: dict[str, list[Schema]] = {}
    for method in methods:
        for keyword in method.keywords:
            properties.setdefault(keyword.name, []).append(schema_of(keyword.type))
    schema: Schema = {
        "type": "object",
        "properties": {name: either(kinds) for name, kinds in properties.items()},
    }
    required = sorted(
        name
        for name in properties
        if all(any(k.name == name and k.required for k in one.keywords) for one in methods)
    )
    if required:
        schema["required"] = required
    if any(method.more_keywords for method in methods):
        schema["propertyNames"] = {"pattern": "^[^\\u0000]*$"}
    else:
        schema["additionalProperties"] = False
    return schema
