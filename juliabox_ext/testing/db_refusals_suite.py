"""The part of a database's contract suite about what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from juliabox_ext.db import Database, Record, TableSchema
from juliabox_ext.errors import RequestError


class RefusalsSuite:
    """What every database refuses, and leaves as it was."""

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
