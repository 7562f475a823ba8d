"""Run the benchmarks: ``python -m benchmarks`` (``make bench``)."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import docker

from benchmarks import portal
from benchmarks.hubs import Hub, plain_dockerspawner
from benchmarks.spawn import Comparison, at_once, one_at_a_time

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.installation import Installation  # noqa: E402  (the tests' folder is no package)


@click.command()
@click.option("--pairs", default=15, help="Interleaved pairs of single starts.")
@click.option("--batches", default=3, help="Interleaved pairs of batches.")
@click.option("--count", default=10, help="Starts in a batch.")
def main(pairs: int, batches: int, count: int) -> None:
    """Measure starts on a fresh installation and on its peer, and write docs/benchmarks.md."""
    with Installation.fresh(ROOT) as installation:
        images = json.loads((installation.state / "run" / "manager.json").read_text())["images"]
        control = docker.from_env().containers.get(f"{installation.name}-manager").image.id
        ours = Hub("JuliaBox", installation.url, installation.juliabox("token", "admin").strip())
        with plain_dockerspawner(control, images["juliabox/julia"]) as peer:
            results = asyncio.run(_measure(ours, peer, pairs, batches, count))
    page = "\n".join([_page(results), *portal.section(portal.measure())])
    (ROOT / "docs" / "benchmarks.md").write_text(page)
    click.echo(page)


async def _measure(ours: Hub, peer: Hub, pairs: int, batches: int, count: int) -> list[Comparison]:
    return [
        await one_at_a_time(ours, peer, pairs),
        await at_once(ours, peer, batches, count),
    ]


def _page(results: list[Comparison]) -> str:
    engine = docker.from_env().version()
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Made by `make bench`. Both hubs run the same session image on one machine, in one",
            "run and in turns; the ratio is the geometric mean over pairs with its 95% interval.",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
            f"Docker {engine['Version']}.",
            "",
            "## Start of a session, cold: request to ready",
            "",
            "| starts | pairs | JuliaBox: median (range) | plain DockerSpawner | ratio (95%) |",
            "| --- | --- | --- | --- | --- |",
            *[result.line() for result in results],
            "",
        ]
    )


if __name__ == "__main__":
    main()
