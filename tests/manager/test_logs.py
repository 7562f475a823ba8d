"""Logs: one JSON object a line, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from juliabox_manager import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    logs.configure("manager", stream=stream)
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
