"""Notebooks and the API engine: what is asked, and what a person is shown of its answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from conftest import Notebook

FUNCTION = {
    "name": "fib",
    "doc": "",
    "methods": [
        {
            "arguments": [{"name": "n", "type": "Int64", "required": True}],
            "keywords": [{"name": "k", "type": "Any", "required": False}],
            "more": False,
            "more_keywords": False,
        }
    ],
}


def detail(**changes: Any) -> dict[str, Any]:
    summary = {
        "publisher": "ada", "api": "sums", "active": 2, "newest": 2, "functions": ["fib"],
        "access": "users", "description": "", "stopped": "", "created": 0.0, "containers": 0,
        "calls": 0, "errors": 0, "url": "/services/api/ada/sums/",
    }  # fmt: skip
    options = {"access": "users", "description": "before", "timeout": None}
    version = {"functions": [FUNCTION], "options": options, "version": 2}
    return {"summary": summary | changes, "version": version, "versions": [], "mine": True}


class Engine(BaseHTTPRequestHandler):
    """Answers what a test wants, and keeps what it was asked."""

    answers: ClassVar[list[tuple[int, Any]]] = []
    asked: ClassVar[list[tuple[str, str, Any]]] = []
    tokens: ClassVar[set[str]] = set()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, json.loads(body) if body else None))
        self.tokens.add(self.headers["Authorization"])
        status, content = self.answers.pop(0)
        sent = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "1")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served() -> Iterator[Notebook]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    notebook = Notebook()
    address = f"http://127.0.0.1:{server.server_port}/services/api/"
    notebook.run(
        f'ENV["JULIABOX_API_URL"] = "{address}"; ENV["JUPYTERHUB_API_TOKEN"] = "secret"\n'
        'ENV["JUPYTERHUB_USER"] = "ada"; ENV["http_proxy"] = "http://127.0.0.1:9"\n'
        'ENV["JUPYTERHUB_HOST"] = ""'
    )
    notebook.run("# sums\nfib(n; k = 0) = n < 2 ? n + k : fib(n - 1) + fib(n - 2)")
    yield notebook
    notebook.close()
    server.shutdown()


@pytest.fixture(autouse=True)
def quiet() -> None:
    Engine.answers.clear()
    Engine.asked.clear()


def test_a_first_publication_sends_the_source_and_the_options(served: Notebook) -> None:
    Engine.answers += [(404, {"code": "api.unknown", "message": "no"}), (201, detail())]
    outcome = served.run('JuliaBox.publish("sums", fib; access = "public", idempotent = [fib], '
                         'timeout = 2.5, memory = 5e8, note = "first \\"one\\"\\n")')  # fmt: skip
    assert outcome.status == "ok", outcome.error
    assert Engine.asked[0][:2] == ("GET", "/services/api/_/apis/ada/sums")
    method, path, body = Engine.asked[1]
    assert (method, path) == ("PUT", "/services/api/_/apis/ada/sums")
    assert body == {
        "source": "# sums\nfib(n; k = 0) = n < 2 ? n + k : fib(n - 1) + fib(n - 2)\n",
        "functions": ["fib"],
        "note": 'first "one"\n',
        "activate": True,
        "options": {
            "access": "public", "idempotent": ["fib"], "timeout": 2.5, "memory": 500000000,
        },
    }  # fmt: skip
    assert Engine.tokens == {"token secret"}
    assert outcome.result is not None
    assert outcome.result["text/plain"] == (
        "ada/sums, version 2, for all who have an account: fib\n"
        "  /services/api/ada/sums/fib/{n}?k=…"
    )
    assert 'href="/services/portal/apis/ada/sums"' in outcome.result["text/html"]


def test_with_subdomains_calls_and_page_have_the_hosts_of_their_services(served: Notebook) -> None:
    Engine.answers += [(200, detail())]
    outcome = served.run(
        'withenv("JUPYTERHUB_HOST" => "https://julia.example:8443") do\n'
        '    JuliaBox.publish("sums", fib)\nend'
    )
    assert outcome.result is not None, outcome.error
    shown = outcome.result
    assert (
        "  https://api--service.julia.example:8443/services/api/ada/sums/fib" in shown["text/plain"]
    )
    page = "https://portal--service.julia.example:8443/services/portal/apis/ada/sums"
    assert f'href="{page}"' in shown["text/html"]


def test_options_that_are_not_given_stay_as_they_are(served: Notebook) -> None:
    Engine.answers += [(200, detail())]
    assert served.run('JuliaBox.publish("sums", fib)').status == "ok"
    assert "options" not in Engine.asked[0][2]
    Engine.answers += [(200, detail()), (200, detail())]
    assert served.run('JuliaBox.publish("sums", fib; access = "token")').status == "ok"
    assert Engine.asked[2][2]["options"] == {
        "access": "token", "description": "before", "timeout": None,
    }  # fmt: skip


def test_an_error_of_the_source_shows_the_person_s_own_line(served: Notebook) -> None:
    fault = {
        "code": "source.error",
        "message": "UndefVarError: nobody not defined",
        "frames": [{"function": "fib", "line": 2}],
        "output": "loading\n",
    }
    Engine.answers += [(422, fault)]
    error = served.run('JuliaBox.publish("sums", fib)').error
    assert "UndefVarError: nobody not defined (source.error)" in error
    assert "in fib, line 2: fib(n; k = 0) = n < 2" in error
    assert "It printed:\nloading" in error
    assert "/opt/juliabox" not in error


def test_who_has_no_role_is_told_of_it(served: Notebook) -> None:
    Engine.answers += [(403, {"code": "api.publish", "message": "you may not publish"})]
    error = served.run('JuliaBox.publish("sums", fib)').error
    assert "you may not publish (api.publish)" in error and "api-publisher" in error


def test_one_thing_may_stand_where_several_can(served: Notebook) -> None:
    Engine.answers += [(404, {"code": "api.unknown", "message": "no"}), (201, detail())]
    one = 'users = "bob", groups = ["lab"], origins = "*", content = "text/csv", idempotent = fib'
    assert served.run(f'JuliaBox.publish("sums", fib; {one})').status == "ok"
    assert Engine.asked[1][2]["options"] == {
        "users": ["bob"], "groups": ["lab"], "origins": ["*"], "content": ["text/csv"],
        "idempotent": ["fib"],
    }  # fmt: skip


def test_an_option_that_is_none_leads_to_what_there_is(served: Notebook) -> None:
    refusal = {"code": "api.body", "message": "Invalid enum value 'all' - at `$.options.access`"}
    Engine.answers += [(404, {"code": "api.unknown", "message": "no"}), (400, refusal)]
    error = served.run('JuliaBox.publish("sums", fib; access = "all")').error
    assert "Invalid enum value 'all'" in error and "?JuliaBox.publish" in error


def test_what_an_admin_stopped_is_no_matter_of_the_role(served: Notebook) -> None:
    Engine.answers += [(403, {"code": "api.stopped_by_admin", "message": "an admin stopped it"})]
    error = served.run('JuliaBox.unpublish("sums")').error
    assert "an admin stopped it" in error and "role" not in error


def test_a_version_that_is_only_kept_is_told(served: Notebook) -> None:
    Engine.answers += [(200, detail(newest=3))]
    told = served.run('JuliaBox.publish("sums", fib; activate = false)').result
    assert told is not None
    for kind in ("text/plain", "text/html"):
        assert "version 2, for" in told[kind].replace("</a>", "")
        assert "version 3 is kept" in told[kind]


def test_what_is_published_as_it_is_already_is_told(served: Notebook) -> None:
    Engine.answers += [(200, detail() | {"unchanged": True})]
    told = served.run('again = JuliaBox.publish("sums", fib)').result
    assert told is not None
    for kind in ("text/plain", "text/html"):
        assert "fib; nothing is new, so no version was made" in told[kind]
    Engine.answers += [(200, detail() | {"unchanged": False})]
    other = served.run('other = JuliaBox.publish("sums", fib)').result
    assert other is not None and "nothing is new" not in other["text/plain"]
    both = served.run("(again.unchanged, other.unchanged)").result
    assert both is not None and both["text/plain"] == "(true, false)"


def test_a_busy_engine_is_asked_again(served: Notebook) -> None:
    Engine.answers += [(503, {"code": "api.starting", "message": "soon"}), (200, detail())]
    assert served.run('JuliaBox.publish("sums", fib)').status == "ok"
    Engine.answers += [(503, {"code": "api.starting", "message": "soon"})] * 4
    assert "soon (api.starting)" in served.run('JuliaBox.publish("sums", fib)').error


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, None), "the engine answered 500"),
        ((200, {"surprise": 1}), "is not understood"),
        ((200, None), "is not understood"),
        ((302, None), "the engine answered 302"),
    ],
)
def test_answers_of_another_kind_are_told(
    served: Notebook, answer: tuple[int, Any], message: str
) -> None:
    Engine.answers.append(answer)
    assert message in served.run('JuliaBox.publish("sums", fib)').error
    assert len(Engine.asked) == 1


def test_an_engine_that_is_away_is_told(served: Notebook) -> None:
    error = served.run(
        'withenv("JULIABOX_API_URL" => "http://127.0.0.1:9/") do; JuliaBox.apis(); end'
    ).error
    assert "does not answer" in error and "Connection refused" in error


def test_apis_are_listed(served: Notebook) -> None:
    apis = [detail()["summary"], detail(api="other", stopped="admin")["summary"]]
    Engine.answers += [(200, {"apis": apis}), (200, {"apis": []})]
    outcome = served.run("mine = JuliaBox.apis(); foreach(println, mine); mine[1].functions")
    assert outcome.stdout == (
        "ada/sums, version 2, for all who have an account: fib\n"
        "ada/other, version 2, for all who have an account: fib (stopped by an admin)\n"
    )
    assert outcome.result is not None and '"fib"' in outcome.result["text/plain"]
    assert served.run("isempty(JuliaBox.apis(shared = true))").result == {"text/plain": "true"}
    assert [path for _, path, _ in Engine.asked] == [
        "/services/api/_/apis", "/services/api/_/apis?shared=1",
    ]  # fmt: skip


def test_an_api_is_removed(served: Notebook) -> None:
    Engine.answers += [(204, None)]
    assert served.run('JuliaBox.unpublish("sums")').status == "ok"
    assert Engine.asked == [("DELETE", "/services/api/_/apis/ada/sums", None)]
