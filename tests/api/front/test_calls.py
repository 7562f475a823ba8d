"""Calls over HTTP: addresses, methods, answers, errors, rates, and callers who go away."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from structlog.testing import capture_logs

from support.api_front import PNG, PREFIX, FrontStand, taking
from support.waiting import until


async def test_a_call_gives_the_result_of_the_function(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/echo/30/abc/%22true%22?n=1.5&who=a+b")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"arguments": [30, "abc", "true"], "keywords": {"n": 1.5, "who": "a b"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[1, 2]", {"arguments": [0, 1, 2], "keywords": {"k": 1}}),
        (b'{"n": [1]}', {"arguments": [0], "keywords": {"k": 1, "n": [1]}}),
        (b'"text"', {"arguments": [0, "text"], "keywords": {"k": 1}}),
        (b"", {"arguments": [0], "keywords": {"k": 1}}),
    ],
    ids=["array", "object", "value", "none"],
)
async def test_a_body_adds_to_the_address(stand: FrontStand, body: bytes, expected: object) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await stand.ask("POST", "ada/sums/echo/0?k=1", content=body, headers=headers)
    assert answer.json() == expected


async def test_each_answer_has_an_id_and_the_headers_that_keep_it_harmless(
    stand: FrontStand,
) -> None:
    seen = set()
    for path in ("ada/sums/echo", "ada/sums/boom", "ada/nothing/echo", "nothing", "_/nothing"):
        answer = await stand.get(path, headers={"X-Request-Id": "f" * 32})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
        assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ornado" not in answer.headers["Server"]
        assert "Set-Cookie" not in answer.headers
        seen.add(answer.headers["X-Request-Id"])
    assert len(seen) == 5


async def test_the_id_of_the_answer_is_that_of_the_call_and_of_the_log(stand: FrontStand) -> None:
    answer = await stand.get("ada/sums/echo/1")
    assert stand.back.calls[0].request == answer.headers["X-Request-Id"]
    assert stand.notes.rows[0]["request"] == answer.headers["X-Request-Id"]
    assert stand.notes.rows[0]["printed"] == "echo\n"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("eve/sums/echo", 404, "api.unknown"),
        ("ada/other/echo", 404, "api.unknown"),
        ("ada/sums/absent", 404, "api.function"),
        ("ada/sums/echo/%FF", 400, "api.address"),
        ("ada/sums/echo?n=1&n=2", 400, "api.address"),
        ("ada/sums/boom", 500, "api.error"),
        ("ada/sums/busy", 503, "api.overload"),
        ("ada/sums/broken", 500, "internal"),
        ("ada", 404, "http.404"),
        ("_/nothing", 404, "http.404"),
    ],
)
async def test_a_failure_is_a_fault_with_a_code(
    stand: FrontStand, path: str, status: int, code: str
) -> None:
    answer = await stand.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "frames", "output"}
    assert answer.json()["message"]
    assert "Traceback" not in answer.text and "secret" not in answer.text


async def test_an_error_of_the_function_has_its_frames_and_its_output_is_for_the_log(
    stand: FrontStand,
) -> None:
    fault = (await stand.get("ada/sums/boom")).json()
    assert fault["message"] == "DomainError"
    assert fault["frames"] == [{"function": "boom", "line": 3}]
    assert fault["output"] is None  # that is for the publisher
    row = stand.notes.rows[0]
    assert (row["status"], row["printed"], row["message"]) == (500, "so far\n", "DomainError")


async def test_who_comes_again_is_told_when(stand: FrontStand) -> None:
    assert (await stand.get("ada/sums/busy")).headers["Retry-After"] == "7"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE", "BREW"])
async def test_another_method_is_refused_with_those_that_there_are(
    stand: FrontStand, method: str
) -> None:
    answer = await stand.ask(method, "ada/sums/echo/1")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, POST, OPTIONS"
    assert not stand.back.calls


async def test_another_method_with_a_body_is_refused_as_well(stand: FrontStand) -> None:
    answer = await stand.ask("PUT", "ada/sums/echo/1", content=b"x" * 100_000)
    assert (answer.status_code, answer.json()["code"]) == (405, "api.method")


async def test_a_method_that_nobody_knows_ends_a_connection_that_says_so(
    stand: FrontStand,
) -> None:
    answer = await stand.ask("QUERY", "ada/sums/echo/1", content=b"x")
    assert (answer.status_code, answer.headers["Connection"]) == (405, "close")


async def test_get_without_arguments_is_refused_where_no_method_has_none(
    stand: FrontStand,
) -> None:
    stand.publish("ada/sums", taking("echo", "Int64"))
    answer = await stand.get("ada/sums/echo")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert "arguments" in answer.json()["message"]
    assert (await stand.get("ada/sums/echo/1")).status_code == 200


async def test_get_with_a_body_is_refused(stand: FrontStand) -> None:
    answer = await stand.ask("GET", "ada/sums/echo", content=b"[1]")
    assert (answer.status_code, answer.json()["code"]) == (400, "api.body")
    assert not stand.back.calls


async def test_a_stopped_api_says_by_whom(stand: FrontStand) -> None:
    stand.publish("ada/sums", stopped="admin")
    answer = await stand.get("ada/sums/echo")
    assert (answer.status_code, answer.json()["code"]) == (503, "api.stopped")
    assert "an admin" in answer.json()["message"]


async def test_the_rate_of_a_caller_is_the_apis_own(stand: FrontStand) -> None:
    stand.publish("ada/slow", rate=3)
    stand.publish("ada/other", access="users", rate=3)
    statuses = [(await stand.get("ada/slow/echo")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    answer = await stand.get("ada/slow/echo")
    assert answer.json()["code"] == "api.rate"
    assert int(answer.headers["Retry-After"]) == 20
    assert (await stand.get("ada/sums/echo")).status_code == 200
    for name in ("bob", "eve"):
        token = stand.hub.token(name)
        found = [(await stand.get("ada/other/echo", token)).status_code for _ in range(4)]
        assert found == [200, 200, 200, 429], name


async def test_refused_callers_are_not_in_the_log_of_the_api(stand: FrontStand) -> None:
    stand.publish("ada/hers", access="users", rate=1)
    token = stand.hub.token("bob")
    await stand.get("ada/hers/echo")
    await stand.get("ada/hers/echo", token)
    await stand.get("ada/hers/echo", token)
    assert [row["status"] for row in stand.notes.rows] == [200]


# -- kinds of content ------------------------------------------------------------------------------


async def test_other_kinds_of_content_are_given_where_the_api_admits_them(
    stand: FrontStand,
) -> None:
    stand.publish("ada/sums", content=["text/html", "image/png", "application/octet-stream"])
    page = await stand.ask("POST", "ada/sums/give", json=["text/html", "<script>1</script>"])
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("sandbox;")
    png = await stand.ask("POST", "ada/sums/give", json=["image/png", PNG.decode("latin-1")])
    assert (png.headers["Content-Type"], png.content) == ("image/png", PNG)
    file = await stand.ask("POST", "ada/sums/give", json=["application/octet-stream", "x"])
    assert file.headers["Content-Disposition"] == 'attachment; filename="give"'
    refused = await stand.ask("POST", "ada/sums/give", json=["text/csv", "1,2"])
    assert (refused.status_code, refused.json()["code"]) == (500, "api.result")


async def test_a_kind_of_content_adds_no_header(stand: FrontStand) -> None:
    stand.publish("ada/sums", content=["text/html"])
    kind = "text/html\r\nSet-Cookie: a=b"
    answer = await stand.ask("POST", "ada/sums/give", json=[kind, "x"])
    assert answer.status_code == 500
    assert "Set-Cookie" not in answer.headers


async def test_good_answers_to_get_are_cached_as_the_api_says(stand: FrontStand) -> None:
    stand.publish("ada/sums", cache="public, max-age=60")
    assert (await stand.get("ada/sums/echo")).headers["Cache-Control"] == "public, max-age=60"
    assert "Authorization" in (await stand.get("ada/sums/echo")).headers["Vary"]
    post = await stand.ask("POST", "ada/sums/echo")
    assert post.headers["Cache-Control"] == "no-store"
    assert (await stand.get("ada/sums/boom")).headers["Cache-Control"] == "no-store"


# -- pages of other sites --------------------------------------------------------------------------

PAGE = "https://lab.example"


async def test_a_page_of_a_listed_origin_may_call(stand: FrontStand) -> None:
    stand.publish("ada/sums", origins=[PAGE], access="users")
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    before = await stand.ask("OPTIONS", "ada/sums/echo/1", headers=ask)
    assert before.status_code == 204
    assert before.headers["Access-Control-Allow-Origin"] == PAGE
    assert before.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
    token = stand.hub.token("bob")
    answer = await stand.get("ada/sums/echo", token, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    refused = await stand.get("ada/sums/echo", headers={"Origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == PAGE


async def test_a_page_of_another_origin_reads_nothing(stand: FrontStand) -> None:
    stand.publish("ada/sums", origins=[PAGE])
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    before = await stand.ask("OPTIONS", "ada/sums/echo/1", headers=ask)
    assert before.headers["Allow"] == "GET, POST, OPTIONS"
    answer = await stand.get("ada/sums/echo", headers={"Origin": "https://evil.example"})
    for one in (before, answer):
        assert not [name for name in one.headers if name.startswith("access-control-allow")]
        assert "Origin" in one.headers["Vary"]


# -- callers who go away ---------------------------------------------------------------------------


async def test_a_caller_who_goes_away_ends_the_call(stand: FrontStand) -> None:
    call = asyncio.create_task(stand.get("ada/sums/wait/30"))
    await until(lambda: stand.back.calls)
    call.cancel()
    await until(lambda: stand.back.gone)
    await until(lambda: stand.notes.rows)
    assert [row["status"] for row in stand.notes.rows] == [499]
    registry = stand.front.metrics.registry
    labels = {"route": "CallHandler", "status": "499"}
    assert registry.get_sample_value("juliabox_api_requests_total", labels) == 1
    assert registry.get_sample_value(
        "juliabox_api_requests_total", {**labels, "status": "200"}
    ) is None  # fmt: skip
    assert (await stand.get("ada/sums/echo")).status_code == 200


async def test_a_back_that_says_nothing_is_given_up(
    stand: FrontStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("juliabox_services.api.calls_http.GRACE", 0.1)
    stand.publish("ada/sums", timeout=0.2)
    answer = await stand.get("ada/sums/wait/30")
    assert (answer.status_code, answer.json()["code"]) == (504, "api.timeout")


async def test_the_time_of_a_call_is_the_apis_within_the_operators(stand: FrontStand) -> None:
    now = asyncio.get_running_loop().time
    for most, seconds in ((5.0, 5.0), (86400, 600.0)):
        stand.publish("ada/sums", timeout=most)
        began = now()
        await stand.get("ada/sums/echo")
        assert began + seconds <= stand.back.calls[-1].deadline <= now() + seconds


async def test_requests_of_one_connection_do_not_mix(stand: FrontStand) -> None:
    line = f"GET {PREFIX}ada/sums/echo/%d HTTP/1.1\r\nHost: x\r\n%s\r\n"
    text = (line % (1, "") + line % (2, "Connection: close\r\n")).encode()
    answer = (await stand.raw(text)).decode()
    bodies = re.findall(r"\r\n\r\n(\{.*?\}\})", answer)
    assert [json.loads(body)["arguments"] for body in bodies] == [[1], [2]]


async def test_the_log_does_not_keep_what_an_address_has_of_secrets(stand: FrontStand) -> None:
    with capture_logs() as lines:
        await stand.get("ada/sums/token=canary")
        await stand.get("token=canary/_")
    assert len([line for line in lines if line["event"] == "request"]) == 2
    assert "canary" not in str(lines)
