"""Contract suite of a database: derive from :class:`DatabaseSuite` and override ``connect``.

Each test makes tables of its own, so the database need not be empty.
"""

from __future__ import annotations

import itertools
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from juliabox_ext.db import Column, Database, Index, Record, TableSchema
from juliabox_ext.errors import ConflictError, NotFoundError, RequestError
from juliabox_ext.plugin import Plugin

#: Records of the tests that need more than one page in any database.
MANY = 1500
WRITERS = 8
ROUNDS = 5

Connect = Callable[[], Database]

EVENTS = (Column("place"), Column("number", "integer"))
DETAILS = (
    Column("owner"),
    Column("at", "time"),
    Column("size", "integer"),
    Column("share", "number"),
    Column("done", "boolean"),
    Column("content", "bytes"),
    Column("more", "json"),
    Column("note"),
)
BY_OWNER = Index("by_owner", "owner", "at")
START = datetime(2026, 2, 27, 23, 59, 59, 999_999, UTC)


def events() -> TableSchema:
    """Return a table with all types of columns, two keys and an index, under a name of its own."""
    return TableSchema(new_name(), EVENTS, DETAILS, (BY_OWNER,))


def new_name() -> str:
    """Return a table's name that nothing else has."""
    return f"t_{uuid.uuid4().hex[:12]}"


class DatabaseSuite:
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

    def test_what_is_created_is_fetched_with_a_revision(
        self, database: Database, table: Any
    ) -> None:
        database.record_create(table, {"place": "a", "number": 1, "note": "hello"})
        found = database.record_fetch(table, place="a", number=1)
        empty = dict.fromkeys((column.name for column in DETAILS), None)
        assert found == {**empty, "place": "a", "number": 1, "note": "hello", "revision": 1}

    def test_a_key_that_exists_is_not_created_again(self, database: Database, table: Any) -> None:
        database.record_create(table, {"place": "a", "number": 1, "note": "first"})
        with pytest.raises(ConflictError) as refused:
            database.record_create(table, {"place": "a", "number": 1, "note": "second"})
        assert refused.value.code == "db.exists"
        assert database.record_fetch(table, place="a", number=1)["note"] == "first"

    def test_a_record_that_is_absent_is_not_found(self, database: Database, table: Any) -> None:
        with pytest.raises(NotFoundError) as fetched:
            database.record_fetch(table, place="a", number=1)
        with pytest.raises(NotFoundError) as saved:
            database.record_save(table, {"place": "a", "number": 1, "note": "new"})
        with pytest.raises(NotFoundError) as compared:
            database.record_save(table, {"place": "a", "number": 1, "revision": 1})
        assert {one.value.code for one in (fetched, saved, compared)} == {"db.absent"}
        assert database.record_count(table) == 0

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            pytest.param("note", "", id="empty-text"),
            pytest.param("note", "Ωmega 🐍 e\u0301 '\"\\;-- %s :x ${y} \r\n\t", id="unicode"),
            pytest.param("note", "x" * 100_000, id="long-text"),
            pytest.param("owner", "", id="empty-indexed-text"),
            pytest.param("size", 2**63 - 1, id="largest-integer"),
            pytest.param("size", -(2**63), id="smallest-integer"),
            pytest.param("size", 2**53 + 1, id="integer-no-float-holds"),
            pytest.param("size", 0, id="zero"),
            pytest.param("share", 0.1, id="fraction"),
            pytest.param("share", 1.7976931348623157e308, id="largest-number"),
            pytest.param("share", 5e-324, id="smallest-number"),
            pytest.param("share", -1 / 3, id="third"),
            pytest.param("share", 3.0, id="whole-number"),
            pytest.param("done", True, id="true"),
            pytest.param("done", False, id="false"),
            pytest.param("content", b"", id="no-bytes"),
            pytest.param("content", bytes(range(256)), id="all-bytes"),
            pytest.param("at", START, id="microseconds"),
            pytest.param("at", datetime(1, 1, 1, tzinfo=UTC), id="first-time"),
            pytest.param("at", datetime(9999, 12, 31, 23, 59, 59, 1, UTC), id="last-time"),
            pytest.param("more", {"a": [1, 2.5, None, True, "ü\x00"], "b": {}}, id="json-object"),
            pytest.param("more", [2**70, "\ud800", -0.5], id="json-list"),
            pytest.param("more", "text", id="json-text"),
            pytest.param("more", False, id="json-false"),
        ],
    )
    def test_a_value_comes_back_as_it_went_in(
        self, database: Database, table: Any, column: str, value: Any
    ) -> None:
        database.record_create(table, {"place": "a", "number": 1, column: value})
        database.record_create(table, {"place": "a", "number": 2})
        database.record_save(table, {"place": "a", "number": 2, column: value})
        for number in (1, 2):
            found = database.record_fetch(table, place="a", number=number)[column]
            assert found == value
            assert type(found) is type(value)

    def test_a_time_of_another_zone_comes_back_as_utc(self, database: Database, table: Any) -> None:
        local = datetime(2026, 1, 1, 1, 30, 0, 5, timezone(timedelta(hours=5, minutes=45)))
        database.record_create(table, {"place": "a", "number": 1, "at": local})
        found = database.record_fetch(table, place="a", number=1)["at"]
        assert found == local
        assert found.utcoffset() == timedelta(0)

    def test_none_clears_a_column(self, database: Database, table: Any) -> None:
        database.record_create(table, {"place": "a", "number": 1, "note": "x", "more": [1]})
        database.record_save(table, {"place": "a", "number": 1, "note": None, "more": None})
        found = database.record_fetch(table, place="a", number=1)
        assert (found["note"], found["more"], found["revision"]) == (None, None, 2)

    def test_keys_tell_apart_what_a_careless_database_joins(
        self, database: Database, table: Any
    ) -> None:
        places = ["a", "A", "á", "a ", " a", "", "0", "a\u0301", "a/b", "%"]
        for place in places:
            database.record_create(table, {"place": place, "number": -1, "note": place})
        assert [
            database.record_fetch(table, place=place, number=-1)["note"] for place in places
        ] == places

    def test_a_save_changes_only_what_it_names(self, database: Database, table: Any) -> None:
        database.record_create(table, {"place": "a", "number": 1, "note": "x", "size": 5})
        assert database.record_save(table, {"place": "a", "number": 1, "size": 6}) == 2
        assert database.record_save(table, {"place": "a", "number": 1}) == 3
        found = database.record_fetch(table, place="a", number=1)
        assert (found["note"], found["size"], found["revision"]) == ("x", 6, 3)

    def test_a_save_with_an_old_revision_is_refused(self, database: Database, table: Any) -> None:
        database.record_create(table, {"place": "a", "number": 1, "size": 1})
        mine = database.record_fetch(table, place="a", number=1)
        theirs = database.record_fetch(table, place="a", number=1)
        assert database.record_save(table, {**theirs, "size": 2}) == 2
        with pytest.raises(ConflictError) as refused:
            database.record_save(table, {**mine, "size": 3})
        assert refused.value.code == "db.changed"
        assert database.record_fetch(table, place="a", number=1)["size"] == 2

    def test_eight_writers_on_one_record_lose_no_update(
        self, connect: Connect, database: Database, schema: TableSchema, table: Any
    ) -> None:
        database.record_create(table, {"place": "a", "number": 1, "size": 0})

        def write(number: int) -> None:
            own = connect()
            handle = own.table_open(schema)
            pause = random.Random(number)
            for _ in range(ROUNDS):
                for _attempt in itertools.count():
                    record = own.record_fetch(handle, place="a", number=1)
                    try:
                        own.record_save(handle, {**record, "size": record["size"] + 1})
                        break
                    except ConflictError:
                        threading.Event().wait(pause.uniform(0, 0.02))

        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(write, range(WRITERS)))
        found = database.record_fetch(table, place="a", number=1)
        assert (found["size"], found["revision"]) == (WRITERS * ROUNDS, WRITERS * ROUNDS + 1)

    def test_of_eight_writers_that_create_one_record_one_does(
        self, connect: Connect, schema: TableSchema
    ) -> None:
        connect().table_open(schema)

        def create(number: int) -> bool:
            own = connect()
            try:
                own.record_create(
                    own.table_open(schema), {"place": "a", "number": 1, "size": number}
                )
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as threads:
            assert sum(threads.map(create, range(WRITERS))) == 1

    def test_a_record_is_deleted_once_and_may_be_absent(
        self, database: Database, table: Any
    ) -> None:
        database.record_create(table, {"place": "a", "number": 1})
        database.record_create(table, {"place": "a", "number": 2})
        database.record_delete(table, {"place": "a", "number": 1, "note": "not looked at"})
        database.record_delete(table, {"place": "a", "number": 1})
        database.record_delete(table, {"place": "a", "number": 1, "revision": 4})
        assert [one["number"] for one in database.record_scan(table)] == [2]

    def test_a_delete_with_an_old_revision_is_refused(self, database: Database, table: Any) -> None:
        database.record_create(table, {"place": "a", "number": 1})
        database.record_save(table, {"place": "a", "number": 1, "size": 2})
        with pytest.raises(ConflictError) as refused:
            database.record_delete(table, {"place": "a", "number": 1, "revision": 1})
        assert refused.value.code == "db.changed"
        database.record_delete(table, {"place": "a", "number": 1, "revision": 2})
        assert database.record_count(table) == 0

    def test_a_scan_yields_each_record_of_many_pages_once(
        self, database: Database, many: Any
    ) -> None:
        assert sorted(one["number"] for one in database.record_scan(many)) == list(range(MANY))

    def test_a_scan_gives_the_columns_that_are_picked(self, database: Database, many: Any) -> None:
        found = next(iter(database.record_scan(many, owner=True, place=True, note=False)))
        assert sorted(found) == ["owner", "place"]

    def test_a_query_by_the_key_is_ordered_over_many_pages(
        self, database: Database, many: Any
    ) -> None:
        expected = [number for number in range(MANY) if number % 3]
        found = [one["number"] for one in database.record_query(many, place="here")]
        assert found == expected
        back = database.record_query(many, place="here", descending=True, columns=["number"])
        assert list(back) == [{"number": number} for number in reversed(expected)]

    def test_a_query_by_an_index_is_ordered_over_many_pages(
        self, database: Database, many: Any
    ) -> None:
        expected = [number for number in range(MANY) if number % 5]
        query: dict[str, Any] = {"index": "by_owner", "owner": "ann"}
        assert [one["number"] for one in database.record_query(many, **query)] == expected
        back = database.record_query(many, descending=True, limit=1100, **query)
        assert [one["number"] for one in back] == expected[::-1][:1100]

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [
            pytest.param({"number__ge": 4, "number__le": 8}, [4, 5, 7, 8], id="ge-le"),
            pytest.param({"number__gt": 4, "number__lt": 8}, [5, 7], id="gt-lt"),
            pytest.param({"number__ge": 4, "number__lt": 8}, [4, 5, 7], id="ge-lt"),
            pytest.param({"number__lt": 4}, [1, 2], id="lt"),
            pytest.param({"number__gt": MANY - 3}, [MANY - 2, MANY - 1], id="gt"),
            pytest.param({"number": 7}, [7], id="equal"),
            pytest.param({"number": 6}, [], id="nothing"),
            pytest.param({"number__ge": 9, "number__le": 4}, [], id="crossed"),
            pytest.param({"number__gt": 4, "number__lt": 4}, [], id="empty"),
        ],
    )
    def test_bounds_bound_a_query_and_a_count(
        self, database: Database, many: Any, bounds: Record, expected: list[int]
    ) -> None:
        query = {"place": "here", **bounds}
        assert [one["number"] for one in database.record_query(many, **query)] == expected
        back = database.record_query(many, descending=True, **query)
        assert [one["number"] for one in back] == expected[::-1]
        assert database.record_count(many, **query) == len(expected)

    def test_times_bound_a_query_by_an_index(self, database: Database, many: Any) -> None:
        low, high = START + timedelta(seconds=1), START + timedelta(seconds=6)
        query: Record = {"index": "by_owner", "owner": "ann", "at__gt": low, "at__lt": high}
        assert [one["number"] for one in database.record_query(many, **query)] == [2, 3, 4]
        assert database.record_count(many, **query) == 3

    def test_other_columns_filter(self, database: Database, many: Any) -> None:
        query: Record = {"place": "here", "owner": "bob"}
        expected = [number for number in range(MANY) if number % 3 and not number % 5]
        found = [one["number"] for one in database.record_query(many, limit=40, **query)]
        assert found == expected[:40]
        assert database.record_count(many, **query) == len(expected)
        assert database.record_count(many, place="here", note=None, size=None) == 1000
        assert database.record_count(many, place="here", note="x") == 0
        by_index: Record = {"index": "by_owner", "owner": "bob", "place": "there"}
        assert database.record_count(many, **by_index) == MANY // 15

    def test_all_are_counted(self, database: Database, many: Any) -> None:
        assert database.record_count(many) == MANY
        assert database.record_count(many, place="here") == MANY * 2 // 3
        assert database.record_count(many, index="by_owner", owner="ann") == MANY * 4 // 5
        assert database.record_count(many, place="nowhere") == 0

    def test_a_generator_may_be_left(self, database: Database, many: Any) -> None:
        for _ in range(11):
            assert next(iter(database.record_scan(many, number=True)))
        assert database.record_count(many, place="here", number=1) == 1

    def test_texts_are_ordered_by_code_point(self, database: Database) -> None:
        schema = TableSchema(new_name(), (Column("a"), Column("b")))
        table = database.table_open(schema)
        texts = ["", " ", "A", "Z", "_", "a", "ab", "b", "~", "é", "ﬀ", "🐍"]
        for text in reversed(texts):
            database.record_create(table, {"a": "x", "b": text})
        assert [one["b"] for one in database.record_query(table, a="x")] == texts
        between = database.record_query(table, a="x", b__gt="A", b__lt="b")
        assert [one["b"] for one in between] == ["Z", "_", "a", "ab"]
        assert [one["b"] for one in database.record_query(table, a="x", b__le=" ")] == ["", " "]
        assert database.record_count(table, a="x", b__gt="") == len(texts) - 1

    def test_integers_are_ordered_by_value(self, database: Database, table: Any) -> None:
        numbers = [-(2**63), -10, -9, 0, 2, 10, 2**63 - 1]
        for number in reversed(numbers):
            database.record_create(table, {"place": "x", "number": number})
        assert [one["number"] for one in database.record_query(table, place="x")] == numbers

    def test_a_record_without_a_value_is_not_in_an_index(
        self, database: Database, table: Any
    ) -> None:
        database.record_create(table, {"place": "a", "number": 1, "owner": "x"})
        database.record_create(table, {"place": "a", "number": 2, "at": START})
        database.record_create(table, {"place": "a", "number": 3, "owner": "x", "at": START})
        query: dict[str, Any] = {"index": "by_owner", "owner": "x"}
        assert [one["number"] for one in database.record_query(table, **query)] == [3]
        database.record_save(table, {"place": "a", "number": 1, "at": START - timedelta(1)})
        database.record_save(table, {"place": "a", "number": 3, "owner": None})
        assert [one["number"] for one in database.record_query(table, **query)] == [1]

    def test_records_of_equal_order_are_all_found(self, database: Database, table: Any) -> None:
        for number in range(20):
            database.record_create(
                table, {"place": "a", "number": number, "owner": "x", "at": START}
            )
        found = database.record_query(table, index="by_owner", owner="x", at=START)
        assert sorted(one["number"] for one in found) == list(range(20))

    def test_a_table_with_one_key_is_queried_by_it(self, database: Database) -> None:
        schema = TableSchema(new_name(), (Column("at", "time"),), DETAILS[-1:])
        table = database.table_open(schema)
        database.record_create(table, {"at": START, "note": "x"})
        assert [one["note"] for one in database.record_query(table, at=START)] == ["x"]
        assert list(database.record_query(table, at=START, note="y")) == []
        assert database.record_fetch(table, at=START)["note"] == "x"

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param({"place": "a"}, id="half-a-key"),
            pytest.param({"number": 1}, id="no-key-to-match"),
            pytest.param({"place": "a", "number": None}, id="none-in-the-key"),
            pytest.param({"place": "a", "number": 1, "nothing": 2}, id="unknown-column"),
            pytest.param({"place": "a", "number": 1, "revision": 1}, id="revision-of-a-new-one"),
            pytest.param({"place": "a", "number": 1, 'x"; DROP TABLE t; --': 1}, id="injection"),
            pytest.param({"place": 5, "number": 1}, id="integer-for-text"),
            pytest.param({"place": "a" * 513, "number": 1}, id="long-key"),
            pytest.param({"place": "a", "number": "1"}, id="text-for-integer"),
            pytest.param({"place": "a", "number": True}, id="truth-for-integer"),
            pytest.param({"place": "a", "number": 1.0}, id="number-for-integer"),
            pytest.param({"place": "a", "number": 2**63}, id="integer-over-64-bits"),
            pytest.param({"place": "a", "number": 1, "note": "a\x00b"}, id="nul"),
            pytest.param({"place": "a", "number": 1, "note": "\ud800"}, id="surrogate"),
            pytest.param({"place": "a", "number": 1, "note": b"x"}, id="bytes-for-text"),
            pytest.param({"place": "a", "number": 1, "owner": "ü" * 257}, id="long-indexed-text"),
            pytest.param({"place": "a", "number": 1, "note": "x" * 400_000}, id="huge"),
            pytest.param({"place": "a", "number": 1, "share": float("nan")}, id="nan"),
            pytest.param({"place": "a", "number": 1, "share": float("inf")}, id="infinity"),
            pytest.param({"place": "a", "number": 1, "share": 10**400}, id="huge-number"),
            pytest.param({"place": "a", "number": 1, "done": 1}, id="integer-for-truth"),
            pytest.param({"place": "a", "number": 1, "content": "x"}, id="text-for-bytes"),
            pytest.param({"place": "a", "number": 1, "at": datetime(2026, 1, 1)}, id="naive"),
            pytest.param({"place": "a", "number": 1, "at": "2026-01-01"}, id="text-for-time"),
            pytest.param({"place": "a", "number": 1, "more": {1: 2}}, id="json-with-integer-key"),
            pytest.param({"place": "a", "number": 1, "more": [float("nan")]}, id="json-with-nan"),
            pytest.param({"place": "a", "number": 1, "more": object()}, id="no-json"),
        ],
    )
    def test_bad_data_is_refused_and_nothing_is_written(
        self, database: Database, schema: TableSchema, table: Any, data: Record
    ) -> None:
        with pytest.raises(RequestError) as refused:
            database.record_create(table, data)
        assert refused.value.code == "db.invalid"
        assert schema.name in refused.value.message
        assert database.record_count(table) == 0

    @pytest.mark.parametrize(
        "criteria",
        [
            pytest.param({"number": 1}, id="nothing-matched"),
            pytest.param({"place": None}, id="none-matched"),
            pytest.param({"place__ge": "a"}, id="match-bounded"),
            pytest.param({"place": "a", "size__ge": 1}, id="other-column-bounded"),
            pytest.param({"place": "a", "number__ge": None}, id="none-as-bound"),
            pytest.param({"place": "a", "number__ge": 1, "number__gt": 1}, id="bounded-twice"),
            pytest.param({"place": "a", "number__ge": 1, "number": 1}, id="bounded-and-equal"),
            pytest.param({"place": "a", "number__like": 1}, id="unknown-suffix"),
            pytest.param({"place": "a", "number": None}, id="order-none"),
            pytest.param({"place": "a", "nothing": 1}, id="unknown-column"),
            pytest.param({"place": "a", "size": "1"}, id="wrong-type"),
            pytest.param({"place": "a", "more": [1]}, id="json"),
            pytest.param({"index": "nothing", "place": "a"}, id="unknown-index"),
            pytest.param({"index": "by_owner", "place": "a"}, id="index-not-matched"),
        ],
    )
    def test_bad_criteria_are_refused(
        self, database: Database, table: Any, criteria: dict[str, Any]
    ) -> None:
        with pytest.raises(RequestError) as queried:
            list(database.record_query(table, **criteria))
        with pytest.raises(RequestError) as counted:
            database.record_count(table, **criteria)
        assert {queried.value.code, counted.value.code} == {"db.invalid"}

    def test_other_bad_arguments_are_refused(self, database: Database, table: Any) -> None:
        key = {"place": "a", "number": 1}
        database.record_create(table, key)
        refused: list[Callable[[], object]] = [
            lambda: database.record_fetch(table, place="a"),
            lambda: database.record_fetch(table, **key, note="x"),
            lambda: list(database.record_scan(table, nothing=True)),
            lambda: list(database.record_query(table, place="a", limit=-1)),
            lambda: list(database.record_query(table, place="a", columns=["nothing"])),
            lambda: database.record_save(table, {"place": "a", "note": "x"}),
            lambda: database.record_save(table, {**key, "revision": "1"}),
            lambda: database.record_save(table, {**key, "revision": None}),
            lambda: database.record_delete(table, {"place": "a"}),
            lambda: database.record_delete(table, {**key, "nothing": 1}),
        ]
        for attempt in refused:
            with pytest.raises(RequestError):
                attempt()
        assert database.record_fetch(table, **key)["revision"] == 1

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
            f"select_{uuid.uuid4().hex[:12]}",
            (Column("user"), Column("order", "integer")),
            (Column("group"), Column("size"), Column("name", "integer"), Column("from", "time")),
            (Index("where", "group", "name"),),
        )
        table = database.table_open(schema)
        record = {"user": "u", "order": 1, "group": "g", "size": "s", "name": 1, "from": START}
        database.record_create(table, record)
        found = list(database.record_query(table, index="where", group="g", name__ge=0, size="s"))
        assert found == [{**record, "revision": 1}]
