"""What a worker says is read strictly: it runs what its publisher wrote."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_services.api import wire


def frames(*parts: bytes) -> bytes:
    return wire.pack([b"JBW2", b"a" * 32, *parts])


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(wire.pack([]), id="no_frames"),
        pytest.param(wire.pack([b"JBW2", b"a", b"result"]), id="no_header"),
        pytest.param(frames(b"result", b"{}", b"", b""), id="a_frame_too_many"),
        pytest.param(wire.pack([b"JBW1", b"a", b"result", b"{}"]), id="another_version"),
        pytest.param(frames(b"call", b"{}"), id="an_unknown_kind"),
        pytest.param(frames(b"result", b" " * (wire.HEADER_BYTES + 1)), id="a_huge_header"),
        pytest.param(b"\xff" * 64, id="frames_without_number"),
        pytest.param(b"\x08" + bytes(3), id="frames_without_lengths"),
        pytest.param(frames(b"result", b"{}")[:-1], id="a_frame_cut_short"),
        pytest.param(frames(b"result", b"{}") + b"x", id="more_than_its_frames"),
    ],
)
def test_a_message_that_is_none_is_refused(message: bytes) -> None:
    with pytest.raises(wire.Garbled):
        wire.read(message)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_frames_come_back_as_they_went(sent: list[bytes]) -> None:
    assert wire.unpack(wire.pack(sent)) == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(message: bytes) -> None:
    with contextlib.suppress(wire.Garbled):
        assert wire.pack(wire.unpack(message)) == message


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no_utf8"),
        pytest.param(b"[]", id="no_object"),
        pytest.param(b'{"seconds": "x"}', id="seconds_in_words"),
        pytest.param(b'{"type": 1}', id="a_type_that_is_a_number"),
        pytest.param(b'{"memory": 1e400}', id="a_number_too_large"),
        pytest.param(b'{"memory": 1%s}' % (b"0" * 400), id="more_memory_than_there_can_be"),
        pytest.param(b"[" * 100_000, id="too_deep"),
        pytest.param(b'{"x":' * 50_000, id="too_deep_below_an_unknown_field"),
    ],
)
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    _, reply = wire.read(frames(b"result", header, b"1"))
    with pytest.raises(wire.Garbled):
        wire.result(reply)


def test_a_result_is_read() -> None:
    header = json.dumps({"type": "text/csv", "seconds": 0.5, "memory": 7, "printed": "hm"})
    request, reply = wire.read(frames(b"result", header.encode(), b"a,b"))
    assert (request, reply.part, reply.last) == (b"a" * 32, b"a,b", True)
    assert wire.result(reply) == wire.Result(type="text/csv", seconds=0.5, memory=7, printed="hm")


@pytest.mark.parametrize("kind", ["result", "end", "error", "loaded", "failed", "healthy"])
def test_everything_but_an_item_is_the_last_answer(kind: str) -> None:
    assert wire.read(frames(kind.encode(), b"{}"))[1].last
    assert not wire.read(frames(b"item", b"{}"))[1].last


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("text/html", True),
        ("image/svg+xml", True),
        ("text/html; charset=utf-8", True),
        ("text/html\r\nSet-Cookie: a=b", False),
        ("text/html\n", False),
        ("", False),
        ("text", False),
        ("text/" + "x" * 200, False),
    ],
)
def test_only_a_type_of_content_passes_as_one(name: str, good: bool) -> None:
    assert wire.is_type(name) is good


def test_an_item_of_several_lines_is_refused() -> None:
    assert wire.item(wire.Reply(b"item", b"{}", b"[1]")) == b"[1]"
    for text in (b"1\n\ndata: 2", b"1\r2"):
        with pytest.raises(wire.Garbled):
            wire.item(wire.Reply(b"item", b"{}", text))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e9])
def test_a_span_that_cannot_be_counts_as_none(seconds: float) -> None:
    assert wire.span(seconds) == 0.0


def test_the_end_of_what_was_printed_is_kept() -> None:
    assert wire.output("a" * 10_000 + "b") == "a" * 4095 + "b"


def test_a_source_that_fails_is_told_with_its_lines() -> None:
    told: dict[str, Any] = {
        "code": "source.syntax",
        "message": "no",
        "frames": [{"function": "f", "line": 3}],
    }
    read = wire.loaded(wire.Reply(b"failed", json.dumps(told).encode()))
    assert isinstance(read, wire.Failed)
    assert read.frames[0].line == 3


def test_a_message_is_cut() -> None:
    header = json.dumps({"code": "api.error", "message": "é" * 100_000}).encode()
    told = wire.failed(wire.Reply(b"error", header))
    assert len(told.message) == wire.MESSAGE_CHARACTERS + 1
