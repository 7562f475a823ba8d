"""A real mail server on loopback that keeps what arrives and can be made to refuse."""

from __future__ import annotations

import contextlib
import datetime
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from juliabox_ext.testing.cloud_fake import SentMail


@dataclass
class MailServer:
    """What arrived, and the answers to give instead of accepting."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    #: Address -> the answer to its RCPT.
    refused: dict[str, str] = field(default_factory=dict)
    #: Answers to MAIL, DATA and QUIT.
    mail_answer: str = ""
    data_answer: str = ""
    quit_answer: str = ""

    async def handle_MAIL(  # the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_answer:
            return self.mail_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_answer:
            return self.data_answer
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.envelopes.append(envelope)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self.quit_answer or "221 Bye"

    def authenticate(self, *asked: Any) -> AuthResult:
        login = asked[4]
        assert isinstance(login, LoginPassword)
        self.logins.append((login.login, login.password))
        if login.login == b"busy":
            return AuthResult(success=False, handled=False, message="454 4.7.0 Try again later")
        good = (login.login, login.password) == (b"box", b"secret")
        return AuthResult(success=good, handled=False)

    def delivered(self) -> list[SentMail]:
        """Return the mails as their recipients see them."""
        found = []
        for message, envelope in zip(self.messages, self.envelopes, strict=True):
            assert envelope.mail_from is not None
            (rcpt,) = envelope.rcpt_tos
            assert [one.addr_spec for one in message["To"].addresses] == [rcpt]
            found.append(
                SentMail(rcpt, envelope.mail_from, str(message["Subject"]), message.get_content())
            )
        return found


class FreePortController(Controller):
    """Finds out which port the system gave before it connects to it."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextlib.contextmanager
def running(server: MailServer, certificate: Path | None = None, **options: Any) -> Iterator[None]:
    """Run a server on a free port; ``tls=True`` speaks TLS from the first byte."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    always = options.pop("tls", False)
    controller = FreePortController(
        server,
        hostname="127.0.0.1",
        port=0,
        enable_SMTPUTF8=options.pop("utf8", True),
        ssl_context=context if always else None,
        tls_context=None if always else context,
        authenticator=server.authenticate,
        ready_timeout=60,
        **options,
    )
    controller.start()
    server.port = controller.port
    try:
        yield
    finally:
        controller.stop()


def make_certificate(path: Path, host: str = "localhost") -> Path:
    """Write a key and a certificate for a host that signed itself; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
