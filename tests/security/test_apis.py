"""What callers and publishers try who mean harm: each gets its answer, nobody else notices.

Functions without an end, deaths, noise and hostile answers (S45, S46, S48, S49). What requests are
made of is tried in ``test_api_requests.py`` (S44), what one call leaves behind in
``test_api_state.py`` (S47).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from support.apis import Apis, api_containers, fault
from support.executions import COUNTING, Executions
from support.installation import Installation
from support.rest_user import wait_for
from support.warm import Pools

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

SOURCE = COUNTING + (Path(__file__).parent / "inside" / "hostile_api.jl").read_text()
FUNCTIONS = [
    "fine", "sleeps", "spins", "blocks", "ignores", "leaves", "aborts", "faults", "vanishes",
    "repeats", "eats", "prints", "forks", "huge", "nan", "endless", "itself", "deep", "thing",
    "mime", "injected", "page", "picture", "says", "broken",
]  # fmt: skip

#: Seconds that a call of the hostile API may take, and those that its end may.
TIMEOUT, GRACE = 3.0, 1.0
#: Seconds that the front and a busy machine may add until the caller has its answer, and tries of
#: which one must be in time: a machine that stands still for a second is no fault of the engine.
TRANSPORT = 1.0
TRIES = 4

CHOICES = {
    "timeout": TIMEOUT,
    "memory": 512 * 1024**2,
    "maximum": 2,
    "content": ["text/html", "text/plain", "image/svg+xml"],
    "idempotent": ["repeats"],
}


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """The hostile publisher's API, and a neighbour's."""
    made = Apis(installation)
    source = "fine(n::Int) = n + 1"
    with (
        made.published("mallory", "evil", SOURCE, FUNCTIONS, **CHOICES),
        made.published("victor", "calm", source, ["fine"], minimum=1, maximum=1),
    ):
        yield made


@pytest.fixture(scope="module")
def executions(installation: Installation) -> Iterator[Executions]:
    """Counts what is carried out."""
    with Executions(installation) as found:
        yield found


@pytest.fixture(autouse=True)
def _warm(apis: Apis) -> None:
    """Have a container of the hostile API, so that no start is part of what is timed."""
    apis.await_answer("mallory/evil/fine/1", 120)


def _neighbour(apis: Apis) -> float:
    """Call the neighbour's function; return the seconds that it took."""
    began = time.monotonic()
    answer = apis.call("victor/calm/fine/1")
    assert (answer.status_code, answer.json()) == (200, 2), answer.text
    return time.monotonic() - began


def _await_watched(executions: Executions, installation: Installation) -> None:
    """Wait until what a container does can be read after its end, whichever has the next call."""
    wait_for(
        lambda: all(executions.holds(one["Id"]) for one in api_containers(installation)),
        60,
        "containers are not watched",
    )


def _quickest(apis: Apis, call: Callable[[], None], enough: float) -> float:
    """Call until one was quick enough, a few times; return the seconds of the quickest."""
    took = []
    for _ in range(TRIES):
        apis.await_answer("mallory/evil/fine/1", 120)
        began = time.monotonic()
        call()
        took.append(time.monotonic() - began)
        if took[-1] <= enough:
            break
    return min(took)


# -- S45 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["sleeps", "spins", "blocks", "ignores"])
def test_a_call_that_never_returns_is_killed_within_a_second_of_its_time(
    apis: Apis, installation: Installation, function: str
) -> None:
    before = {one["Id"] for one in api_containers(installation)}

    def call() -> None:
        answer = apis.call_started(f"mallory/evil/{function}")
        assert (answer.status_code, fault(answer)) == (504, "api.timeout")

    took = _quickest(apis, call, TIMEOUT + GRACE + TRANSPORT)
    print(f"{function}: {took:.2f} s")
    assert TIMEOUT <= took <= TIMEOUT + GRACE + TRANSPORT
    wait_for(
        lambda: before - {one["Id"] for one in api_containers(installation)},
        60,
        "its container still runs",
    )
    _neighbour(apis)


# -- S46 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["leaves", "aborts", "faults", "vanishes", "eats"])
def test_a_worker_that_dies_in_a_call_is_told_and_the_call_is_not_made_again(
    apis: Apis, installation: Installation, executions: Executions, function: str
) -> None:
    _await_watched(executions, installation)
    answer = apis.call(f"mallory/evil/{function}/once-{function}")
    # Julia's own exit() still lets the worker say so
    told = (500, "api.error") if function == "leaves" else (502, "api.crash")
    assert (answer.status_code, fault(answer)) == told, answer.text
    time.sleep(0.5)
    assert executions.counts[f"once-{function}"] == 1
    _neighbour(apis)


def test_a_call_that_may_be_made_twice_is_made_once_more_and_no_oftener(
    apis: Apis, installation: Installation, executions: Executions
) -> None:
    for number in range(TRIES):
        # the second worker is one that waits for somebody: to make one takes longer than the call
        Pools(installation).await_full()
        apis.await_answer("mallory/evil/fine/1", 120)
        _await_watched(executions, installation)
        answer = apis.call(f"mallory/evil/repeats/twice-{number}", timeout=60)
        if answer.status_code != 503:  # a busy machine has no second one in time
            break
    assert (answer.status_code, fault(answer)) == (502, "api.crash"), answer.text
    time.sleep(0.5)
    assert executions.counts[f"twice-{number}"] == 2


def test_who_ends_containers_again_and_again_is_told_to_wait(apis: Apis) -> None:
    """Starts of containers are everybody's processors: after a few there is a pause."""
    answers, began = list[httpx.Response](), time.monotonic()
    told, seconds = Counter[tuple[int, str]](), 0.0
    while seconds < 8 or ((503, "api.crashing") not in told and seconds < 90):
        answers.append(apis.call("mallory/evil/aborts/again", timeout=60))
        told[answers[-1].status_code, fault(answers[-1])] += 1
        time.sleep(0.1)
        seconds = time.monotonic() - began
    print(told)
    refused = [one for one in answers if one.status_code == 503]
    del told[503, "api.starting"]  # a busy machine has made no container in time
    assert set(told) == {(502, "api.crash"), (503, "api.crashing")}
    # three at once, then after pauses of 1, 2, 4, ... s
    assert told[502, "api.crash"] <= 3 + math.log2(seconds + 1)
    assert all(1 <= int(one.headers["Retry-After"]) <= 30 for one in refused)
    assert any("in a row" in one["text"] for one in apis.log("mallory", "evil"))
    _neighbour(apis)


def test_what_a_function_prints_without_end_fills_nothing(apis: Apis) -> None:
    """A bound cuts it short: neither does the log grow, nor the container's memory."""
    answer = apis.call("mallory/evil/prints", timeout=60)
    assert answer.status_code in {200, 502, 504}, answer.text
    lines = apis.log("mallory", "evil")
    assert lines and max(len(one["text"].encode()) for one in lines) <= 4096
    _neighbour(apis)


def test_a_function_that_starts_processes_meets_its_containers_limit(
    apis: Apis, installation: Installation
) -> None:
    answer = apis.call("mallory/evil/forks", timeout=60)
    assert answer.status_code in {200, 500, 502, 504}, answer.text
    if answer.status_code == 200:
        limits = [one["HostConfig"]["PidsLimit"] for one in api_containers(installation)]
        assert answer.json() < max(limits)
    _neighbour(apis)


# -- S48 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["huge", "nan", "itself", "deep", "thing", "injected", "broken", "mime/image%2Fpng",
     "mime/text%2Fhtml%0D%0AX-Evil:%201"],
    ids=lambda one: one.split("%")[0],
)  # fmt: skip
def test_a_result_that_no_answer_may_have_is_the_functions_error(apis: Apis, address: str) -> None:
    answer = apis.call(f"mallory/evil/{address}")
    assert (answer.status_code, fault(answer)) == (500, "api.result"), answer.text[:500]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Evil" not in answer.headers


def test_a_stream_without_an_end_ends_with_the_calls_time(apis: Apis) -> None:
    headers = {"Accept": "text/event-stream"}

    def read() -> None:
        try:
            with apis.http.stream(
                "GET", "/services/api/mallory/evil/endless", headers=headers
            ) as answer:
                for _ in answer.iter_bytes():
                    pass
        except httpx.TransportError as error:  # cut off is an end, too
            print(f"cut off: {error}")

    longest = TIMEOUT + GRACE + 2 * TRANSPORT
    assert _quickest(apis, read, longest) <= longest
    _neighbour(apis)


@pytest.mark.parametrize("function", ["page", "picture"])
def test_a_page_of_a_publisher_has_no_origin_of_ours(apis: Apis, function: str) -> None:
    answer = apis.call(f"mallory/evil/{function}")
    assert answer.status_code == 200, answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy and "allow-same-origin" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


def test_an_errors_message_is_data_and_never_a_page(apis: Apis) -> None:
    answer = apis.call("mallory/evil/says/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert (answer.status_code, fault(answer)) == (500, "api.error")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# -- S49 -----------------------------------------------------------------------------------------


def test_a_publisher_who_takes_all_that_may_be_had_leaves_the_neighbour_alone(
    apis: Apis, installation: Installation
) -> None:
    """Calls beyond the publisher's share are refused at once, and told when to come again."""
    alone = [_neighbour(apis) for _ in range(20)]
    with ThreadPoolExecutor(280) as pool:
        crowd = [pool.submit(apis.call, "mallory/evil/sleeps", timeout=60) for _ in range(280)]
        time.sleep(1.0)
        beside = [_neighbour(apis) for _ in range(20)]
        containers = apis.containers("mallory", "evil")
        answers = [one.result() for one in crowd]
    print(f"neighbour: {max(alone):.3f} s alone, {max(beside):.3f} s beside the crowd")
    assert containers <= CHOICES["maximum"]
    refused = [one for one in answers if one.status_code == 503]
    assert refused, {one.status_code for one in answers}
    for one in refused:
        assert fault(one) in {"api.overload", "api.starting"}
        assert int(one.headers["Retry-After"]) > 0
    assert {one.status_code for one in answers} <= {429, 503, 504}
    assert sorted(beside)[10] <= max(1.0, 5 * sorted(alone)[10])


# -- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param("fine(n) = n +", "source.syntax", id="syntax"),
        pytest.param("fine(n) = n\nerror(\"no\")", "source.error", id="error"),
        pytest.param("other(n) = n", "source.missing", id="missing"),
        pytest.param("fine(n) = n\nexit(0)", "source", id="exits"),
        pytest.param("fine(n) = n\nccall(:abort, Cvoid, ())", "source", id="aborts"),
        pytest.param("fine(n) = n\nwhile true; end", "source", id="never loaded"),
        pytest.param("fine(n) = n\nwhile true; println(\"x\"^1000); end", "source", id="prints"),
        pytest.param("fine(n) = n\na = Any[]; while true; push!(a, ones(10^7)); end", "source",
                     id="eats"),
        pytest.param("fine(n) = n\nfor _ in 1:500; run(Cmd(`sleep 90`), wait=false); end", "",
                     id="forks"),
    ],
)  # fmt: skip
def test_a_source_that_does_not_load_is_refused_with_its_reason(
    apis: Apis, source: str, code: str
) -> None:
    answer = apis.try_to_save("mallory", "bad", source, ["fine"])
    print(answer.status_code, answer.text[:300])
    if not code:  # it may be admitted: what it started ends with the container of the check
        apis.manage("DELETE", "apis/mallory/bad")
        assert answer.status_code in {201, 400, 422}, answer.text
        return
    assert 400 <= answer.status_code < 500, answer.text
    assert fault(answer).startswith(code), answer.text
    assert apis.manage("GET", "apis/mallory/bad").status_code == 404
    _neighbour(apis)
