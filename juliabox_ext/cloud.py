"""Mount point ``juliabox.cloud``: blobs, names, mail and machines.

Loaded where used: buckets and compute by the manager, mail by the hub, mail and compute by the
portal. Each functionality has one provider in an installation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from juliabox_ext.plugin import Plugin


class JBPluginCloud(Plugin):
    """Services of a cloud, or the like on this machine."""

    JBP_BUCKETSTORE = "cloud.bucketstore"
    JBP_BUCKETSTORE_S3 = "cloud.bucketstore.s3"
    JBP_BUCKETSTORE_LOCALDIR = "cloud.bucketstore.localdir"
    JBP_DNS = "cloud.dns"
    JBP_DNS_ROUTE53 = "cloud.dns.route53"
    JBP_SENDMAIL = "cloud.sendmail"
    JBP_SENDMAIL_SES = "cloud.sendmail.ses"
    JBP_SENDMAIL_SMTP = "cloud.sendmail.smtp"
    JBP_COMPUTE = "cloud.compute"
    JBP_COMPUTE_EC2 = "cloud.compute.ec2"
    JBP_COMPUTE_SINGLENODE = "cloud.compute.singlenode"


class BucketStore(JBPluginCloud):
    """Blobs in named buckets (``JBP_BUCKETSTORE*``); a blob's key is its local file's name.

    Bucket names have 3 to 63 of ``[a-z0-9-]``; keys at most 200 bytes of UTF-8, no separators, no
    dot in front. Names of metadata have at most 64 of ``[a-z0-9-]`` and do not start with
    ``juliabox-``; values are any text. All metadata have at most 1,900 bytes, percent-encoded.

    Errors: ``RequestError`` for such a name or a local file that cannot be read, ``NotFoundError``
    for an absent bucket or blob, ``UnavailableError`` when the store does not answer,
    ``NoRoomError`` when it, or the local disk, is full, ``PolicyError`` when it refuses,
    ``ConfigurationError`` when its credentials do not hold. Nothing is left half-written.
    """

    @abstractmethod
    def push(
        self, bucket: str, local_file: Path, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store a file; readers see the old blob or the whole new one, never a part.

        Whether an absent bucket is made is the store's choice.
        """

    @abstractmethod
    def pull(self, bucket: str, local_file: Path, metadata_only: bool = False) -> dict[str, str]:
        """Bring a blob to ``local_file``, which appears whole or not at all; return its metadata.

        Raise ``UnavailableError`` (code ``bucket.corrupt``) if its checksum does not match.
        """

    @abstractmethod
    def delete(self, bucket: str, local_file: Path) -> None:
        """Delete a blob; nothing if it is absent."""

    @abstractmethod
    def copy(
        self, from_file: Path, to_file: Path, from_bucket: str, to_bucket: str | None = None
    ) -> None:
        """Copy a blob with its metadata, within a bucket unless ``to_bucket`` is given."""

    def move(
        self, from_file: Path, to_file: Path, from_bucket: str, to_bucket: str | None = None
    ) -> None:
        """Copy, then delete the source; a crash between leaves both."""
        self.copy(from_file, to_file, from_bucket, to_bucket)
        if (from_file.name, from_bucket) != (to_file.name, to_bucket or from_bucket):
            self.delete(from_bucket, from_file)

    @abstractmethod
    def list(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys of a bucket's blobs that start with ``prefix``, sorted."""


class Dns(JBPluginCloud):
    """Names of instances (``JBP_DNS*``)."""

    @abstractmethod
    def domain(self) -> str:
        """Return the domain under which names are made; empty if none is."""

    @abstractmethod
    def add_cname(self, name: str, value: str) -> None:
        """Make ``name`` an alias of the host ``value``; an existing alias is replaced."""

    @abstractmethod
    def delete_cname(self, name: str) -> None:
        """Remove an alias; nothing if it is absent."""


class SendMail(JBPluginCloud):
    """Mail (``JBP_SENDMAIL*``).

    Errors: ``UnavailableError`` when the service does not answer (retryable), ``NoRoomError`` when
    a quota is used up, ``PolicyError`` when the recipient or sender is refused,
    ``ConfigurationError`` when log-in or encryption cannot work as configured.
    """

    @abstractmethod
    def get_email_rates(self) -> tuple[int, float]:
        """Return the mails left today and the mails allowed per second."""

    @abstractmethod
    def send_email(self, rcpt: str, sender: str, subject: str, body: str) -> None:
        """Send one mail of plain text, keeping to the rates (it waits its turn, at most 60 s).

        ``sender=""`` means the configured one. Raise ``RequestError`` for an address or subject
        with a line break.
        """


@dataclass(frozen=True)
class Stat:
    """A figure of one instance: its newest value, its unit and the time it was measured."""

    value: float
    unit: str
    time: datetime


class Compute(JBPluginCloud):
    """Machines and their load (``JBP_COMPUTE*``).

    ``instance_id=None`` means this instance; one that does not run raises ``NotFoundError``, and
    has no figures. ``is_leader`` tells whether this instance leads. A name of a figure has at most
    100 of ``[A-Za-z0-9._-]``; ``Load`` (in percent) is the one that decides where sessions go, and
    ``NumActiveContainers`` and ``NumActiveAPIContainers`` tell whether an instance is empty.
    ``namespace`` is another installation's identifier.

    Errors: ``RequestError`` for what is no figure, ``UnavailableError``, ``NoRoomError``,
    ``PolicyError`` and ``ConfigurationError`` as of :class:`BucketStore`.
    """

    @abstractmethod
    def get_install_id(self) -> str:
        """Return the identifier of the installation, unique on shared infrastructure."""

    @abstractmethod
    def get_instance_id(self) -> str:
        """Return the identifier of this instance."""

    @abstractmethod
    def get_alias_hostname(self) -> str:
        """Return the name in the installation's domain that reaches this instance."""

    @abstractmethod
    def get_all_instances(self, gname: str | None = None) -> list[str]:
        """Return the identifiers of running instances, of one group if given, sorted."""

    @abstractmethod
    def get_instance_public_hostname(self, instance_id: str | None = None) -> str:
        """Return the name that reaches an instance from outside."""

    @abstractmethod
    def get_instance_local_hostname(self, instance_id: str | None = None) -> str:
        """Return the name that reaches an instance from within the cluster."""

    @abstractmethod
    def get_instance_public_ip(self, instance_id: str | None = None) -> str:
        """Return the address that reaches an instance from outside; empty if it has none."""

    @abstractmethod
    def get_instance_local_ip(self, instance_id: str | None = None) -> str:
        """Return the address that reaches an instance from within the cluster."""

    @abstractmethod
    def publish_stats(self, stat_name: str, stat_unit: str, stat_value: float) -> None:
        """Record a figure of this instance; units are ``Percent``, ``Count``, ``Bytes``."""

    @abstractmethod
    def get_instance_stats(
        self, instance: str, stat_name: str, namespace: str | None = None
    ) -> Stat | None:
        """Return an instance's newest figure; None if it has none, or an old one (450 s)."""

    @abstractmethod
    def get_cluster_stats(self, stat_name: str, namespace: str | None = None) -> dict[str, Stat]:
        """Return the newest figures of all instances that have one, by identifier."""

    @abstractmethod
    def get_cluster_average_stats(
        self,
        stat_name: str,
        namespace: str | None = None,
        results: Mapping[str, Stat] | None = None,
    ) -> float | None:
        """Return the mean over instances, of ``results`` if given; None without any."""

    @abstractmethod
    def terminate_instance(self, instance: str | None = None) -> None:
        """End an instance; raise ``PolicyError`` where that is not possible."""

    @abstractmethod
    def can_terminate(self, is_leader: bool) -> bool:
        """Return whether this instance may end now: empty, old enough, not leader, not last."""

    @abstractmethod
    def should_accept_session(self, is_leader: bool) -> bool:
        """Return whether this instance takes a new session; may start another instance."""

    @abstractmethod
    def get_redirect_instance_id(self) -> str | None:
        """Return the instance to load instead; None if none is better."""

    @abstractmethod
    def get_image_recentness(self, instance: str | None = None) -> int:
        """Return 0 if an instance runs the newest image, less if an older, more if a newer one."""


JBPluginCloud.functionalities = {
    JBPluginCloud.JBP_BUCKETSTORE: BucketStore,
    JBPluginCloud.JBP_BUCKETSTORE_S3: BucketStore,
    JBPluginCloud.JBP_BUCKETSTORE_LOCALDIR: BucketStore,
    JBPluginCloud.JBP_DNS: Dns,
    JBPluginCloud.JBP_DNS_ROUTE53: Dns,
    JBPluginCloud.JBP_SENDMAIL: SendMail,
    JBPluginCloud.JBP_SENDMAIL_SES: SendMail,
    JBPluginCloud.JBP_SENDMAIL_SMTP: SendMail,
    JBPluginCloud.JBP_COMPUTE: Compute,
    JBPluginCloud.JBP_COMPUTE_EC2: Compute,
    JBPluginCloud.JBP_COMPUTE_SINGLENODE: Compute,
}

#: Features of which an installation uses exactly one provider.
SINGLE: Sequence[str] = (
    JBPluginCloud.JBP_BUCKETSTORE,
    JBPluginCloud.JBP_DNS,
    JBPluginCloud.JBP_SENDMAIL,
    JBPluginCloud.JBP_COMPUTE,
)
