"""Run the benchmarks: ``python -m benchmarks`` (``make bench``)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import click
import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import page, recorded  # noqa: E402  (the tests' folder is no package)
from benchmarks.apis import measure_apis  # noqa: E402
from benchmarks.burst import measure_burst  # noqa: E402
from benchmarks.figures import Comparison, Outcome  # noqa: E402
from benchmarks.first_result import measure_first_result  # noqa: E402
from benchmarks.memory import measure_memory  # noqa: E402
from benchmarks.parts import measure_parts  # noqa: E402
from benchmarks.portal import measure_portal  # noqa: E402
from benchmarks.refill import measure_refill  # noqa: E402
from benchmarks.rounds import FULL, QUICK, Rounds  # noqa: E402
from benchmarks.scale import measure_scale  # noqa: E402
from benchmarks.spawn import measure_cold, measure_warm  # noqa: E402
from benchmarks.stand import Stand, say, two_hubs  # noqa: E402
from benchmarks.stops import measure_stops  # noqa: E402

#: On the two hubs, with no pool and then with one, in this order.
COLD: dict[str, Callable[[Stand, Rounds], Awaitable[Outcome]]] = {"cold": measure_cold}
WARM: dict[str, Callable[[Stand, Rounds], Awaitable[Outcome]]] = {
    "warm": measure_warm,
    "browser": measure_first_result,
    "stops": measure_stops,
    "refill": measure_refill,
    "memory": measure_memory,
    "burst": measure_burst,
    "parts": measure_parts,
}
ALL = (*COLD, *WARM, "scale", "portal", "apis")


@click.command()
@click.option("--only", type=click.Choice(ALL), multiple=True, help="These alone.")
@click.option("--quick", is_flag=True, help="A few rounds, to see that all goes well.")
@click.option("--record", is_flag=True, help="Record the ratios, for later runs to reach.")
@click.option(
    "--keep/--discard", default=None, help="Whether the page is written; by default if not quick."
)
def main(*, only: tuple[str, ...], quick: bool, record: bool, keep: bool | None) -> None:
    """Measure, and write docs/benchmarks.md; fail if a ratio is worse than the recorded one.

    A ratio is worse if its whole 95% interval is more than a fifth above the recorded ratio.
    """
    # what was begun is taken away in order, however the run ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    comparisons: list[Comparison] = []
    failures: list[str] = []
    for found in _measure(set(only or ALL), QUICK if quick else FULL):
        outcome = msgspec.structs.replace(found, machine=page.machine())
        comparisons += outcome.comparisons
        failures += [
            f"{one.title}: {one.found}" for one in outcome.limits if _must(outcome, one.met)
        ]
        if not quick if keep is None else keep:
            page.keep(outcome)
            page.write()
        click.echo("\n".join(page.summary([outcome])) + "\n")
    if record:
        recorded.record(comparisons)
    failures += recorded.worse(comparisons, recorded.load())
    if failures:
        raise click.ClickException("worse than before:\n" + "\n".join(failures))


def _must(outcome: Outcome, met: bool) -> bool:
    """Whether a limit that is not met fails the run; most of them are reported alone."""
    return outcome.name == "portal" and not met


def _measure(wanted: set[str], rounds: Rounds) -> Iterator[Outcome]:
    if wanted & {*COLD, *WARM}:
        with two_hubs() as stand:
            for name in (one for one in COLD if one in wanted):
                yield asyncio.run(COLD[name](stand, rounds))
            if wanted & {*WARM}:
                say(f"a pool of {rounds.batch} from now on")
                stand.set_pool(rounds.batch)
            for name in (one for one in WARM if one in wanted):
                yield asyncio.run(WARM[name](stand, rounds))
    if "scale" in wanted:
        yield asyncio.run(measure_scale(rounds))
    if "portal" in wanted:
        yield measure_portal(rounds)
    if "apis" in wanted:
        yield asyncio.run(measure_apis(rounds))


if __name__ == "__main__":
    main()
