"""The page of results, its plots, and what is read of a machine's processes."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.costs import process_cpu, tree
from benchmarks.figures import Bars, Comparison, Curves, Figure, Limit, Outcome, Points
from benchmarks.memory import JULIA, JUPYTER, KERNEL, OTHER, kind_of
from support.documentation import Page

HEAD = "# Benchmarks\n\nHow it is measured.\n"


def outcome(name: str = "warm", seconds: float = 0.1) -> Outcome:
    comparison = Comparison("warm.1", "one, warm", [seconds] * 3, [1.0] * 3)
    return Outcome(
        name,
        f"Start, {name}",
        "In turns.",
        [comparison],
        [Figure("the slowest", [seconds])],
        [Limit("Start", "at most 0.5 s", f"{seconds} s", seconds <= 0.5)],
        ["A note."],
        [
            Points("Starts", "seconds", [("one", {"ours": [seconds, 0.2], "theirs": [1.0]})]),
            Bars("Memory", "MiB", [("ours", {"Jupyter": 80.0, "Julia": 90.0})]),
            Curves("Latency", "seconds", "ms", {"ours": ([0.0, 1.0], [2.0, 3.0])}, limit=250.0),
        ],
        "2026-11-25: 2 cores.",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "page.md").write_text(f"{HEAD}\n{page.MARK}\n\nof an older run\n")
    return tmp_path


def make(folder: Path, *outcomes: Outcome) -> Page:
    """Return the page after these were found."""
    for one in outcomes:
        page.keep(one, folder / "results.json")
    page.write(folder / "page.md", folder / "images", folder / "results.json")
    return Page.read(folder / "page.md")


def test_the_head_stays_and_what_an_older_run_wrote_goes(folder: Path) -> None:
    made = make(folder, outcome())
    assert made.text.startswith(HEAD)
    assert "of an older run" not in made.text
    assert make(folder, outcome()).text == made.text


def test_a_benchmark_alone_leaves_the_others_results(folder: Path) -> None:
    make(folder, outcome("warm"), outcome("cold"))
    made = make(folder, outcome("warm", 0.7))
    assert made.headings == ["Benchmarks", "What was asked for", "Start, cold", "Start, warm"]
    rows = made.section("What was asked for").rows()
    assert [row["measured"] for row in rows] == ["0.1 s", "0.7 s"]
    assert "**not met**" in made.text


def test_a_comparison_shows_both_medians_and_the_ratio(folder: Path) -> None:
    row = make(folder, outcome()).section("Start, warm").rows()[0]
    assert row["JuliaBox"].startswith("100 ms") and row["pairs"] == "3"
    assert row["ratio (95%)"] == "0.1 (0.1 to 0.1)"


def test_plots_follow_the_readers_scheme_and_have_no_fixed_ink(folder: Path) -> None:
    made = make(folder, outcome())
    assert len(made.links) == 3
    for link in made.links:
        text = (folder / link).read_text()
        assert ET.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme: dark" in text and "var(--ink)" in text
        assert not re.search(r"#0{6}|#f{6}|#010203|#040506", text)


def test_a_plot_of_the_same_figures_is_the_same_file(folder: Path) -> None:
    make(folder, outcome())
    first = {path.name: path.read_text() for path in (folder / "images").iterdir()}
    make(folder, outcome())
    assert first == {path.name: path.read_text() for path in (folder / "images").iterdir()}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("/opt/venv/bin/python /opt/juliabox/juliabox_entry.py", JUPYTER),
        ("/opt/venv/bin/python /opt/venv/bin/jupyterhub-singleuser", JUPYTER),
        ("/usr/bin/tini -- /opt/venv/bin/python /opt/juliabox/juliabox_entry.py", OTHER),
        ("python -I -S /opt/juliabox/juliabox_output.py python juliabox_entry.py", OTHER),
        ("/opt/venv/bin/python -m juliabox_kernel -f /run/k.json", KERNEL),
        ("/usr/bin/julia --startup-file=no", JULIA),
    ],
    ids=["ours", "plain", "init", "output", "kernel", "julia"],
)
def test_processes_of_a_session_are_told_apart(command: str, kind: str) -> None:
    assert kind_of(command) == kind


def test_costs_of_this_process_can_be_read() -> None:
    mine = next(tree(os.getpid()))
    assert 1 < mine.pss <= mine.rss
    assert process_cpu(os.getpid()) > 0
