"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juliabox_cli.units import parse_duration, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 * 1024**3), ("512M", 512 * 1024**2), ("1.5g", 1536 * 1024**2), ("7", 7), (7, 7)],
)
def test_a_size_is_read_as_powers_of_1024(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("90s", 90), ("7d", 604800), ("1.5m", 90), (0, 0)]
)
def test_a_duration_is_read_as_seconds(text: object, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "G", "-1", -1, True, None, "1 week", "1e9", [], "٣G2"])
def test_what_is_neither_is_refused_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_size(text)
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@given(st.integers(0, 2**44))
def test_a_shown_size_reads_back_within_its_precision(size: int) -> None:
    assert abs(parse_size(show_size(size)) - size) <= size * 0.05
