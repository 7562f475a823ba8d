"""Plugin ``smtp``: mail through a mail server."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from contextlib import closing, suppress
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from juliabox_ext.cloud import JBPluginCloud, SendMail
from juliabox_ext.errors import (
    ConfigurationError,
    JuliaBoxError,
    PolicyError,
    UnavailableError,
)
from juliabox_ext.plugin import PluginContext, PluginSettings
from juliabox_plugins.mail_message import Address, Mail, compose
from juliabox_plugins.mail_rates import MailRates
from juliabox_plugins.state_file import StateFile

#: A connection that ends: the server may be restarting, its TLS is not at fault.
ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)

PORTS = {"starttls": 587, "tls": 465, "none": 25}


class SmtpSettings(PluginSettings):
    """The operator's settings of ``smtp``."""

    #: Name of the mail server; its certificate is checked against it.
    host: Annotated[str, Field(min_length=1, max_length=253)]
    #: Port; 0 for the usual one of ``security``: 587, 465 or 25.
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    #: ``starttls``, ``tls`` from the first byte, or ``none`` for a server that one trusts the
    #: way to.
    security: Literal["starttls", "tls", "none"] = "starttls"
    #: File with the certificates of a private authority; empty for the system's.
    ca_file: str = ""
    #: Log-in at the server; none if the user is empty.
    user: str = ""
    password: SecretStr = SecretStr("")
    #: Sender of mails that name none.
    sender: Address
    #: Seconds that the server may take for each answer.
    timeout: Annotated[float, Field(gt=0, le=300)] = 20.0
    #: What the server's owner lets out.
    rate_per_sec: Annotated[float, Field(ge=0.02, le=1000)] = 5.0
    daily_quota: Annotated[int, Field(ge=1)] = 2000

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.user and self.security == "none" and not _is_loopback(self.host):
            raise ValueError(
                f"security: none would send the password to {self.host} in the clear; use "
                "starttls or tls"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SmtpMail(SendMail):
    """Sends each mail over a connection of its own, within the rates of the settings."""

    provides: ClassVar = [JBPluginCloud.JBP_SENDMAIL, JBPluginCloud.JBP_SENDMAIL_SMTP]
    Settings: ClassVar = SmtpSettings

    settings: SmtpSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, SmtpSettings)  # noqa: S101  # the registry made it
        self.settings = context.settings
        self._rates = MailRates(StateFile(context.folder / "sent.json", self.name), self.name)
        self._tls: ssl.SSLContext | None = None

    def configure(self) -> None:
        """Read the certificates and today's count; the server is not contacted."""
        if self.settings.security != "none":
            try:
                self._tls = ssl.create_default_context(cafile=self.settings.ca_file or None)
            except OSError as error:
                raise ConfigurationError(
                    f"plugin {self.name}: {self.settings.ca_file} has no certificates that can be "
                    f"read: {error.strerror or error}. Mend plugins.settings.{self.name}.ca_file",
                    code="mail.ca_file",
                ) from error
        self._rates.open()

    def close(self) -> None:
        """Send those away that wait for their turn."""
        self._rates.close()

    def get_email_rates(self) -> tuple[int, float]:
        """Return the mails left today and the mails allowed per second."""
        quota, rate = self.settings.daily_quota, self.settings.rate_per_sec
        return self._rates.left(quota), rate

    def send_email(self, rcpt: str, sender: str, subject: str, body: str) -> None:
        """Send one mail of plain text."""
        mail = compose(rcpt, sender or self.settings.sender, subject, body)
        self._rates.take(self.settings.rate_per_sec, self.settings.daily_quota)
        try:
            self._deliver(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refusal(mail, *next(iter(error.recipients.values()))) from error
        except smtplib.SMTPResponseException as error:
            if error.smtp_code // 100 not in (4, 5):
                self._rates.give_back()
                raise self._no_connection(error) from error
            raise self._refusal(mail, error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            self._rates.give_back()
            raise self._no_connection(error) from error
        except JuliaBoxError:
            self._rates.give_back()
            raise

    def _deliver(self, mail: Mail) -> None:
        with closing(self._connected(mail)) as server:
            self._log_in(server)
            server.send_message(mail.message, mail.sender, [mail.rcpt])
            # the mail is the server's now; what becomes of the farewell is nobody's concern
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    @property
    def _where(self) -> str:
        return f"{self.settings.host}:{self._port}"

    @property
    def _port(self) -> int:
        return self.settings.port or PORTS[self.settings.security]

    def _connected(self, mail: Mail) -> smtplib.SMTP:
        # the library would look its own name up in the DNS, which may take long
        own_name = mail.sender.rpartition("@")[2]
        host, port, timeout = self.settings.host, self._port, self.settings.timeout
        if self.settings.security == "tls":
            return smtplib.SMTP_SSL(host, port, own_name, timeout=timeout, context=self._tls)
        server = smtplib.SMTP(host, port, own_name, timeout)
        try:
            if self.settings.security == "starttls":
                server.starttls(context=self._tls)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP) -> None:
        if not self.settings.user:
            return
        try:
            server.login(self.settings.user, self.settings.password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code // 100 == 4:
                raise
            raise ConfigurationError(
                f"plugin {self.name}: {self._where} refuses the log-in of {self.settings.user}: "
                f"{error.smtp_code} {_text(error.smtp_error)}. Mend user and password in "
                f"plugins.settings.{self.name}",
                code="mail.login",
            ) from None

    def _no_connection(self, error: Exception) -> JuliaBoxError:
        """Tell a server that is away from one that these settings will never reach."""
        what = f"plugin {self.name}: {self._where}"
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return ConfigurationError(
                f"{what} cannot do what is asked of it: {error}. Look at security, user and "
                f"addresses in plugins.settings.{self.name}",
                code="mail.unsupported",
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, ENDED):
            return ConfigurationError(
                f"{what} gives no safe connection: {error}. See that host is the name in its "
                "certificate, that port and security fit, and that ca_file names its authority "
                "if it is a private one",
                code="mail.tls",
            )
        return UnavailableError(
            f"{what} does not answer: {_text(str(error))}. Send the mail again; see that the "
            "server runs and can be reached",
            code="mail.unreachable",
        )

    def _refusal(self, mail: Mail, code: int, reply: bytes | str) -> JuliaBoxError:
        what = f"plugin {self.name}: {self._where} answers {code} {_text(reply)}"
        if code // 100 == 5:
            return PolicyError(
                f"{what}. It takes no mail from {mail.sender} to {mail.rcpt}; see that both "
                "addresses are right and that the server relays for this machine",
                code="mail.refused",
            )
        self._rates.give_back()
        return UnavailableError(
            f"{what}. It takes the mail to {mail.rcpt} later; send it again", code="mail.deferred"
        )


def _text(reply: bytes | str) -> str:
    """Return a server's words on one short line."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:200]
