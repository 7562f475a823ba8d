"""Declarations and settings that no database takes are refused, before anything is reached."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from juliabox_ext.db import Column, Index, TableSchema
from juliabox_ext.errors import RequestError
from juliabox_plugins.dynamodb import DynamoDBSettings
from juliabox_plugins.rdbms import RdbmsSettings

KEY = Column("a")
JSON = Column("b", "json")


@pytest.mark.parametrize(
    "declared",
    [
        pytest.param({"keys": ()}, id="no-key"),
        pytest.param({"keys": (KEY, Column("b"), Column("c"))}, id="three-keys"),
        pytest.param({"keys": (Column("a", "number"),)}, id="number-as-key"),
        pytest.param({"name": 't"; DROP TABLE t; --', "keys": (KEY,)}, id="quoted-table"),
        pytest.param({"name": "T", "keys": (KEY,)}, id="upper-case-table"),
        pytest.param({"name": "t\n", "keys": (KEY,)}, id="line-break"),
        pytest.param({"name": "t" * 25, "keys": (KEY,)}, id="long-table"),
        pytest.param({"keys": (Column("a__b"),)}, id="two-underscores"),
        pytest.param({"keys": (Column("_a"),)}, id="underscore-first"),
        pytest.param({"keys": (Column("limit"),)}, id="name-of-an-argument"),
        pytest.param({"keys": (KEY,), "attributes": (Column("revision"),)}, id="revision"),
        pytest.param({"keys": (KEY,), "attributes": (KEY,)}, id="column-twice"),
        pytest.param({"keys": (KEY,), "indexes": (Index("i", "b"),)}, id="index-over-nothing"),
        pytest.param(
            {"keys": (KEY,), "attributes": (JSON,), "indexes": (Index("i", "b"),)},
            id="index-over-json",
        ),
        pytest.param({"keys": (KEY,), "indexes": (Index("i", "a"),) * 2}, id="index-twice"),
        pytest.param({"keys": (KEY,), "indexes": (Index("i", "a", "a"),)}, id="index-by-itself"),
        pytest.param({"keys": (KEY,), "indexes": (Index("I-1", "a"),)}, id="index-name"),
    ],
)
def test_a_declaration_that_cannot_be_honoured_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        TableSchema(**{"name": "t", **declared})
    assert refused.value.code == "db.schema"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://root:hidden@host/db", id="other-database"),
        pytest.param("postgresql+psycopg2://root:hidden@host/db", id="other-driver"),
        pytest.param("hidden", id="no-url"),
        pytest.param("postgresql://root:hidden@host:port/db", id="port-no-number"),
        pytest.param("sqlite://", id="memory"),
        pytest.param("sqlite:///hidden.sqlite", id="relative-file"),
    ],
)
def test_a_url_of_no_use_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RdbmsSettings.model_validate({"url": url})
    (error,) = refused.value.errors(include_input=False)
    assert "hidden" not in str(error)


def test_secrets_are_not_shown() -> None:
    rdbms = RdbmsSettings.model_validate({"url": "postgresql://root:hidden@host/db"})
    dynamodb = DynamoDBSettings.model_validate(
        {"access_key_id": "key", "secret_access_key": "hidden"}
    )
    assert "hidden" not in f"{rdbms!r}{rdbms.model_dump_json()}{dynamodb!r}"


@pytest.mark.parametrize("prefix", ["", "J_", "a b_", 'x"_', "juliabox", "juliabox_tables_"])
def test_a_prefix_that_names_cannot_begin_with_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        RdbmsSettings.model_validate({"table_prefix": prefix})
