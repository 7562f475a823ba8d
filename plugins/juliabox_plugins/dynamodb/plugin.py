"""The plugin ``dynamodb``: records in Amazon DynamoDB, or a service that speaks like it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pydantic import Field

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, Database, JBPluginDB, Record, TableSchema
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.aws import Aws, AwsSettings
from juliabox_plugins.dynamodb.expressions import Expressions
from juliabox_plugins.dynamodb.failures import demand, translated
from juliabox_plugins.dynamodb.tables import Handle, Tables
from juliabox_plugins.dynamodb.values import item, record

#: Records that one request reads at most.
PAGE = 1000

#: Attribute, no column, that tells whose write an item had last.
WRITER = "_writer"

#: Word in the code of a write whose condition is not met.
REFUSED = "ConditionalCheckFailed"


class DynamoDBSettings(AwsSettings):
    """Settings of ``dynamodb``."""

    #: Seconds for connecting, and for an answer; shorter than for a bucket: people wait for it.
    connect_timeout: float = Field(default=2.0, gt=0, le=60)
    read_timeout: float = Field(default=2.0, gt=0, le=300)
    #: How often a request is made before it has failed, with growing pauses between.
    attempts: int = Field(default=3, ge=1, le=10)
    #: Beginning of the names of all tables; without it the installation's name.
    table_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9_.-]{2,64})?$")


class DynamoDB(Database):
    """Records in DynamoDB; every method is one request, or one for each page."""

    provides = (JBPluginDB.JBP_DB, JBPluginDB.JBP_DB_DYNAMODB)
    Settings = DynamoDBSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._settings = cast(DynamoDBSettings, context.settings)
        self._aws = Aws(self._settings, self.name)

    def close(self) -> None:
        """Close the connections."""
        self._aws.close()

    @contextmanager
    def _requests(self) -> Iterator[Any]:
        with translated(self.name):
            yield self._aws.client("dynamodb")

    def _tables(self, client: Any) -> Tables:
        prefix = self._settings.table_prefix or f"{self.context.installation}_"
        return Tables(self.name, client, prefix)

    def table_open(self, table: TableSchema) -> Handle:
        """See :meth:`Database.table_open`."""
        with self._requests() as client:
            return self._tables(client).bring(table)

    def record_create(self, table: Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_create`."""
        values = db_records.new_record(table.schema, data)
        key = {column.name: values[column.name] for column in table.schema.keys}
        writer = uuid.uuid4().hex
        attributes = item(table.schema, values)
        attributes |= {REVISION: {"N": "1"}, WRITER: {"S": writer}}
        parts = Expressions(table.schema)
        condition = f"attribute_not_exists({parts.name(table.schema.keys[0].name)})"
        with self._requests() as client:
            try:
                client.put_item(
                    **parts.request(
                        TableName=table.name, Item=attributes, ConditionExpression=condition
                    )
                )
            except Exception as error:
                demand(error, REFUSED)
                if not self._own(self._read(client, table, key), writer):
                    raise db_records.exists(table.schema, key) from None

    @staticmethod
    def _own(found: dict[str, Any], writer: str) -> bool:
        """Return whether a write that boto repeated was done by its first try."""
        return found.get(WRITER) == {"S": writer}

    @staticmethod
    def _read(client: Any, table: Handle, key: Record) -> dict[str, Any]:
        answer = client.get_item(
            TableName=table.name, Key=item(table.schema, key), ConsistentRead=True
        )
        found: dict[str, Any] = answer.get("Item", {})
        return found

    def record_fetch(self, table: Handle, **keys: Any) -> Record:
        """See :meth:`Database.record_fetch`."""
        key = db_records.key(table.schema, keys)
        with self._requests() as client:
            found = self._read(client, table, key)
        if not found:
            raise db_records.absent(table.schema, key)
        return record(table.schema, found)

    def record_scan(self, table: Handle, **columns: bool) -> Iterator[Record]:
        """See :meth:`Database.record_scan`."""
        names = db_records.scanned(table.schema, columns)
        parts = Expressions(table.schema)
        request = parts.request(
            TableName=table.name,
            ConsistentRead=True,
            ProjectionExpression=parts.projection(names),
        )
        return (record(table.schema, one, names) for one in self._paged("scan", request))

    def _paged(self, operation: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages."""
        for page in self._pages(operation, request):
            yield from page["Items"]

    def _pages(self, operation: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        request = {"Limit": PAGE, **request}
        while True:
            with self._requests() as client:
                page = getattr(client, operation)(**request)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def record_query(
        self,
        table: Handle,
        *,
        index: str = "",
        descending: bool = False,
        limit: int = 0,
        columns: Sequence[str] = (),
        **criteria: Any,
    ) -> Iterator[Record]:
        """See :meth:`Database.record_query`."""
        names = db_records.picked(table.schema, columns)
        db_records.demand_limit(table.schema, limit)
        query = db_records.query(table.schema, index, criteria)
        if not self._usable(table, query):
            return iter(self._searched(table, query, descending)[: limit or None])
        wanted = list(dict.fromkeys([*names, query.order])) if query.order else names
        request = self._query_request(table, query, wanted)
        request["ScanIndexForward"] = not descending
        if limit and not query.filters:
            request["Limit"] = min(limit + 2, PAGE)  # two may lie on strict bounds
        return self._found(table, query, request, names, limit)

    def _found(
        self,
        table: Handle,
        query: db_records.Query,
        request: dict[str, Any],
        names: Sequence[str],
        limit: int,
    ) -> Iterator[Record]:
        """Yield the records of a query, without those on a strict bound."""
        if crossed(query):
            return
        given = 0
        for found in self._paged("query", request):
            one = record(table.schema, found)
            if not query.order or db_records.within(query, one[query.order]):
                yield db_records.only(one, names)
                given += 1
                if given == limit:
                    return

    def _query_request(
        self, table: Handle, query: db_records.Query, columns: Sequence[str]
    ) -> dict[str, Any]:
        parts = Expressions(table.schema)
        request = parts.request(
            TableName=table.name,
            IndexName=f"index-{query.index}" if query.index else "",
            ConsistentRead=not query.index,
            KeyConditionExpression=parts.key_condition(query),
            FilterExpression=parts.all(query.filters),
            ProjectionExpression=parts.projection(columns),
        )
        if not columns:
            request["Select"] = "COUNT"
        return request

    def _usable(self, table: Handle, query: db_records.Query) -> bool:
        """Return whether an index is ready; look again if it was not."""
        if not query.index or query.index in table.ready:
            return True
        with self._requests() as client:
            self._tables(client).extend(table)
        return query.index in table.ready

    def _searched(self, table: Handle, query: db_records.Query, descending: bool) -> list[Record]:
        """Return the records of a query by an index that is not ready, out of the whole table."""
        parts = Expressions(table.schema)
        request = parts.request(
            TableName=table.name,
            ConsistentRead=True,
            FilterExpression=parts.equal(query.match, query.value),
        )
        records = (record(table.schema, one) for one in self._paged("scan", request))
        found = [one for one in records if db_records.matching(query, one)]
        if query.order:
            found.sort(key=lambda one: one[query.order], reverse=descending)
        return found

    def record_count(self, table: Handle, *, index: str = "", **criteria: Any) -> int:
        """See :meth:`Database.record_count`."""
        if not criteria and not index:
            request = {"TableName": table.name, "ConsistentRead": True, "Select": "COUNT"}
            return sum(page["Count"] for page in self._pages("scan", request))
        query = db_records.query(table.schema, index, criteria)
        if not self._usable(table, query):
            return len(self._searched(table, query, False))
        if crossed(query):
            return 0
        if query.lower and query.upper and not (query.lower.included and query.upper.included):
            request = self._query_request(table, query, [query.order])
            return sum(1 for _ in self._found(table, query, request, [query.order], 0))
        request = self._query_request(table, query, ())
        return sum(page["Count"] for page in self._pages("query", request))

    def record_save(self, table: Handle, data: Mapping[str, Any]) -> int:
        """See :meth:`Database.record_save`."""
        key, changes, revision = db_records.changes(table.schema, data)
        writer = uuid.uuid4().hex
        with self._requests() as client:
            try:
                answer = client.update_item(
                    **self._save_request(table, key, changes, revision, writer)
                )
                return int(answer["Attributes"][REVISION]["N"])
            except Exception as error:
                demand(error, REFUSED)
                found = self._read(client, table, key)
                if self._own(found, writer):
                    return int(found[REVISION]["N"])
        if not found or revision is None:
            raise db_records.absent(table.schema, key)
        raise db_records.changed(table.schema, key, revision)

    def _save_request(
        self, table: Handle, key: Record, changes: Record, revision: int | None, writer: str
    ) -> dict[str, Any]:
        parts = Expressions(table.schema)
        column, mark = parts.name(REVISION), parts.name(WRITER)
        sets = [f"{column} = {column} + {parts.value(REVISION, 1)}"]
        sets += [parts.equal(name, value) for name, value in changes.items() if value is not None]
        removed = [parts.name(name) for name, value in changes.items() if value is None]
        condition = f"attribute_exists({parts.name(table.schema.keys[0].name)})"
        if revision is not None:
            condition += f" AND {parts.equal(REVISION, revision)}"
        request = parts.request(
            TableName=table.name,
            Key=item(table.schema, key),
            ConditionExpression=condition,
            ReturnValues="UPDATED_NEW",
        )
        request["ExpressionAttributeValues"][":writer"] = {"S": writer}
        update = f"SET {', '.join(sets)}, {mark} = :writer"
        request["UpdateExpression"] = update + (f" REMOVE {', '.join(removed)}" if removed else "")
        return request

    def record_delete(self, table: Handle, data: Mapping[str, Any]) -> None:
        """See :meth:`Database.record_delete`."""
        key, revision = db_records.deletion(table.schema, data)
        parts = Expressions(table.schema)
        condition = ""
        if revision is not None:
            there = parts.name(table.schema.keys[0].name)
            condition = f"attribute_not_exists({there}) OR {parts.equal(REVISION, revision)}"
        request = parts.request(
            TableName=table.name, Key=item(table.schema, key), ConditionExpression=condition
        )
        with self._requests() as client:
            try:
                client.delete_item(**request)
            except Exception as error:
                demand(error, REFUSED)
                raise db_records.changed(table.schema, key, revision or 0) from None


def crossed(query: db_records.Query) -> bool:
    """Return whether a query's bounds leave nothing between them; DynamoDB refuses such."""
    lower, upper = query.lower, query.upper
    return lower is not None and upper is not None and bool(lower.value > upper.value)
