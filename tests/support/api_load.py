"""Mixed calls from several programs at once, each with a name of its own, and what became of each.

The names tell afterwards which of them were carried out how often: see ``support.executions``.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from support.apis import PREFIX
from support.executions import COUNTING

#: What is called: every function notes the name of its call before it does anything else.
SOURCE = (
    COUNTING
    + """
quick(id::String) = (note(id); "quick $id")
slow(id::String) = (note(id); sleep(0.4); "slow $id")
again(id::String) = (note(id); sleep(0.2); "again $id")
wrong(id::String) = (note(id); error("as asked $id"))
several(id::String) = (note(id); ("$id $n" for n in 1:3))
sums(id::String; numbers, of = 0) = (note(id); [id, sum(numbers) + of])
"""
)
FUNCTIONS = ["quick", "slow", "again", "wrong", "several", "sums"]
IDEMPOTENT = ["again"]

#: Answers that say that there is none: the proxy's own, the hub's for it, and the engine's.
REFUSALS = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Sort:
    """One sort of call, and whether an answer is the right one for a call of that name."""

    function: str
    right: Callable[[str, httpx.Response], bool]
    body: Callable[[str], object] | None = None


SORTS = [
    Sort("quick", lambda name, answer: answer.json() == f"quick {name}"),
    Sort("slow", lambda name, answer: answer.json() == f"slow {name}"),
    Sort("again", lambda name, answer: answer.json() == f"again {name}"),
    Sort("several", lambda name, answer: answer.json() == [f"{name} {n}" for n in (1, 2, 3)]),
    Sort(
        "sums",
        lambda name, answer: answer.json() == [name, 16],
        lambda name: {"of": 10, "numbers": [1, 2, 3]},
    ),
    Sort("wrong", lambda name, answer: False),
]


@dataclass
class Outcome:
    """What became of one call."""

    name: str
    sort: Sort
    #: Of HTTP; 0 if the connection broke.
    status: int = 0
    right: bool = False
    code: str = ""
    text: str = ""
    began: float = 0.0
    took: float = 0.0

    def wrong(self, carried_out: int) -> str:
        """Return what must not be, given how often the call was carried out; else nothing."""
        most = 2 if self.sort.function in IDEMPOTENT else 1
        if carried_out > most:
            return f"carried out {carried_out} times"
        if self.right:
            return "" if carried_out else "answered, but never carried out"
        if self.status == 200:
            return f"a wrong answer: {self.text}"
        if self.status not in REFUSALS:
            return f"{self.status} {self.code}: {self.text}"
        if self.status == 500 and not (
            self.sort.function == "wrong" and self.code == "api.error" and self.name in self.text
        ):
            return f"an error that is not the function's: {self.code} {self.text}"
        return ""


@dataclass
class Load:
    """Programs that call until they are told to end."""

    url: str
    address: str
    programs: int = 6
    outcomes: list[Outcome] = field(default_factory=list)
    seed: int = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for number in range(self.programs):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, program: int) -> None:
        chance = random.Random(self.seed * 1000 + program)
        with httpx.Client(base_url=self.url, timeout=45) as http:
            for number in itertools.count():
                if self._end.is_set():
                    return
                sort = chance.choice(SORTS)
                outcome = Outcome(f"call-{program}-{number}", sort, began=time.monotonic())
                self._call(http, outcome)
                outcome.took = time.monotonic() - outcome.began
                self.outcomes.append(outcome)
                if outcome.status != 200:
                    time.sleep(0.5)

    def _call(self, http: httpx.Client, outcome: Outcome) -> None:
        sort, name = outcome.sort, outcome.name
        path = f"{PREFIX}/{self.address}/{sort.function}/{name}"
        try:
            body = {"json": sort.body(name)} if sort.body else {}
            answer = http.request("POST" if body else "GET", path, **body)
        except httpx.HTTPError as error:
            outcome.text = f"{type(error).__name__}: {error}"
            return
        outcome.status, outcome.text = answer.status_code, answer.text[:300]
        try:
            outcome.right = answer.status_code == 200 and sort.right(name, answer)
            if answer.status_code != 200:
                outcome.code = str(answer.json()["code"])
        except (ValueError, KeyError, TypeError):
            outcome.code = "no code"

    def summary(self) -> str:
        """Return how many calls ended how."""
        counted = Counter(
            f"{one.status} {one.code or ('right' if one.right else 'wrong')}"
            for one in self.outcomes
        )
        slowest = max((one.took for one in self.outcomes), default=0.0)
        return f"{len(self.outcomes)} calls: {dict(counted)}; slowest {slowest:.1f} s"
