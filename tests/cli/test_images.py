"""Which images an installation asks for, and removing those that it no longer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from juliabox_cli import commands_images, config_file, images
from juliabox_cli.config_template import TEMPLATE
from juliabox_cli.main import cli
from juliabox_cli.state import State


@pytest.mark.parametrize(
    ("text", "variable", "source"),
    [
        ("", "debian", "debian"),
        (TEMPLATE, "debian", "debian"),
        ("images: {julia_source: auto}", "debian", "auto"),
        ("images: {julia_source: official}", "debian", "official"),
        ("images: {registry: a.example}", "debian", "debian"),
    ],
    ids=["unset", "first-file", "auto", "official", "another-key"],
)
def test_what_the_file_says_of_julia_wins_over_the_variable(
    text: str, variable: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JULIA_SOURCE", variable)
    config = config_file.check(Path("config.yaml"), text)
    assert images.options(config).julia_source == source


def test_pruning_removes_on_request_what_other_sources_left(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def prune(engine: Any, source: Path, options: Any) -> list[str]:
        asked.append((source, options.julia_source))
        return ["juliabox/julia:0123"]

    monkeypatch.setattr(images.image_build, "prune_images", prune)
    monkeypatch.setenv("JULIA_SOURCE", "debian")
    result = CliRunner().invoke(cli, ["image", "prune"])
    assert (result.exit_code, result.output) == (0, "juliabox/julia:0123\n")
    assert asked == [(images.source_folder(), "debian")]
    assert commands_images.COMMANDS
