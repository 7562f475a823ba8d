"""Logs: one JSON object a line, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from juliabox_manager import logs
from juliabox_manager.log_batches import BatchHandler

#: Loggers that these tests use.
SPOKEN = ("juliabox.test", "elsewhere", "some.name")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    # what another test left behind may be collected, and told of, at any moment
    monkeypatch.setattr(logging.getLogger("asyncio"), "propagate", False)
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    logs.configure("manager", stream=stream)
    # nor is it this test's matter what threads say that another one left
    logging.root.handlers[0].addFilter(lambda record: record.name in SPOKEN)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "secret",
    [
        {"environment": {"A": "canary"}},
        {"env": ["A=canary"]},
        {"JUPYTERHUB_API_TOKEN": "canary"},
        {"request": {"headers": [{"Authorization": "canary"}]}},
        {"admin_password": "canary"},
        {"cookie_secret": "canary"},
        {"secret_key": "canary"},
        {"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": "canary"}}}}}}}},
    ],
    ids=lambda secret: next(iter(secret)),
)
def test_secrets_are_hidden_by_the_name_of_their_key(
    written: io.StringIO, secret: dict[str, Any]
) -> None:
    structlog.get_logger("juliabox.test").info("said", owner="ada", **secret)
    line = json.loads(written.getvalue())
    assert "canary" not in written.getvalue()
    assert (line["owner"], line["event"], line["level"], line["part"]) == (
        *("ada", "said", "info", "manager"),
    )


def test_lines_of_the_standard_library_are_json_too(written: io.StringIO) -> None:
    logging.getLogger("elsewhere").warning("two\nlines of %s", "ada")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["event"] == "two\nlines of ada"


def test_a_traceback_is_one_line_and_a_long_text_is_cut(written: io.StringIO) -> None:
    try:
        raise ValueError("x" * 10_000)
    except ValueError:
        structlog.get_logger("juliabox.test").exception("failed", detail="y" * 10_000)
    (line,) = written.getvalue().splitlines()
    assert "Traceback" in json.loads(line)["exception"]
    assert len(line) < 10_000


@pytest.mark.parametrize(
    ("word", "level"), [("debug", 10), ("warning", 30), ("error", 40), ("", 20), ("loud", 20)]
)
def test_the_operator_s_word_for_a_level_is_understood(word: str, level: int) -> None:
    assert logs.level({"JULIABOX_LOG_LEVEL": word}) == level


def test_lines_past_the_standard_library_are_as_all_others(written: io.StringIO) -> None:
    stream = io.StringIO()
    handler = BatchHandler(stream, gathered=60)
    lines = logs.line_logger("manager", "some.name", logging.INFO, handler)
    said: dict[str, Any] = {"path": "/ü", "token": "canary", "seconds": 0.5, "other": Path("x")}
    structlog.get_logger("some.name").info("request", **said)
    lines.info("request", **said)
    lines.debug("not at this level")
    handler.close()
    usual, short = (json.loads(text.getvalue()) for text in (written, stream))
    stamps = [datetime.fromisoformat(told.pop("timestamp")) for told in (usual, short)]
    assert stamps[1].tzinfo == UTC
    assert timedelta(0) <= stamps[1] - stamps[0] < timedelta(minutes=1)
    assert usual == short
    assert short["token"] == "[hidden]"
