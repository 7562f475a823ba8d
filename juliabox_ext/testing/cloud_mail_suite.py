"""What every provider of ``cloud.sendmail`` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from juliabox_ext.cloud import SendMail
from juliabox_ext.errors import RequestError
from juliabox_ext.testing.cloud_fake import SentMail

SENDER = "JuliaBox <noreply@example.org>"
RCPT = "ada@example.org"


class SendMailSuite:
    """Derive from it and give the two fixtures; the plugin's own sender must be ``SENDER``."""

    @pytest.fixture
    def mail(self) -> SendMail:
        raise NotImplementedError("return a configured plugin that may send at least ten mails")

    @pytest.fixture
    def delivered(self) -> Callable[[], Sequence[SentMail]]:
        raise NotImplementedError("return a function that lists the mails that arrived")

    def test_a_mail_arrives_as_it_was_sent(
        self, mail: SendMail, delivered: Callable[[], Sequence[SentMail]]
    ) -> None:
        mail.send_email(RCPT, "noreply@example.org", "Welcome", "Hello Ada,\n\nyou are in.\n")
        (arrived,) = delivered()
        assert (arrived.rcpt, arrived.sender) == (RCPT, "noreply@example.org")
        assert arrived.subject == "Welcome"
        assert arrived.body.splitlines() == ["Hello Ada,", "", "you are in."]

    def test_an_empty_sender_means_the_configured_one(
        self, mail: SendMail, delivered: Callable[[], Sequence[SentMail]]
    ) -> None:
        mail.send_email(RCPT, "", "Welcome", "Hello")
        (arrived,) = delivered()
        assert arrived.sender == "noreply@example.org"

    def test_letters_of_all_scripts_arrive(
        self, mail: SendMail, delivered: Callable[[], Sequence[SentMail]]
    ) -> None:
        subject, body = "Grüße, 你好 ✓", "Ωμέγα — " + "ü" * 2000
        mail.send_email(RCPT, "", subject, body)
        (arrived,) = delivered()
        assert (arrived.subject, arrived.body.strip()) == (subject, body)

    def test_a_line_that_is_a_dot_does_not_end_the_mail(
        self, mail: SendMail, delivered: Callable[[], Sequence[SentMail]]
    ) -> None:
        mail.send_email(RCPT, "", "Dots", "before\n.\nafter")
        (arrived,) = delivered()
        assert arrived.body.splitlines() == ["before", ".", "after"]

    @pytest.mark.parametrize(
        ("rcpt", "sender", "subject"),
        [
            ("ada@example.org\r\nBcc: eve@example.org", "", "Hello"),
            ("ada@example.org\nBcc: eve@example.org", "", "Hello"),
            (RCPT, "noreply@example.org\nBcc: eve@example.org", "Hello"),
            (RCPT, "", "Hello\r\nBcc: eve@example.org"),
            (RCPT, "", "Hello\nBcc: eve@example.org"),
            (RCPT, "", "Hello\rBcc: eve@example.org"),
            ("", "", "Hello"),
            ("ada", "", "Hello"),
            ("ada@example.org, eve@example.org", "", "Hello"),
        ],
        ids=[
            "recipient_with_a_line_break", "recipient_with_a_line_feed", "sender_with_a_line_feed",
            "subject_with_a_line_break", "subject_with_a_line_feed", "subject_with_a_return",
            "no_recipient", "recipient_without_a_domain", "two_recipients",
        ],
    )  # fmt: skip
    def test_what_would_forge_a_header_is_refused(
        self,
        mail: SendMail,
        delivered: Callable[[], Sequence[SentMail]],
        rcpt: str,
        sender: str,
        subject: str,
    ) -> None:
        with pytest.raises(RequestError):
            mail.send_email(rcpt, sender, subject, "body")
        assert list(delivered()) == []

    def test_each_mail_counts_against_the_quota(self, mail: SendMail) -> None:
        left, rate = mail.get_email_rates()
        assert rate > 0
        mail.send_email(RCPT, "", "One", "1")
        assert mail.get_email_rates() == (left - 1, rate)

    def test_a_mail_that_is_refused_for_its_form_does_not_count(self, mail: SendMail) -> None:
        before = mail.get_email_rates()
        with pytest.raises(RequestError):
            mail.send_email(RCPT, "", "two\nlines", "body")
        assert mail.get_email_rates() == before
