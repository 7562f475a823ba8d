"""What the tests of cloud plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.aws_server import AwsServer, FaultyServer, faulty_server
from support.one_at_a_time_moto import moto


@pytest.fixture(scope="session")
def aws_process() -> Iterator[AwsServer]:
    with moto() as url:
        yield AwsServer(url)


@pytest.fixture
def aws(aws_process: AwsServer) -> AwsServer:
    """AWS with nothing in it."""
    aws_process.reset()
    return aws_process


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server
