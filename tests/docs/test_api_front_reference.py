"""Figures of the API engine's answers stand in their page."""

from __future__ import annotations

from collections.abc import Callable

from juliabox_services.api.metrics import Metrics
from support.documentation import Page, code


def test_each_figure_of_answers_is_told_with_type_and_labels(
    reference: Callable[[str], Page],
) -> None:
    rows = reference("metrics").section("Answers of the API engine").rows()
    told = {code(row["metric"])[0]: (row["type"], code(row["labels"])) for row in rows}
    instruments = [one for one in vars(Metrics()).values() if hasattr(one, "_labelnames")]
    assert told == {one._name: (one._type, list(one._labelnames)) for one in instruments}
