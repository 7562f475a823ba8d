"""Tables of DynamoDB made and extended: what one lacks is added, nothing is ever dropped."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from juliabox_ext import db_failures
from juliabox_ext.db import Index, TableSchema
from juliabox_plugins.dynamodb.failures import demand
from juliabox_plugins.dynamodb.values import KEY_TYPES

#: Seconds that a new table may take to come up.
PATIENCE = 60.0
#: Seconds after which indexes that are not ready are looked at again.
LOOK_AGAIN = 10.0
#: Words in the codes of refusals to add an index: another one is being made, another process was
#: first, or a service that speaks like DynamoDB has no such request.
NOT_NOW = ("LimitExceeded", "ResourceInUse", "Validation")

log = structlog.get_logger("juliabox.db")


@dataclass
class Handle:
    """An opened table: its declaration, its name, and which of its indexes can be used."""

    schema: TableSchema
    name: str
    ready: set[str] = field(default_factory=set)
    looked: float = 0.0


class Tables:
    """Brings tables to what is declared."""

    def __init__(self, name: str, client: Any, prefix: str) -> None:
        self._name, self._client, self._prefix = name, client, prefix

    def bring(self, schema: TableSchema) -> Handle:
        """Return the handle of a table, made if it is missing, when it can be used.

        An index that is added to a table with records takes its time. Until it is ready, or where
        the service does not make it, queries by it read the whole table.
        """
        handle = Handle(schema, self._prefix + schema.name)
        try:
            found = self._describe(handle.name)
        except Exception as error:
            demand(error, "ResourceNotFound")
            self._create(handle)
            found = None
        self._compare(handle, self._active(handle, found))
        self.extend(handle)
        return handle

    def extend(self, handle: Handle) -> None:
        """Add an index that is missing, and note which are ready; seldom, until all are."""
        wanted = {index.name for index in handle.schema.indexes}
        now = time.monotonic()
        if handle.ready >= wanted or now < handle.looked + LOOK_AGAIN:
            return
        handle.looked = now
        present = self._indexes(handle)
        for index in handle.schema.indexes:
            if index.name not in present and self._add(handle, index):
                present = self._indexes(handle)
        handle.ready = {name for name, status in present.items() if status == "ACTIVE"}

    def _describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.describe_table(TableName=name)["Table"]
        return found

    def _indexes(self, handle: Handle) -> dict[str, str]:
        found = self._describe(handle.name).get("GlobalSecondaryIndexes", [])
        return {index_name(one["IndexName"]): one["IndexStatus"] for one in found}

    def _create(self, handle: Handle) -> None:
        schema = handle.schema
        parameters: dict[str, Any] = {
            "TableName": handle.name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": key_schema(*(key.name for key in schema.keys)),
            "AttributeDefinitions": definitions(schema, schema.ordered),
        }
        if schema.indexes:
            parameters["GlobalSecondaryIndexes"] = [index_request(one) for one in schema.indexes]
        try:
            self._client.create_table(**parameters)
        except Exception as error:
            demand(error, "ResourceInUse")  # another process was first

    def _active(self, handle: Handle, found: dict[str, Any] | None) -> dict[str, Any]:
        """Return the table's description when it is active, or is being extended."""
        deadline, pause = time.monotonic() + PATIENCE, 0.02
        while found is None or found["TableStatus"] == "CREATING":
            if time.monotonic() > deadline:
                raise db_failures.slow(self._name, f"table {handle.name} does not come up")
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
            try:
                found = self._describe(handle.name)
            except Exception as error:
                demand(error, "ResourceNotFound")  # the service does not know it everywhere yet
        return found

    def _compare(self, handle: Handle, found: dict[str, Any]) -> None:
        kinds = {
            one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]
        }
        schema = handle.schema
        for name in schema.ordered:
            wanted = KEY_TYPES[schema.columns[name]]
            if kinds.get(name, wanted) != wanted:
                reason = f"column {name} is {kinds[name]} there, and {wanted} here"
                raise db_failures.declared_otherwise(self._name, schema.name, reason)
        wanted_keys = {"": key_schema(*(key.name for key in schema.keys))}
        wanted_keys |= {one.name: index_request(one)["KeySchema"] for one in schema.indexes}
        there = {"": found["KeySchema"]} | {
            index_name(one["IndexName"]): one["KeySchema"]
            for one in found.get("GlobalSecondaryIndexes", [])
        }
        for name, keys in wanted_keys.items():
            if there.get(name, keys) != keys:
                reason = f"{name or 'its key'} is {there[name]} there, and {keys} here"
                raise db_failures.declared_otherwise(self._name, schema.name, reason)

    def _add(self, handle: Handle, index: Index) -> bool:
        """Ask for an index; False if another one must be made first, or the service cannot."""
        names = {key.name for key in handle.schema.keys} | {index.match, index.order} - {""}
        try:
            self._client.update_table(
                TableName=handle.name,
                AttributeDefinitions=definitions(handle.schema, names),
                GlobalSecondaryIndexUpdates=[{"Create": index_request(index)}],
            )
        except Exception as error:
            demand(error, *NOT_NOW)
            reason = str(error)
            log.warning("an index is not there yet", table=handle.name, index=index, reason=reason)
            return False
        return True


def definitions(schema: TableSchema, names: set[str]) -> list[dict[str, str]]:
    """Return the types of columns as requests have them."""
    return [
        {"AttributeName": name, "AttributeType": KEY_TYPES[schema.columns[name]]}
        for name in sorted(names)
    ]


def key_schema(match: str, order: str = "") -> list[dict[str, str]]:
    """Return a key as requests have it."""
    found = [{"AttributeName": match, "KeyType": "HASH"}]
    return [*found, {"AttributeName": order, "KeyType": "RANGE"}] if order else found


def index_request(index: Index) -> dict[str, Any]:
    """Return an index as requests have it."""
    return {
        "IndexName": f"index-{index.name}",
        "KeySchema": key_schema(index.match, index.order),
        "Projection": {"ProjectionType": "ALL"},
    }


def index_name(name: str) -> str:
    """Return the declared name of an index."""
    return name.removeprefix("index-")
