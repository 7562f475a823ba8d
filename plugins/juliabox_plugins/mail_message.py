"""Mails as messages: addresses and headers checked, plain text in UTF-8."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from email.errors import NonASCIILocalPartDefect
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from typing import Annotated, cast

from pydantic import AfterValidator

from juliabox_ext.errors import RequestError

#: Characters of a subject and of an address (RFC 5321) at most.
MAX_SUBJECT = 998
MAX_ADDRESS = 254


@dataclass(frozen=True)
class Mail:
    """One mail with the bare addresses that its envelope names."""

    message: EmailMessage
    sender: str
    rcpt: str


def compose(rcpt: str, sender: str, subject: str, body: str) -> Mail:
    """Return a mail to one recipient; raise ``RequestError`` for what does not fit a header."""
    if not _is_line(subject) or len(subject) > MAX_SUBJECT:
        raise RequestError(
            f"a mail's subject must be one line of at most {MAX_SUBJECT} characters without "
            "control characters",
            code="mail.subject",
        )
    message = EmailMessage(policy=SMTP)
    from_address = _set_address(message, "From", sender)
    to_address = _set_address(message, "To", rcpt)
    message["Subject"] = subject
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=from_address.rpartition("@")[2])
    # RFC 3834: vacation programs do not answer it
    message["Auto-Submitted"] = "auto-generated"
    try:
        message.set_content(body)
    except ValueError:
        raise RequestError(
            "a mail's body must be text that UTF-8 can carry", code="mail.body"
        ) from None
    return Mail(message, from_address, to_address)


def _one_address(text: str) -> str:
    try:
        _set_address(EmailMessage(policy=SMTP), "To", text)
    except RequestError as error:
        raise ValueError(error.message) from None
    return text


#: A mail address in settings, with or without a name in front.
Address = Annotated[str, AfterValidator(_one_address)]


def _set_address(message: EmailMessage, header: str, text: str) -> str:
    """Set a header to exactly one address and return it without its name."""
    refused = RequestError(
        f"{text[:MAX_ADDRESS]!r} is not one mail address, such as ada@example.org",
        code="mail.address",
    )
    if not _is_line(text) or len(text) > 2 * MAX_ADDRESS:
        raise refused
    try:
        message[header] = text
        value = message[header]
        addresses = value.addresses
        groups = value.groups
    except Exception:
        # the parser of the standard library has several ways to fail on hostile text
        raise refused from None
    # a name in another script is no fault: servers with SMTPUTF8 take it
    faults = [one for one in value.defects if not isinstance(one, NonASCIILocalPartDefect)]
    if faults or len(addresses) != 1 or any(group.display_name for group in groups):
        raise refused
    address = addresses[0]
    if not (address.username and address.domain) or len(address.addr_spec) > MAX_ADDRESS:
        raise refused
    return cast(str, address.addr_spec)


def _is_line(text: str) -> bool:
    """Return whether no character breaks a line or controls a terminal."""
    return not any(unicodedata.category(one) in {"Cc", "Zl", "Zp", "Cs"} for one in text)
