"""Requests that are slow, large, crooked or somebody else's, at the API engine (S44)."""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.apis import PREFIX, Apis, fault, token_for
from support.installation import Installation
from support.rest_user import RestUser
from support.slow_clients import SlowClients

pytestmark = [pytest.mark.engine, pytest.mark.timeout(420)]

SOURCE = """
\"\"\"Give back what came.\"\"\"
same(x) = x
add(a::Int, b::Int = 1; c::Int = 0) = a + b + c
count_of(xs...) = length(xs)
"""
ADDRESS = "victor/plain"
PATH = f"{PREFIX}/{ADDRESS}/same"

#: Slow clients of the ordinary run, and of the soak.
SLOW, MANY = 200, 1000


@pytest.fixture(scope="module")
def apis(installation: Installation) -> Iterator[Apis]:
    """A plain API that anybody may call."""
    made = Apis(installation)
    with made.published("victor", "plain", SOURCE, ["same", "add", "count_of"], minimum=1):
        made.await_answer(f"{ADDRESS}/same/1", 120)
        yield made


def _post(apis: Apis, body: bytes, **headers: str) -> tuple[int, str]:
    sent = {"Content-Type": "application/json", **headers}
    answer = apis.call(f"{ADDRESS}/same", "POST", content=body, headers=sent)
    return answer.status_code, "" if answer.is_success else fault(answer)


# -- addresses, methods, arguments ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "status"),
    [
        pytest.param("nobody/plain/same/1", 404, id="publisher"),
        pytest.param("victor/nothing/same/1", 404, id="api"),
        pytest.param(f"{ADDRESS}/hidden/1", 404, id="function"),
        pytest.param(f"{ADDRESS}/eval/1", 404, id="function of Julia"),
        pytest.param(f"{ADDRESS}/add/1/2/3", 400, id="argument too many"),
        pytest.param(f"{ADDRESS}/add", 405, id="GET without the argument"),
        pytest.param(f"{ADDRESS}/add?c=1", 405, id="GET with a keyword alone"),
        pytest.param(f"{ADDRESS}/same//1", 400, id="empty argument"),
        pytest.param(f"{ADDRESS}/add/one", 400, id="argument of another type"),
        pytest.param(f"{ADDRESS}/add/1?d=1", 400, id="unknown keyword"),
        pytest.param(f"{ADDRESS}/add/1?c=1&c=2", 400, id="keyword twice"),
        pytest.param(f"{ADDRESS}/same/%00", 200, id="NUL is a character"),
        pytest.param(f"{ADDRESS}/same/%FF", 400, id="no UTF-8"),
        pytest.param(f"{ADDRESS}/same/..%2F..%2F_%2Fapis", 200, id="slashes are characters"),
        pytest.param(f"{ADDRESS}/same/%22open", 200, id="a quote that is not closed"),
        pytest.param(f"{ADDRESS}/{'f' * 300}/1", 404, id="long name"),
        pytest.param("_/nothing", 404, id="interface"),
    ],
)
def test_each_address_has_its_answer(apis: Apis, address: str, status: int) -> None:
    answer = apis.call(address)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert fault(answer)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_with_those_that_there_are(apis: Apis, method: str) -> None:
    answer = apis.call(f"{ADDRESS}/same/1", method)
    assert answer.status_code == 405
    assert {"GET", "POST"} <= {one.strip() for one in answer.headers["Allow"].split(",")}


# -- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[1", id="cut short"),
        pytest.param(b"[NaN]", id="NaN"),
        pytest.param(b"[1e999]", id="beyond all numbers"),
        pytest.param(b'{"x": 1, "x": 2}', id="a key twice"),
        pytest.param(b"[" * 101 + b"]" * 101, id="101 levels"),
        pytest.param(b"[" * 1_000_000, id="a million levels"),
        pytest.param(b'["\xff"]', id="no UTF-8"),
        pytest.param(b'["\\ud800"]', id="half a character"),
        pytest.param(b"\xef\xbb\xbf[1]", id="byte order mark"),
        pytest.param(b"[1] [2]", id="two values"),
        pytest.param(b"(1)", id="no JSON"),
    ],
)
def test_a_body_that_is_not_json_is_refused(apis: Apis, body: bytes) -> None:
    assert _post(apis, body) == (400, "api.body")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--", id="multipart"),
        pytest.param("application/x-www-form-urlencoded", b"x=1", id="form"),
        pytest.param("text/plain", b"[1]", id="text"),
        pytest.param("application/json; charset=utf-16", "[1]".encode("utf-16"), id="UTF-16"),
    ],
)
def test_a_body_of_another_kind_is_refused(apis: Apis, content_type: str, body: bytes) -> None:
    status, code = _post(apis, body, **{"Content-Type": content_type})
    assert status in {400, 415} and code


def test_a_packed_body_is_never_unpacked_beyond_its_bound(apis: Apis) -> None:
    packed = gzip.compress(b"[" + b"0," * 50_000_000 + b"0]")
    status, code = _post(apis, packed, **{"Content-Encoding": "gzip"})
    assert status in {400, 413, 415} and code


@pytest.mark.parametrize(
    ("mebibytes", "chunked"),
    [
        pytest.param(8, False, id="told"),
        pytest.param(8, True, id="chunked"),
        pytest.param(64, False, id="large and told"),
        pytest.param(64, True, id="large and chunked"),
    ],
)
def test_a_body_over_the_bound_is_refused(apis: Apis, mebibytes: int, chunked: bool) -> None:
    piece = b'"' + b"x" * 65_534 + b'"'
    content = (piece for _ in range(16 * mebibytes)) if chunked else piece * 16 * mebibytes
    headers = {"Content-Type": "application/json"}
    try:
        answer = apis.call(f"{ADDRESS}/same", "POST", content=content, headers=headers)
    except httpx.TransportError as error:
        # whoever sends on and on is cut off; the answer may be lost with the connection
        assert mebibytes > 16, error
        return
    if mebibytes > 16 and answer.status_code == 503:
        return  # the proxy's word for an answer that came while it still sent
    assert (answer.status_code, fault(answer)) == (413, "api.large"), answer.text
    assert apis.call(f"{ADDRESS}/same/1").status_code == 200


# -- slow clients --------------------------------------------------------------------------------


def _percentile(apis: Apis, calls: int) -> float:
    """Return the 99th percentile of the seconds of normal calls."""
    took = []
    for number in range(calls):
        began = time.perf_counter()
        answer = apis.call(f"{ADDRESS}/same/{number}")
        assert (answer.status_code, answer.json()) == (200, number)
        took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=100)[98]


def test_slow_clients_hold_up_nobody_and_are_told_so(
    apis: Apis, installation: Installation
) -> None:
    alone = _percentile(apis, 200)
    with SlowClients(installation.port, PATH, SLOW) as slow:
        # the ordinary run looks for harm alone; the benchmark holds it to the double
        bound = max(10 * alone, 0.25)
        for _ in range(4):  # a machine that stands still for a second is no fault of theirs
            slow.trickle()
            beside = _percentile(apis, 200)
            if beside < bound:
                break
            slow.begin_again()
        end = time.monotonic() + 90
        while time.monotonic() < end and len(slow.answers()) < SLOW // 2:
            slow.trickle()
            time.sleep(1)
        answers = slow.answers()
    print(f"p99 {1000 * alone:.1f} ms alone, {1000 * beside:.1f} ms beside {SLOW} slow clients")
    print(Counter(answers))
    assert len(answers) >= SLOW // 2
    assert any(b" 408 " in line for line in answers)
    # a proxy may end a connection that never got as far as a request
    statuses = {line.split()[1] for line in answers if line}
    assert statuses <= {b"408", b"400", b"502", b"503"}
    assert beside < bound


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_thousand_slow_clients_at_most_double_what_others_wait(
    apis: Apis, installation: Installation
) -> None:
    alone = _percentile(apis, 3000)
    with SlowClients(installation.port, PATH, MANY) as slow:
        slow.trickle()
        beside = _percentile(apis, 3000)
    print(f"p99 {1000 * alone:.1f} ms alone, {1000 * beside:.1f} ms beside {MANY} slow clients")
    assert beside <= 2 * alone


# -- access --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def caller(installation: Installation) -> Iterator[RestUser]:
    """Somebody with an account, who publishes nothing."""
    person = RestUser(installation, "caller")
    yield person
    person.hub("DELETE")


#: By access rule: without a token; the tokens of somebody who is listed and of somebody who is
#: not; the former's token of this API alone, and of another API alone; the publisher's token of
#: this API alone, which opens what only the publisher's tokens do.
RULES = {
    "public": [200, 200, 200, 200, 200, 200],
    "users": [401, 200, 200, 200, 403, 200],
    "listed": [401, 200, 403, 200, 403, 200],
    "token": [401, 403, 403, 403, 403, 200],
}


@pytest.mark.parametrize("rule", RULES)
def test_each_access_rule_lets_in_whom_it_names_and_nobody_else(
    apis: Apis, installation: Installation, caller: RestUser, rule: str
) -> None:
    other, victor = (RestUser(installation, name) for name in ("other-caller", "victor"))
    locked, elsewhere = (f"custom:juliabox:call!server=victor/{api}" for api in ("locked", "other"))
    tokens = ["", token_for(caller), token_for(other)]
    tokens += [token_for(caller, locked), token_for(caller, elsewhere), token_for(victor, locked)]
    choices = {"access": rule, **({"users": ["caller"]} if rule == "listed" else {})}
    with apis.published("victor", "locked", SOURCE, ["same"], **choices):
        answers = [apis.call_started("victor/locked/same/1", token=token) for token in tokens]
    assert [one.status_code for one in answers] == RULES[rule]
    assert all(one.is_success or fault(one) for one in answers)
    other.hub("DELETE")


def test_a_made_up_token_is_refused_and_a_cookie_is_none(apis: Apis) -> None:
    with apis.published("victor", "locked", SOURCE, ["same"], access="users"):
        assert apis.call("victor/locked/same/1", token="0" * 32).status_code in {401, 403}
        cookies = {"Cookie": "jupyterhub-services=abc; service-api=abc"}
        assert apis.call("victor/locked/same/1", headers=cookies).status_code == 401


def test_nobody_manages_what_is_not_theirs(apis: Apis, caller: RestUser) -> None:
    body = {"source": SOURCE, "functions": ["same"], "options": {"access": "public"}}
    token = f"token {token_for(caller)}"
    for method, path in [
        ("PUT", "apis/victor/plain"), ("DELETE", "apis/victor/plain"),
        ("POST", "apis/victor/plain/stop"), ("GET", "apis/victor/plain/log"),
        ("GET", "apis/victor/plain/versions/1"), ("GET", "apis/victor/plain/stats"),
    ]:  # fmt: skip
        answer = apis.http.request(
            method, f"/services/api/_/{path}", json=body, headers={"Authorization": token}
        )
        assert answer.status_code in {403, 404}, (method, path, answer.status_code)
    # what anybody may call is shown to anybody, and its source is not
    headers = {"Authorization": token}
    shown = apis.http.get("/services/api/_/apis/victor/plain", headers=headers).json()
    assert shown["version"]["source"] == "" and shown["versions"] == [] and not shown["mine"]
    assert apis.call(f"{ADDRESS}/same/1").status_code == 200


def test_a_caller_over_its_rate_is_told_when_to_come_again(apis: Apis) -> None:
    with apis.published("victor", "rated", SOURCE, ["same"], rate=5):
        # one after another, a slow machine would make no more than five in a second
        assert apis.call_started("victor/rated/same/1").status_code == 200
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: apis.call("victor/rated/same/1"), range(20)))
        refused = [one for one in answers if one.status_code == 429]
        assert {one.status_code for one in answers} == {200, 429}
        assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
        assert json.loads(refused[0].text)["code"]
