"""A person publishes a function from a notebook, tries it on its page, and programs call it."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from playwright.sync_api import expect

from support.apis import INTERFACE, PREFIX, Apis, token_for
from support.fresh_http import FreshConnections
from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person
from support.rest_user import RestUser

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

Visit = Callable[[str], Person]

#: Calls of each second while the version changes, and seconds before and after that.
RATE, BEFORE, AFTER = 50, 4.0, 8.0

FIB = """
"The n-th Fibonacci number."
function fib(n::Int)
    a, b = big(0), big(1)
    for _ in 1:n
        a, b = b, a + b
    end
    return a
end
"""


@pytest.fixture(scope="module")
def password(installation: Installation) -> str:
    made = installation.add_user("fibonacci")
    installation.juliabox("user", "grant", "fibonacci", "api-publisher")
    return made


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """Take away what was published here."""
    made = Apis(installation)
    yield made
    for name in ("numbers", "steady"):
        made.manage("DELETE", f"apis/fibonacci/{name}")


def test_a_function_of_a_notebook_is_published_and_tried_on_its_page(
    visit: Visit, password: str, apis: Apis
) -> None:
    person = visit("fibonacci")
    person.log_in(password)
    person.start_session()
    person.new_notebook()
    person.run_cell(FIB)
    told = person.run_cell('JuliaBox.publish("numbers", fib; access="users")')
    expect(told).to_contain_text("/services/api/fibonacci/numbers", timeout=START_TIMEOUT_MS)
    person.screenshot("api-published")
    told = person.run_cell('JuliaBox.publish("numbers", fib; access="users")')
    expect(told).to_contain_text("nothing is new", timeout=START_TIMEOUT_MS)
    expect(told).to_contain_text("version 1,")

    person.go("/services/portal/apis/fibonacci/numbers")
    page = person.page
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.get_by_text("fib").first).to_be_visible()
    expect(page.get_by_text("The n-th Fibonacci number.").first).to_be_visible()
    person.screenshot("api-page")
    tried = page.locator("#try")
    tried.get_by_label(re.compile(r"^n\b")).fill("30")
    tried.get_by_role("button", name="Call").click()
    expect(page.get_by_text("832040").first).to_be_visible(timeout=START_TIMEOUT_MS)
    person.screenshot("api-tried")


def _curl(installation: Installation, path: str, token: str = "") -> tuple[int, str]:
    """Call as a program does; return the status and the body."""
    headers = ["--header", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "30", *headers,
         "--write-out", "\n%{http_code}", f"{installation.url}{PREFIX}/{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_curl_is_let_in_by_the_apis_access_rule(installation: Installation, apis: Apis) -> None:
    apis.save("fibonacci", "numbers", FIB, ["fib"], access="users")
    person = RestUser(installation, "fibonacci")
    token = token_for(person)
    assert _curl(installation, "fibonacci/numbers/fib/30")[0] == 401
    assert _curl(installation, "fibonacci/numbers/fib/30", token) == (200, "832040")
    assert _curl(installation, "fibonacci/numbers/fib/30", "0" * 32)[0] in {401, 403}
    apis.save("fibonacci", "numbers", FIB, ["fib"], access="public")
    assert _curl(installation, "fibonacci/numbers/fib/30") == (200, "832040")
    apis.save("fibonacci", "numbers", FIB, ["fib"], access="token")
    alone = token_for(person, "custom:juliabox:call!server=fibonacci/numbers")
    other = token_for(person, "custom:juliabox:call!server=fibonacci/others")
    assert _curl(installation, "fibonacci/numbers/fib/30", alone) == (200, "832040")
    assert _curl(installation, "fibonacci/numbers/fib/30", other)[0] == 403
    assert _curl(installation, "fibonacci/numbers/fib/30")[0] == 401


@dataclass
class Steady:
    """Calls at a steady rate, whether or not those before have been answered."""

    url: str
    address: str
    #: When each call began, its status, and what it answered.
    answers: list[tuple[float, int, str]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Steady:
        self._http = httpx.Client(base_url=self.url, timeout=30, transport=FreshConnections())
        self._clock = threading.Thread(target=self._tick)
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._clock.join()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _tick(self) -> None:
        began = time.monotonic()
        while not self._end.is_set():
            thread = threading.Thread(target=self._call)
            thread.start()
            self._threads.append(thread)
            time.sleep(max(0.0, began + len(self._threads) / RATE - time.monotonic()))

    def _call(self) -> None:
        began = time.monotonic()
        try:
            answer = self._http.get(f"{PREFIX}/{self.address}")
            self.answers.append((began, answer.status_code, answer.text))
        except httpx.HTTPError as error:
            self.answers.append((began, 0, str(error)))


def test_a_second_version_replaces_the_first_under_load_with_no_failed_call(
    installation: Installation, apis: Apis
) -> None:
    def source(version: int) -> str:
        return f"{FIB}\nanswer(n::Int) = [{version}, fib(n)]"

    apis.save("fibonacci", "steady", source(1), ["answer"], minimum=1)
    apis.await_answer("fibonacci/steady/answer/30", 120)
    with Steady(installation.url, "fibonacci/steady/answer/30") as load:
        time.sleep(BEFORE)
        apis.save("fibonacci", "steady", source(2), ["answer"], minimum=1)
        changed = time.monotonic()
        time.sleep(AFTER)
    counts = Counter((status, body) for _, status, body in load.answers)
    print(f"{len(load.answers)} calls at {RATE} a second: {dict(counts)}")
    assert len(load.answers) > RATE * (BEFORE + AFTER) * 0.8
    assert {status for status, _ in counts} == {200}, counts
    assert {body for _, body in counts} == {"[1,832040]", "[2,832040]"}
    # once it is said to be saved, whoever calls gets the new one
    assert {body for began, _, body in load.answers if began > changed} == {"[2,832040]"}


def test_who_loses_the_role_can_still_stop_what_answers_under_the_own_name(
    installation: Installation, apis: Apis
) -> None:
    installation.add_user("former")
    installation.juliabox("user", "grant", "former", "api-publisher")
    installation.juliabox("user", "revoke", "former", "api-publisher")
    with apis.published("former", "left", FIB, ["fib"]):
        headers = {"Authorization": f"token {token_for(RestUser(installation, 'former'))}"}

        def ask(method: str, verb: str = "") -> httpx.Response:
            path = f"{INTERFACE}/apis/former/left{verb}"
            return apis.http.request(method, path, headers=headers)

        seen = ask("GET").json()
        assert (seen["mine"], seen["changes"], seen["version"]["source"]) == (True, False, FIB)
        assert ask("DELETE").json()["code"] == "api.publish"
        assert ask("POST", "/stop").json()["summary"]["stopped"] == "owner"
        assert apis.call("former/left/fib/30").json()["code"] == "api.stopped"
        assert ask("POST", "/start").json()["code"] == "api.publish"


def test_who_is_added_under_the_name_of_a_removed_publisher_gets_nothing_of_hers(
    installation: Installation, apis: Apis
) -> None:
    def come() -> dict[str, str]:
        installation.add_user("heir")
        installation.juliabox("user", "grant", "heir", "api-publisher")
        token = installation.juliabox("token", "heir").strip()
        return {"Authorization": f"token {token}"}

    def ask(who: dict[str, str], method: str, path: str, body: object = None) -> httpx.Response:
        return apis.http.request(method, f"{INTERFACE}/{path}", headers=who, json=body)

    first = come()
    saved = {"source": FIB, "functions": ["fib"], "options": {"access": "token"}}
    for name in ("left", "removed"):
        assert ask(first, "PUT", f"apis/heir/{name}", saved).status_code == 201
    assert ask(first, "PUT", "apis/heir/left", saved).json()["unchanged"]
    ask(first, "DELETE", "apis/heir/removed")
    assert len(ask(first, "GET", "audit").json()["rows"]) == 3
    installation.juliabox("user", "remove", "heir", "--yes")
    second = come()
    assert ask(second, "GET", "apis").json()["apis"] == []
    assert ask(second, "GET", "audit").json()["rows"] == []
    assert ask(second, "GET", "apis/heir/left").json()["code"] == "api.unknown"
    assert ask(second, "PUT", "apis/heir/left", saved).json()["code"] == "api.owner"
    assert ask(second, "PUT", "apis/heir/removed", saved).status_code == 201
    for name in ("left", "removed"):
        assert apis.manage("DELETE", f"apis/heir/{name}").status_code == 204
