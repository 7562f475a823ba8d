"""The fakes keep the contracts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from juliabox_ext.testing.cloud_fake import (
    FakeBucketStore,
    FakeCompute,
    FakeDns,
    FakeSendMail,
    SentMail,
)
from juliabox_ext.testing.cloud_suite import BucketStoreSuite, ComputeSuite, DnsSuite, SendMailSuite
from support.plugin_maker import make


class TestFakeSendMail(SendMailSuite):
    @pytest.fixture
    def mail(self, tmp_path: Path) -> FakeSendMail:
        return make(FakeSendMail, tmp_path)

    @pytest.fixture
    def delivered(self, mail: FakeSendMail) -> Callable[[], Sequence[SentMail]]:
        return lambda: mail.sent


class TestFakeCompute(ComputeSuite):
    @pytest.fixture
    def compute(self, tmp_path: Path) -> FakeCompute:
        return make(FakeCompute, tmp_path)


class TestFakeBucketStore(BucketStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FakeBucketStore:
        return make(FakeBucketStore, tmp_path)


class TestFakeDns(DnsSuite):
    @pytest.fixture
    def dns(self, tmp_path: Path) -> FakeDns:
        return make(FakeDns, tmp_path)

    @pytest.fixture
    def aliases(self, dns: FakeDns) -> Callable[[], Mapping[str, str]]:
        return lambda: dns.aliases
