"""The part of a database's contract suite about single records: made, fetched, changed, deleted."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from juliabox_ext.db import Database, TableSchema
from juliabox_ext.errors import ConflictError, NotFoundError
from juliabox_ext.testing.db_samples import DETAILS, ROUNDS, START, WRITERS, Connect


class RecordsSuite:
    """What every database does with a record."""

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
