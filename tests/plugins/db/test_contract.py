"""The fake and all built-in databases run the same contract suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from juliabox_ext.testing.db_fake import FakeDatabase
from juliabox_ext.testing.db_suite import Connect, DatabaseSuite
from juliabox_plugins.dynamodb import DynamoDB
from juliabox_plugins.rdbms import Rdbms
from support.postgres import Postgres

Make = Callable[..., Any]
At = Callable[[str], Callable[[], DynamoDB]]


class TestFake(DatabaseSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls) -> Connect:
        fake = FakeDatabase()
        return lambda: fake


class TestSQLite(DatabaseSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls, sqlite: Callable[[], Rdbms]) -> Connect:
        return sqlite


class TestPostgreSQL(DatabaseSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls, make: Make, postgres: Postgres) -> Connect:
        return lambda: make(Rdbms, url=postgres.url, timeout=60.0)


class TestDynamoDBOnDynalite(DatabaseSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls, dynamodb: At, dynalite_address: str) -> Connect:
        return dynamodb(dynalite_address)


class TestDynamoDBOnMoto(DatabaseSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def connect(cls, dynamodb: At, moto_address: str) -> Connect:
        return dynamodb(moto_address)
