"""Plugin ``ses``: mail through Amazon SES."""

from __future__ import annotations

import threading
import time
from typing import Annotated, ClassVar

from pydantic import Field

from juliabox_ext.cloud import JBPluginCloud, SendMail
from juliabox_ext.errors import JuliaBoxError, NoRoomError, PolicyError
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.aws import Aws, AwsSettings
from juliabox_plugins.mail_message import Address, compose
from juliabox_plugins.mail_rates import MailRates
from juliabox_plugins.state_file import StateFile

#: Seconds for which what SES tells of the account's quota is believed.
QUOTA_AGE = 60.0


class SesSettings(AwsSettings):
    """The operator's settings of ``ses``."""

    #: Sender of mails that name none; SES must have verified it or its domain.
    sender: Address
    #: Configuration set that mails are counted under, if any.
    configuration_set: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class SesMail(SendMail):
    """Sends within the rates that SES gives the account, whoever else uses it."""

    provides: ClassVar = [JBPluginCloud.JBP_SENDMAIL, JBPluginCloud.JBP_SENDMAIL_SES]
    Settings: ClassVar = SesSettings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, SesSettings)  # noqa: S101  # the registry made it
        self.settings = context.settings
        self._aws = Aws(context.settings, self.name)
        self._rates = MailRates(StateFile(context.folder / "sent.json", self.name), self.name)
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._left, self._rate = 0, 0.0

    def close(self) -> None:
        """Send those away that wait for their turn, and close the connections."""
        self._rates.close()
        self._aws.close()

    def get_email_rates(self) -> tuple[int, float]:
        """Return what SES has left of 24 hours for the account, and its rate per second."""
        with self._lock:
            if time.monotonic() - self._asked > QUOTA_AGE:
                with self._aws.told("tell the quota of mails"):
                    found = self._aws.client("ses").get_send_quota()
                left = found["Max24HourSend"] - found["SentLast24Hours"]
                # SES writes -1 for an account without a bound
                self._left = 10**9 if found["Max24HourSend"] < 0 else max(0, int(left))
                self._rate = max(0.02, float(found["MaxSendRate"]))
                self._asked = time.monotonic()
            return self._left, self._rate

    def send_email(self, rcpt: str, sender: str, subject: str, body: str) -> None:
        """Send one mail of plain text."""
        mail = compose(rcpt, sender or self.settings.sender, subject, body)
        if not (mail.rcpt + mail.sender).isascii():
            raise PolicyError(
                f"plugin {self.name}: SES takes no address in letters such as {mail.rcpt} has",
                code="mail.refused",
            )
        left, rate = self.get_email_rates()
        if left < 1:
            raise self._used_up()
        self._rates.take(rate)
        options = {}
        if self.settings.configuration_set:
            options["ConfigurationSetName"] = self.settings.configuration_set
        try:
            with self._aws.told(f"send a mail to {mail.rcpt}"):
                self._aws.client("ses").send_raw_email(
                    Source=mail.sender,
                    Destinations=[mail.rcpt],
                    RawMessage={"Data": mail.message.as_bytes()},
                    **options,
                )
        except PolicyError as error:
            raise PolicyError(error.message, code="mail.refused") from error
        except JuliaBoxError as error:
            # whether it counted only SES knows
            self._asked = float("-inf")
            if "Daily message quota" in error.message:
                raise self._used_up() from error
            raise
        with self._lock:
            self._left -= 1

    def _used_up(self) -> NoRoomError:
        return NoRoomError(
            f"plugin {self.name}: SES has no mail left for this account in 24 hours. Wait, or ask "
            "AWS to raise the quota",
            code="mail.quota",
        )
