"""The part of a database's contract suite about queries, scans and counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from juliabox_ext.db import Column, Database, Record, TableSchema
from juliabox_ext.testing.db_samples import DETAILS, MANY, START, new_name


class QueriesSuite:
    """What every database finds."""

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
