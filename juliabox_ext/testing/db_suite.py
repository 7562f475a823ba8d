"""Contract suite of a database: derive from :class:`DatabaseSuite` and override ``connect``.

Each test makes tables of its own, so the database need not be empty.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from juliabox_ext.db import Column, Database, Index, TableSchema
from juliabox_ext.errors import RequestError
from juliabox_ext.plugin import Plugin
from juliabox_ext.testing.db_queries_suite import QueriesSuite
from juliabox_ext.testing.db_records_suite import RecordsSuite
from juliabox_ext.testing.db_refusals_suite import RefusalsSuite
from juliabox_ext.testing.db_samples import (
    DETAILS,
    EVENTS,
    MANY,
    START,
    WRITERS,
    Connect,
    events,
    new_name,
)


class DatabaseSuite(RecordsSuite, QueriesSuite, RefusalsSuite):
    """What every database does."""

    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls) -> Connect:
        """Return a function that makes one more plugin's object, configured, on one database.

        Override it, with the scope ``class``; close the objects at its end.
        """
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, connect: Connect) -> Database:
        """Return one object."""
        return connect()

    @pytest.fixture
    def schema(self) -> TableSchema:
        """Return the declaration of a new table."""
        return events()

    @pytest.fixture
    def table(self, database: Database, schema: TableSchema) -> Any:
        """Return the handle of that table, empty."""
        return database.table_open(schema)

    @pytest.fixture(scope="class")
    @classmethod
    def many(cls, database: Database) -> Any:
        """Return the handle of a table with more records than a page has; not to be changed."""
        table = database.table_open(events())
        for number in range(MANY):
            database.record_create(
                table,
                {
                    "place": "here" if number % 3 else "there",
                    "number": number,
                    "owner": "ann" if number % 5 else "bob",
                    "at": START + timedelta(seconds=number),
                },
            )
        return table

    def test_it_is_a_plugin_with_the_features_of_a_database(self, database: Database) -> None:
        assert isinstance(database, Plugin)
        assert "db" in database.provides

    def test_opening_again_keeps_what_is_there(self, database: Database) -> None:
        schema = events()
        first = database.table_open(schema)
        database.record_create(first, {"place": "a", "number": 1, "note": "x"})
        again = database.table_open(schema)
        assert database.record_fetch(again, place="a", number=1)["note"] == "x"
        assert database.record_fetch(first, place="a", number=1)["note"] == "x"

    def test_eight_open_a_table_at_once(self, connect: Connect) -> None:
        schema = events()
        start = threading.Barrier(WRITERS)

        def open_and_write(number: int) -> None:
            own = connect()
            start.wait(30)
            own.record_create(own.table_open(schema), {"place": "a", "number": number})

        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(open_and_write, range(WRITERS)))
        own = connect()
        assert own.record_count(own.table_open(schema), place="a") == WRITERS

    def test_a_column_and_an_index_are_added_and_the_older_declaration_works_on(
        self, connect: Connect, database: Database
    ) -> None:
        old = TableSchema(new_name(), EVENTS, DETAILS[:1])
        before = database.table_open(old)
        for number in range(3):
            database.record_create(before, {"place": "a", "number": number, "owner": "x"})
        new = TableSchema(
            old.name,
            EVENTS,
            (*DETAILS[:1], Column("level", "integer")),
            (Index("by_owner", "owner", "number"), Index("by_level", "level")),
        )
        later = connect()
        after = later.table_open(new)
        assert later.record_fetch(after, place="a", number=0)["level"] is None
        later.record_save(after, {"place": "a", "number": 2, "level": 7})
        by_level = later.record_query(after, index="by_level", level=7)
        assert [one["number"] for one in by_level] == [2]
        by_owner = later.record_query(after, index="by_owner", owner="x", number__ge=1)
        assert [one["number"] for one in by_owner] == [1, 2]
        database.record_create(before, {"place": "a", "number": 3, "owner": "x"})
        database.record_save(before, {"place": "a", "number": 2, "owner": "y"})
        assert "level" not in database.record_fetch(before, place="a", number=2)
        assert later.record_fetch(after, place="a", number=2)["level"] == 7
        again = connect()
        assert again.record_count(again.table_open(old)) == 4
        assert later.record_fetch(after, place="a", number=2)["level"] == 7

    def test_a_declaration_that_contradicts_an_earlier_one_is_refused(
        self, connect: Connect, database: Database
    ) -> None:
        schema = events()
        table = database.table_open(schema)
        database.record_create(table, {"place": "a", "number": 1, "note": "x"})
        with pytest.raises(RequestError) as refused:
            connect().table_open(TableSchema(schema.name, (EVENTS[0], Column("number"))))
        assert refused.value.code == "db.schema"
        with pytest.raises(RequestError):
            connect().table_open(TableSchema(schema.name, EVENTS[:1]))
        assert database.record_fetch(table, place="a", number=1)["note"] == "x"

    def test_tables_are_apart(self, database: Database) -> None:
        one, other = database.table_open(events()), database.table_open(events())
        database.record_create(one, {"place": "a", "number": 1})
        assert database.record_count(other) == 0

    def test_names_that_languages_reserve_are_fine(self, database: Database) -> None:
        schema = TableSchema(
            f"select_{new_name()}",
            (Column("user"), Column("order", "integer")),
            (Column("group"), Column("size"), Column("name", "integer"), Column("from", "time")),
            (Index("where", "group", "name"),),
        )
        table = database.table_open(schema)
        record = {"user": "u", "order": 1, "group": "g", "size": "s", "name": 1, "from": START}
        database.record_create(table, record)
        found = list(database.record_query(table, index="where", group="g", name__ge=0, size="s"))
        assert found == [{**record, "revision": 1}]
