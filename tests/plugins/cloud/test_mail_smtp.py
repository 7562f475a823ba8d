"""Plugin ``smtp`` on a real mail server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from juliabox_ext.errors import (
    ConfigurationError,
    JuliaBoxError,
    NoRoomError,
    PolicyError,
    UnavailableError,
)
from juliabox_ext.testing.cloud_fake import SentMail
from juliabox_ext.testing.cloud_mail_suite import RCPT, SENDER
from juliabox_ext.testing.cloud_suite import SendMailSuite
from juliabox_plugins import mail_rates
from juliabox_plugins.mail_smtp import SmtpMail
from support.mail_server import MailServer, make_certificate, running
from support.plugin_maker import make


@pytest.fixture(autouse=True)
def _one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no day end within a test: each has a count of its own."""
    now = datetime.now(UTC)
    monkeypatch.setattr(mail_rates, "datetime", SimpleNamespace(now=lambda _: now))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "localhost.pem")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    made = MailServer()
    with running(made):
        yield made


def plain(server: MailServer, folder: Path, **settings: object) -> SmtpMail:
    given = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": SENDER,
        "timeout": 20,
        "rate_per_sec": 1000,
    }
    return make(SmtpMail, folder, "smtp", **{**given, **settings})


def refusal(mail: SmtpMail, kind: type[JuliaBoxError], code: str, rcpt: str = RCPT) -> str:
    """Send a mail, which must fail so; return the message."""
    before = mail.get_email_rates()
    with pytest.raises(kind) as caught:
        mail.send_email(rcpt, "", "Hello", "body")
    assert caught.value.code == code
    assert caught.value.message.startswith("plugin smtp: ")
    if kind is not PolicyError:
        assert mail.get_email_rates() == before
    return caught.value.message


class TestSmtpMail(SendMailSuite):
    @pytest.fixture
    def mail(self, server: MailServer, tmp_path: Path) -> SmtpMail:
        return plain(server, tmp_path)

    @pytest.fixture
    def delivered(self, server: MailServer) -> Callable[[], Sequence[SentMail]]:
        return server.delivered


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_with_a_log_in_goes_encrypted(
    security: str, certificate: Path, tmp_path: Path
) -> None:
    server = MailServer()
    with running(server, certificate, tls=security == "tls", auth_require_tls=False):
        mail = plain(
            server, tmp_path, host="localhost", security=security, ca_file=str(certificate),
            user="box", password="secret",
        )  # fmt: skip
        mail.send_email(RCPT, "", "Hello", "body")
    assert [mail.rcpt for mail in server.delivered()] == [RCPT]
    assert server.logins == [(b"box", b"secret")]
    assert server.encrypted == [True]


def test_headers_tell_programs_what_it_is(server: MailServer, tmp_path: Path) -> None:
    plain(server, tmp_path).send_email(RCPT, "", "Hello", "body")
    (message,) = server.messages
    assert message["From"] == SENDER
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    assert message["Date"].datetime is not None


@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "tls"])
def test_a_certificate_of_nobody_known_is_refused(
    tls: bool, certificate: Path, tmp_path: Path
) -> None:
    server = MailServer()
    with running(server, certificate, tls=tls):
        security = "tls" if tls else "starttls"
        mail = plain(server, tmp_path, host="localhost", security=security)
        assert "ca_file" in refusal(mail, ConfigurationError, "mail.tls")
    assert server.messages == []


def test_a_certificate_of_another_host_is_refused(certificate: Path, tmp_path: Path) -> None:
    server = MailServer()
    with running(server, certificate):
        mail = plain(server, tmp_path, security="starttls", ca_file=str(certificate))
        refusal(mail, ConfigurationError, "mail.tls")
    assert server.messages == []


def test_a_server_without_starttls_gets_no_mail(server: MailServer, tmp_path: Path) -> None:
    mail = plain(server, tmp_path, security="starttls", user="box", password="secret")
    refusal(mail, ConfigurationError, "mail.unsupported")
    assert (server.messages, server.logins) == ([], [])


def test_tls_to_a_plain_port_is_a_wrong_setting(server: MailServer, tmp_path: Path) -> None:
    refusal(plain(server, tmp_path, security="tls"), ConfigurationError, "mail.tls")


def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path) -> None:
    server = MailServer()
    with running(server, auth_require_tls=False):
        mail = plain(server, tmp_path, user="box", password="hunter2")
        message = refusal(mail, ConfigurationError, "mail.login")
        busy = plain(server, tmp_path, user="busy", password="hunter2")
        refusal(busy, UnavailableError, "mail.deferred")
    assert "hunter2" not in message and "plugins.settings.smtp" in message
    assert "hunter2" not in repr(mail.settings)


def test_a_refused_recipient_is_refused_for_good(server: MailServer, tmp_path: Path) -> None:
    server.refused[RCPT] = "550 5.1.1 No such\x07 person\x1b[31m"
    message = refusal(plain(server, tmp_path), PolicyError, "mail.refused")
    assert RCPT in message and message.isprintable()


@pytest.mark.parametrize("step", ["mail_answer", "data_answer"], ids=["sender", "content"])
@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ("554 5.7.1 Looks like spam", PolicyError, "mail.refused"),
        ("451 4.3.0 Later", UnavailableError, "mail.deferred"),
    ],
    ids=["refused", "deferred"],
)
def test_answers_become_errors(
    step: str,
    answer: str,
    kind: type[JuliaBoxError],
    code: str,
    tmp_path: Path,
) -> None:
    server = MailServer(**{step: answer})
    with running(server):
        refusal(plain(server, tmp_path), kind, code)
    assert server.messages == []


def test_greylisting_lets_the_mail_through_when_it_comes_again(
    server: MailServer, tmp_path: Path
) -> None:
    mail = plain(server, tmp_path)
    server.refused[RCPT] = "451 4.7.1 Greylisted"
    refusal(mail, UnavailableError, "mail.deferred")
    server.refused.clear()
    mail.send_email(RCPT, "", "Hello", "body")
    assert len(server.messages) == 1


def test_a_rude_farewell_does_not_send_the_mail_again(server: MailServer, tmp_path: Path) -> None:
    server.quit_answer = "500 Whatever"
    plain(server, tmp_path).send_email(RCPT, "", "Hello", "body")
    assert len(server.messages) == 1


def test_a_mail_to_a_name_in_another_script_needs_a_server_that_can(tmp_path: Path) -> None:
    server = MailServer()
    with running(server, utf8=False):
        refusal(plain(server, tmp_path), ConfigurationError, "mail.unsupported", "ä@example.org")
    with running(server):
        plain(server, tmp_path).send_email("ä@example.org", "", "Hello", "body")
    assert [one.rcpt_tos for one in server.envelopes] == [["ä@example.org"]]


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = MailServer(port=taken.getsockname()[1])
        message = refusal(plain(server, tmp_path), UnavailableError, "mail.unreachable")
    assert f"127.0.0.1:{server.port}" in message


@contextlib.contextmanager
def saying(*lines: bytes) -> Iterator[MailServer]:
    """A server that says these lines, one for each it hears, then nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    for line in lines:
                        connection.sendall(line)
                        if not connection.recv(1000):
                            return
                    connection.recv(1000)

        # nobody waits for it at the end of the run if the test fails
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield MailServer(port=listener.getsockname()[1])
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "lines", [(), (b"220 hello\r\n",), (b"220 hello\r\n", b"250 hello\r\n")],
    ids=["at_once", "after_the_greeting", "before_the_mail"],
)  # fmt: skip
def test_a_server_that_hangs_is_given_up(lines: tuple[bytes, ...], tmp_path: Path) -> None:
    with saying(*lines) as server:
        start = time.monotonic()
        refusal(plain(server, tmp_path, timeout=0.3), UnavailableError, "mail.unreachable")
        assert time.monotonic() - start < 10


def test_a_server_that_speaks_something_else_is_told(tmp_path: Path) -> None:
    with saying(b"HTTP/1.1 400 Bad Request\r\n") as server:
        refusal(plain(server, tmp_path), UnavailableError, "mail.unreachable")


def test_mails_keep_to_the_rate(server: MailServer, tmp_path: Path) -> None:
    mail = plain(server, tmp_path, rate_per_sec=10)
    threads = [
        threading.Thread(target=mail.send_email, args=(RCPT, "", f"Mail {number}", ""))
        for number in range(5)
    ]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start >= 0.4
    assert len(server.messages) == 5


def test_a_mail_that_would_wait_too_long_is_sent_away(server: MailServer, tmp_path: Path) -> None:
    mail = plain(server, tmp_path, rate_per_sec=0.02)
    pool = ThreadPoolExecutor()
    waiting = pool.submit(refusal, mail, UnavailableError, "mail.closed")
    while mail.get_email_rates()[0] == 2000:
        time.sleep(0.01)
    with pytest.raises(NoRoomError) as caught:
        mail.send_email(RCPT, "", "Hello", "")
    assert (caught.value.code, caught.value.retryable) == ("mail.rate", True)
    mail.close()
    waiting.result(30)
    pool.shutdown()


def test_the_daily_quota_survives_a_restart(server: MailServer, tmp_path: Path) -> None:
    first = plain(server, tmp_path, daily_quota=2)
    assert first.get_email_rates() == (2, 1000)
    first.send_email(RCPT, "", "One", "")
    second = plain(server, tmp_path, daily_quota=2)
    assert second.get_email_rates() == (1, 1000)
    second.send_email(RCPT, "", "Two", "")
    refusal(second, NoRoomError, "mail.quota")
    assert len(server.messages) == 2


def test_mail_goes_on_when_its_count_cannot_be_kept(server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("in the way")
    mail = plain(server, tmp_path, daily_quota=2)
    mail.send_email(RCPT, "", "One", "")
    assert mail.get_email_rates()[0] == 1
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": ""}, "host"),
        ({"sender": "nobody"}, "mail address"),
        ({"sender": "a@example.org\nBcc: b@example.org"}, "mail address"),
        ({"user": "box", "password": "x"}, "in the clear"),
        ({"rate_per_sec": 0}, "rate_per_sec"),
        ({"speed": 1}, "speed"),
    ],
    ids=["no_host", "no_sender", "forged_sender", "password_in_the_clear", "no_rate", "unknown"],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, object], reason: str, tmp_path: Path
) -> None:
    given = {"host": "mail.example.org", "security": "none", "sender": SENDER, **settings}
    with pytest.raises(ValidationError, match=reason):
        make(SmtpMail, tmp_path, **given)


def test_a_missing_file_of_certificates_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\.settings\.mine\.ca_file"):
        make(SmtpMail, tmp_path, host="a", sender=SENDER, ca_file=str(tmp_path / "absent"))


def test_ports_follow_the_security(tmp_path: Path) -> None:
    for security, port in {"starttls": 587, "tls": 465, "none": 25}.items():
        mail = make(SmtpMail, tmp_path, host="a", sender=SENDER, security=security)
        assert mail._port == port
