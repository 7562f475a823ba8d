"""Published functions: how fast calls are beside two peers, from zero, as load grows, and when
others are slow.

The peers are the kernel gateway, which serves functions of a notebook, and an echo that does what
any engine must do at least, behind the same proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from dataclasses import dataclass, field

from benchmarks.api_growth import Growth, measure_growth
from benchmarks.api_peers import echo_behind_the_proxy, gateway_folder, kernel_gateway, outside
from benchmarks.api_slow import Slowed, measure_slow
from benchmarks.api_stand import BLANK, IDLE, MOST, PUBLISHER, SOURCE, api_stand
from benchmarks.caller import calling
from benchmarks.costs import busy_seconds
from benchmarks.figures import (
    OURS,
    Comparison,
    Figure,
    Limit,
    Outcome,
    Plot,
    Points,
    Ratio,
    at_most,
    times_faster,
)
from benchmarks.rounds import Rounds
from benchmarks.stand import PATIENCE, QUIET, say
from support.apis import PREFIX, Apis

ECHO = "bare echo"
#: The kernel gateway as it comes, with one kernel, and with as many as gain anything on two cores.
GATEWAYS = {1: "kernel gateway, one kernel", 2: "kernel gateway, two kernels"}
#: Programs that call at once.
CALLERS = (1, 16)
FIB_30 = "832040"


@dataclass
class Side:
    """One that is called, and what was measured in each round: milliseconds, by callers."""

    label: str
    url: str
    wanted: str
    median: dict[int, list[float]] = field(default_factory=lambda: {one: [] for one in CALLERS})
    each: dict[int, list[float]] = field(default_factory=lambda: {one: [] for one in CALLERS})


async def measure_apis(rounds: Rounds) -> Outcome:
    """Publish functions, and measure all of it."""
    with api_stand() as apis:
        with contextlib.ExitStack() as peers:
            place = peers.enter_context(gateway_folder())
            sides = [
                Side(label, peers.enter_context(kernel_gateway(place, kernels)), FIB_30)
                for kernels, label in GATEWAYS.items()
            ]
            echo = peers.enter_context(echo_behind_the_proxy(apis.installation))
            sides = [_published(apis), *sides, Side(ECHO, echo, "30")]
            await _side_by_side(sides, rounds)
            apis.manage("DELETE", f"apis/{PUBLISHER}/bench")
        growth = await measure_growth(apis, rounds)
        slowed = await measure_slow(apis, rounds)
    return outcome(sides, growth, slowed, rounds)


def _published(apis: Apis) -> Side:
    """Publish the function, with as many workers as gain anything on two cores."""
    apis.save(PUBLISHER, "bench", SOURCE, ["fib"], minimum=2, maximum=2, workers=2)
    apis.await_answer(f"{PUBLISHER}/bench/fib/30", 60)
    return Side(OURS, f"{outside(apis.installation)}{PREFIX}/{PUBLISHER}/bench/fib/30", FIB_30)


async def _side_by_side(sides: list[Side], rounds: Rounds) -> None:
    """Call each in turns, each first in some of them; one turn more only warms up."""
    for number in range(rounds.api_rounds + 1):
        first = number % len(sides)
        for callers in CALLERS:
            for side in sides[first:] + sides[:first]:
                await _settle()
                seconds = rounds.api_seconds if number else 2.0
                calls = await calling(side.url, side.wanted, callers=callers, seconds=seconds)
                if number:
                    side.median[callers].append(1000 * statistics.median(calls.took))
                    side.each[callers].append(1000 * calls.each)
        say(f"calls: {number}/{rounds.api_rounds}")


async def _settle() -> None:
    """Wait until the machine has nothing left to do, as long as that may take."""
    for _ in range(PATIENCE):
        before = busy_seconds()
        await asyncio.sleep(0.5)
        if busy_seconds() - before < QUIET / 2:
            break


def outcome(sides: list[Side], growth: Growth, slowed: Slowed, rounds: Rounds) -> Outcome:
    """Return what was found."""
    ours, gateway, two, echo = sides
    comparisons = [
        _compare("apis.gateway.1", ours, gateway, 1),
        _compare("apis.gateway.16", ours, gateway, 16),
        _compare("apis.gateway.16.two", ours, two, 16),
        _compare("apis.echo.1", ours, echo, 1),
        _compare("apis.echo.16", ours, echo, 16),
        _compare("apis.echo.16.median", ours, echo, 16, "median"),
    ]
    one, many, many_two, echo_one, echo_many, echo_middle = (made.ratio for made in comparisons)
    limits = [
        times_faster("A call against the kernel gateway, one caller", one, 8, whole=False),
        times_faster("Calls a second against it, 16 callers", many, 15, whole=False),
        times_faster("The same if it has two kernels", many_two, 15, whole=False),
        _at_most_twice("A call against a bare echo behind the same proxy, one caller", echo_one),
        _at_most_twice("Time for each call against that echo, 16 callers", echo_many),
        _at_most_twice("A call against that echo, 16 callers", echo_middle),
        at_most("First answer from zero", max(growth.zero), 2.0, "s", less=True),
        at_most(f"From one worker to {MOST} under load", max(growth.grown), 5.0, "s"),
        Limit(
            f"A normal caller's p99 beside {slowed.clients:,} slow clients",
            "at most twice", f"{slowed.ratio:.2f} times", slowed.ratio <= 2,
        ),
    ]  # fmt: skip
    return Outcome(
        "apis",
        "Published functions",
        _method(rounds),
        comparisons,
        [
            Figure("first answer of an API that had no container", growth.zero),
            Figure(f"from one worker to {MOST}, {BLANK} blank container kept", growth.grown),
            Figure(f"from the last call to no container, idle time {IDLE:g} s", growth.gone),
            Figure("a normal caller's p99, alone", [slowed.alone]),
            Figure(f"the same beside {slowed.clients:,} slow clients", [slowed.beside]),
        ],
        limits,
        ["\n".join(_table(sides))],
        [_plot(sides)],
    )


def _compare(key: str, ours: Side, peer: Side, callers: int, what: str = "") -> Comparison:
    """Compare what a call takes for its caller, or (of many callers, unless told) for the side."""
    what = what or ("median" if callers == 1 else "each")
    subject = "a call" if what == "median" else "time for each call"
    title = f"{subject}, one caller" if callers == 1 else f"{subject}, {callers} callers"
    found = [getattr(side, what)[callers] for side in (ours, peer)]
    return Comparison(key, title, found[0], found[1], "ms", (OURS, peer.label))


def _at_most_twice(title: str, ratio: Ratio) -> Limit:
    return Limit(title, "at most twice", f"{ratio} times", ratio.middle <= 2)


def _method(rounds: Rounds) -> str:
    return (
        "The same iterative `fib(30)` on all sides, called by a program of its own over "
        "connections that are kept. Ours is public and has two containers of two workers; "
        "calls come by way of the proxy, as everybody's do, and as from another machine: not "
        "through the program with which Docker serves the machine's own loopback address. The"
        " kernel gateway has one Python kernel, which is its default, or two, started before,"
        " and no proxy. More of either gain nothing on two cores. The echo is tornado that "
        "hands the number to another process by ZMQ, in a container behind the very proxy; it"
        f" knows no publisher, no access rule, no limit and no log. {rounds.api_rounds} rounds"
        f" of {rounds.api_seconds:g} s each, in turns. From zero: the API has had no call for "
        f"{IDLE:g} s, so no container; one blank API container is kept. Under load: 32 callers"
        " whose calls take 0.2 s. Slow clients send a byte a second, half of them in their "
        "headers, half in a body."
    )


def _table(sides: list[Side]) -> list[str]:
    lines = ["| | callers | p50 | calls a second |", "| --- | --- | --- | --- |"]
    for side in sides:
        for callers in CALLERS:
            middle = statistics.median(side.median[callers])
            rate = 1000 / statistics.median(side.each[callers])
            lines.append(f"| {side.label} | {callers} | {middle:.2f} ms | {rate:,.0f} |")
    return lines


def _plot(sides: list[Side]) -> Plot:
    rows = [
        (title, {side.label: getattr(side, what)[callers] for side in sides})
        for title, what, callers in (
            ("a call, one caller", "median", 1),
            ("a call, 16 callers", "median", 16),
            ("time for each of them", "each", 16),
        )
    ]
    return Points("Calls of a published function", "milliseconds", rows)
