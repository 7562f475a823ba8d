"""A query that was checked, in DynamoDB's expressions.

Names and values stand in them by placeholders alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from juliabox_ext import db_records
from juliabox_ext.db import REVISION, ColumnType, TableSchema
from juliabox_plugins.dynamodb.values import Attribute, encoded


class Expressions:
    """Expressions of one request, which share their placeholders."""

    def __init__(self, schema: TableSchema) -> None:
        self._kinds: dict[str, ColumnType] = {**schema.columns, REVISION: "integer"}
        self._names: dict[str, str] = {}
        self._values: dict[str, Attribute] = {}

    def name(self, column: str) -> str:
        """Return the placeholder of a column, or of an attribute of our own."""
        for holder, name in self._names.items():
            if name == column:
                return holder
        return self._new(self._names, "#n", column)

    def value(self, column: str, value: Any) -> str:
        """Return the placeholder of a column's value."""
        return self._new(self._values, ":v", encoded(self._kinds[column], value))

    @staticmethod
    def _new(holders: dict[str, Any], start: str, content: Any) -> str:
        holder = f"{start}{len(holders)}"
        holders[holder] = content
        return holder

    def equal(self, column: str, value: Any) -> str:
        """Return the condition that a column has a value, or None."""
        if value is None:
            return f"attribute_not_exists({self.name(column)})"
        return f"{self.name(column)} = {self.value(column, value)}"

    def all(self, conditions: dict[str, Any]) -> str:
        """Return the condition that columns have values."""
        return " AND ".join(self.equal(column, value) for column, value in conditions.items())

    def key_condition(self, query: db_records.Query) -> str:
        """Return the condition on the key or index; strict bounds with another are included."""
        matched = self.equal(query.match, query.value)
        lower, upper, order = query.lower, query.upper, query.order
        if lower is not None and upper is not None:
            low, high = self.value(order, lower.value), self.value(order, upper.value)
            return f"{matched} AND {self.name(order)} BETWEEN {low} AND {high}"
        for bound, sign in ((lower, ">"), (upper, "<")):
            if bound is not None:
                comparison = f"{sign}=" if bound.included else sign
                value = self.value(order, bound.value)
                return f"{matched} AND {self.name(order)} {comparison} {value}"
        return matched

    def projection(self, columns: Iterable[str]) -> str:
        """Return the list of columns to give."""
        return ", ".join(self.name(column) for column in columns)

    def request(self, **parameters: Any) -> dict[str, Any]:
        """Return the parameters of a request, those that are not empty, with the placeholders."""
        parameters["ExpressionAttributeNames"] = self._names
        parameters["ExpressionAttributeValues"] = self._values
        return {name: value for name, value in parameters.items() if value}
