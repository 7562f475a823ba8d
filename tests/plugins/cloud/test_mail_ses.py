"""Plugin ``ses`` on moto's server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from moto.backends import get_backend

from juliabox_ext.errors import ConfigurationError, NoRoomError, PolicyError, UnavailableError
from juliabox_ext.testing.cloud_fake import SentMail
from juliabox_ext.testing.cloud_mail_suite import RCPT, SENDER
from juliabox_ext.testing.cloud_suite import SendMailSuite
from juliabox_plugins.mail_ses import SesMail
from support.aws_server import KEYS, REGION, AwsServer, FaultyServer
from support.plugin_maker import make

QUOTA = (
    '<GetSendQuotaResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><GetSendQuotaResult>'
    "<SentLast24Hours>{sent}</SentLast24Hours><Max24HourSend>{most}</Max24HourSend>"
    "<MaxSendRate>{rate}</MaxSendRate></GetSendQuotaResult></GetSendQuotaResponse>"
)
REFUSAL = (
    '<ErrorResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/"><Error><Type>Sender</Type>'
    "<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
)


@pytest.fixture
def ses(aws: AwsServer, tmp_path: Path) -> SesMail:
    aws.client("ses").verify_email_identity(EmailAddress="noreply@example.org")
    return make(SesMail, tmp_path, "ses", **aws.settings, sender=SENDER)


class TestSes(SendMailSuite):
    @pytest.fixture
    def mail(self, ses: SesMail) -> SesMail:
        return ses

    @pytest.fixture
    def delivered(self) -> Callable[[], Sequence[SentMail]]:
        def ask() -> list[SentMail]:
            found = []
            for one in get_backend("ses")["123456789012"][REGION].sent_messages:
                message = message_from_string(one.raw_data, policy=default)
                assert isinstance(message, EmailMessage)
                # moto adds the addresses of the headers, as SES does only without Destinations
                (rcpt,) = set(one.destinations)
                body = message.get_content()
                found.append(SentMail(rcpt, one.source, str(message["Subject"]), body))
            return found

        return ask


def test_a_sender_that_is_not_verified_is_refused(ses: SesMail) -> None:
    with pytest.raises(PolicyError, match="plugin ses") as caught:
        ses.send_email(RCPT, "eve@example.com", "Hello", "")
    assert caught.value.code == "mail.refused"


def test_an_address_in_other_letters_is_refused(ses: SesMail) -> None:
    with pytest.raises(PolicyError):
        ses.send_email("ä@example.org", "", "Hello", "")


def faulty_ses(faulty: FaultyServer, folder: Path) -> SesMail:
    return make(SesMail, folder, "ses", **KEYS, endpoint_url=faulty.url, attempts=1, sender=SENDER)


def test_the_rate_of_the_account_is_kept(faulty: FaultyServer, tmp_path: Path) -> None:
    faulty.body = QUOTA.format(sent=0, most=100, rate=10).encode()
    mail = faulty_ses(faulty, tmp_path)
    assert mail.get_email_rates() == (100, 10)
    faulty.body = (
        b'<SendRawEmailResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">'
        b"<SendRawEmailResult><MessageId>1</MessageId></SendRawEmailResult></SendRawEmailResponse>"
    )
    start = time.monotonic()
    for _ in range(4):
        mail.send_email(RCPT, "", "Hello", "")
    assert time.monotonic() - start >= 0.3
    assert mail.get_email_rates() == (96, 10)


def test_a_quota_that_is_used_up_lets_nothing_out(faulty: FaultyServer, tmp_path: Path) -> None:
    faulty.body = QUOTA.format(sent=200, most=200, rate=1).encode()
    with pytest.raises(NoRoomError) as caught:
        faulty_ses(faulty, tmp_path).send_email(RCPT, "", "Hello", "")
    assert caught.value.code == "mail.quota"
    assert faulty.requests == 1


def test_an_account_without_a_bound_has_mails_left(faulty: FaultyServer, tmp_path: Path) -> None:
    faulty.body = QUOTA.format(sent=5, most=-1, rate=14).encode()
    assert faulty_ses(faulty, tmp_path).get_email_rates()[0] > 10**6


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        ((400, "Throttling", "Maximum sending rate exceeded."), UnavailableError, "aws.busy"),
        ((400, "Throttling", "Daily message quota exceeded."), NoRoomError, "mail.quota"),
        ((400, "MessageRejected", "Email address is not verified."), PolicyError, "mail.refused"),
        ((403, "InvalidClientTokenId", "Unknown token."), ConfigurationError, "aws.credentials"),
    ],
    ids=["rate", "quota", "rejected", "credentials"],
)
def test_what_ses_answers_becomes_an_error(
    answer: tuple[int, str, str],
    kind: type[Exception],
    expected: str,
    faulty: FaultyServer,
    tmp_path: Path,
) -> None:
    faulty.body = QUOTA.format(sent=0, most=100, rate=100).encode()
    mail = faulty_ses(faulty, tmp_path)
    mail.get_email_rates()
    faulty.status, code, message = answer
    faulty.body = REFUSAL.format(code=code, message=message).encode()
    with pytest.raises(kind, match="plugin ses") as caught:
        mail.send_email(RCPT, "", "Hello", "")
    assert getattr(caught.value, "code", "") == expected
