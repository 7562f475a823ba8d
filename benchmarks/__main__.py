"""Run the benchmarks: ``python -m benchmarks`` (``make bench``)."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import docker

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.filled_portal import Filling  # noqa: E402  (the tests' folder is no package)
from benchmarks.hubs import Hub, plain_dockerspawner  # noqa: E402
from benchmarks.portal import measure_portal  # noqa: E402
from benchmarks.spawn import Comparison, at_once, one_at_a_time  # noqa: E402
from support.installation import Installation  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks.md"
STARTS = "Start of a session, cold: request to ready"
PORTAL = "Portal"


@click.command()
@click.option("--only", type=click.Choice(["starts", "portal"]), help="One of them alone.")
@click.option("--pairs", default=15, help="Interleaved pairs of single starts.")
@click.option("--batches", default=3, help="Interleaved pairs of batches.")
@click.option("--count", default=10, help="Starts in a batch.")
@click.option("--rounds", default=40, help="Requests for each of the portal's pages.")
def main(*, only: str | None, pairs: int, batches: int, count: int, rounds: int) -> None:
    """Measure, and write the figures to docs/benchmarks.md; fail if the portal is too slow.

    Starts are measured on a fresh installation and on its peer, the portal by itself.
    """
    slow: list[str] = []
    if only in {None, "starts"}:
        _write(STARTS, _starts(pairs, batches, count))
    if only in {None, "portal"}:
        result = measure_portal(Filling(), rounds)
        _write(PORTAL, result.section())
        slow = result.slow
    click.echo(PAGE.read_text())
    if slow:
        raise click.ClickException("too slow: " + "; ".join(slow))


def _starts(pairs: int, batches: int, count: int) -> list[str]:
    """Return the comparison with plain DockerSpawner as Markdown."""
    with Installation.fresh(ROOT) as installation:
        images = json.loads((installation.state / "run" / "manager.json").read_text())["images"]
        control = docker.from_env().containers.get(f"{installation.name}-manager").image.id
        ours = Hub("JuliaBox", installation.url, installation.juliabox("token", "admin").strip())
        with plain_dockerspawner(control, images["juliabox/julia"]) as peer:
            results = asyncio.run(_measure(ours, peer, pairs, batches, count))
    engine = docker.from_env().version()
    return [
        f"Docker {engine['Version']}. Both hubs run the same session image on one machine, in one",
        "run and in turns; the ratio is the geometric mean over pairs with its 95% interval.",
        "",
        "| starts | pairs | JuliaBox: median (range) | plain DockerSpawner | ratio (95%) |",
        "| --- | --- | --- | --- | --- |",
        *[result.line() for result in results],
        "",
    ]


async def _measure(ours: Hub, peer: Hub, pairs: int, batches: int, count: int) -> list[Comparison]:
    return [
        await one_at_a_time(ours, peer, pairs),
        await at_once(ours, peer, batches, count),
    ]


def _write(title: str, lines: list[str]) -> None:
    """Put a section into the page of figures, in the place of the one before."""
    load = os.getloadavg()[0]
    machine = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, load {load:.1f} at the end."
    )
    head, *sections = re.split(r"^(?=## )", PAGE.read_text(), flags=re.MULTILINE)
    kept = {one.partition("\n")[0].removeprefix("## "): one for one in sections}
    kept[title] = "\n".join([f"## {title}", "", machine, "", *lines])
    PAGE.write_text("\n\n".join(part.strip() for part in (head, *kept.values())) + "\n")


if __name__ == "__main__":
    main()
