"""From zero, from one worker to many under load, and back to zero."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx

from benchmarks.api_stand import BLANK, IDLE, MOST, PUBLISHER, SOURCE, until
from benchmarks.rounds import Rounds
from benchmarks.stand import say
from support.apis import PREFIX, Apis, api_containers

#: Callers under which an API grows, seconds of each of their calls, and seconds of the load.
CROWD, WORK, LOAD = 32, 0.2, 30.0
NAME = "grows"


@dataclass
class Growth:
    """Seconds, one for each time that it was done."""

    #: Until the first answer, with no container before.
    zero: list[float] = field(default_factory=list)
    #: From the first of many calls until as many containers as there may be have answered.
    grown: list[float] = field(default_factory=list)
    #: From the last call until there is no container.
    gone: list[float] = field(default_factory=list)


async def measure_growth(apis: Apis, rounds: Rounds) -> Growth:
    """Let an API go to zero, start from there, grow, and go to zero again."""
    found = Growth()
    apis.save(PUBLISHER, NAME, SOURCE, ["fib", "works"], maximum=MOST)
    for number in range(rounds.api_zeros + 1):
        await _none(apis)
        took = await asyncio.to_thread(_first, apis)
        if number:
            found.zero.append(took)
        say(f"from zero: {took:.2f} s, {number}/{rounds.api_zeros}")
    for number in range(rounds.api_growths):
        await _none(apis)
        await asyncio.to_thread(_first, apis)
        took, ended = await _grow(apis)
        found.grown.append(took)
        found.gone.append(await _none(apis) - ended)
        say(f"grown: {took:.2f} s, {number + 1}/{rounds.api_growths}")
    apis.manage("DELETE", f"apis/{PUBLISHER}/{NAME}")
    return found


async def _none(apis: Apis) -> float:
    """Wait until the API has no container and a blank one is kept; return when it had none."""
    seen = await until(
        lambda: apis.containers(PUBLISHER, NAME) == 0, 10 * IDLE + 60, "back to zero"
    )
    await until(
        lambda: len(api_containers(apis.installation)) >= BLANK, 60, "a blank API container"
    )
    # one that runs has yet to load what it is made of
    await asyncio.sleep(5)
    return seen


def _first(apis: Apis) -> float:
    began = time.perf_counter()
    answer = apis.call(f"{PUBLISHER}/{NAME}/fib/30")
    took = time.perf_counter() - began
    if answer.status_code != 200:
        raise RuntimeError(f"from zero: {answer.status_code} {answer.text[:300]}")
    return took


async def _grow(apis: Apis) -> tuple[float, float]:
    """Call at once; return the seconds until all containers have answered, and when it ended."""
    path = f"{PREFIX}/{PUBLISHER}/{NAME}/works/{WORK}"
    #: Container -> when it was first heard of.
    heard: dict[str, float] = {}
    began = time.perf_counter()

    async def call(http: httpx.AsyncClient) -> None:
        while len(heard) < MOST and time.perf_counter() - began < LOAD:
            answer = await http.get(path)
            if answer.status_code != 200:
                raise RuntimeError(f"growing: {answer.status_code} {answer.text[:300]}")
            heard.setdefault(answer.text, time.perf_counter())

    limits = httpx.Limits(max_connections=CROWD)
    url = apis.installation.url
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        await asyncio.gather(*(call(http) for _ in range(CROWD)))
    if len(heard) < MOST:
        raise RuntimeError(f"only {len(heard)} of {MOST} containers answered in {LOAD:g} s")
    return max(heard.values()) - began, time.perf_counter()
