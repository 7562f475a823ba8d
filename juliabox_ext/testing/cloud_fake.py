"""Providers of ``juliabox.cloud`` that live in memory, for tests of what uses them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from juliabox_ext.cloud import BucketStore, Compute, Dns, JBPluginCloud, SendMail, Stat
from juliabox_ext.errors import NoRoomError, NotFoundError, PolicyError, RequestError
from juliabox_ext.plugin import PluginContext


@dataclass(frozen=True)
class SentMail:
    """A mail as its recipient sees it; addresses are bare."""

    rcpt: str
    sender: str
    subject: str
    body: str


class FakeBucketStore(BucketStore):
    """Keeps blobs in :attr:`blobs`, by bucket and key, with their metadata."""

    provides: ClassVar = [JBPluginCloud.JBP_BUCKETSTORE]

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.blobs: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = {}
        self._lock = threading.RLock()

    def push(
        self, bucket: str, local_file: Path, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Keep a file's content; makes the bucket."""
        kept = dict(metadata or {})
        for name, value in kept.items():
            if not re.fullmatch(r"(?!juliabox-)[a-z0-9][a-z0-9-]{0,63}", name):
                raise RequestError(f"{name!r} is no name of metadata")
            if len(value) > 1000:
                raise RequestError("metadata are too long")
        key = self._key(local_file)
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket):
            raise RequestError(f"{bucket!r} is no bucket's name")
        if local_file.is_symlink() or not local_file.is_file():
            raise RequestError(f"{local_file} is no file")
        with self._lock:
            self.blobs.setdefault(bucket, {})[key] = (local_file.read_bytes(), kept)

    def pull(self, bucket: str, local_file: Path, metadata_only: bool = False) -> dict[str, str]:
        """Write a blob to a file."""
        content, metadata = self._blob(bucket, self._key(local_file))
        if not metadata_only:
            local_file.write_bytes(content)
        return dict(metadata)

    def delete(self, bucket: str, local_file: Path) -> None:
        """Forget a blob."""
        key = self._key(local_file)
        self._bucket(bucket).pop(key, None)

    def copy(
        self, from_file: Path, to_file: Path, from_bucket: str, to_bucket: str | None = None
    ) -> None:
        """Keep a blob under another name, too."""
        blob = self._blob(from_bucket, self._key(from_file))
        with self._lock:
            self.blobs.setdefault(to_bucket or from_bucket, {})[self._key(to_file)] = blob

    def list(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the keys, sorted."""
        if prefix:
            self._key(Path(prefix) if "/" not in prefix else Path())
        with self._lock:
            return sorted(key for key in self._bucket(bucket) if key.startswith(prefix))

    def _key(self, file: Path) -> str:
        name = file.name
        bad = not name or name.startswith(".") or len(name.encode()) > 200
        if bad or any(one in "\\\n\0" for one in name):
            raise RequestError(f"{name!r} is no blob's name")
        return name

    def _bucket(self, bucket: str) -> dict[str, tuple[bytes, dict[str, str]]]:
        if bucket not in self.blobs:
            raise NotFoundError(f"there is no bucket {bucket!r}")
        return self.blobs[bucket]

    def _blob(self, bucket: str, key: str) -> tuple[bytes, dict[str, str]]:
        if key not in self._bucket(bucket):
            raise NotFoundError(f"bucket {bucket} has no blob {key!r}")
        return self.blobs[bucket][key]


class FakeDns(Dns):
    """Keeps aliases in :attr:`aliases`."""

    provides: ClassVar = [JBPluginCloud.JBP_DNS]

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.aliases: dict[str, str] = {}

    def domain(self) -> str:
        """Return ``example.org``."""
        return "example.org"

    def add_cname(self, name: str, value: str) -> None:
        """Keep an alias."""
        self.aliases[self._checked(name)] = self._checked(value)

    def delete_cname(self, name: str) -> None:
        """Forget an alias."""
        self.aliases.pop(self._checked(name), None)

    def _checked(self, name: str) -> str:
        label = r"[a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?"
        if not re.fullmatch(rf"{label}(\.{label})+", name):
            raise RequestError(f"{name!r} is no name of a host")
        return name


class FakeSendMail(SendMail):
    """Keeps mails in :attr:`sent`; ``fault`` is raised instead if it is set."""

    provides: ClassVar = [JBPluginCloud.JBP_SENDMAIL]
    SENDER = "noreply@example.org"

    def __init__(self, context: PluginContext, quota: int = 1000) -> None:
        super().__init__(context)
        self.sent: list[SentMail] = []
        self.quota = quota
        self.fault: Exception | None = None

    def get_email_rates(self) -> tuple[int, float]:
        """Return what is left of ``quota`` mails, and a high rate."""
        return self.quota - len(self.sent), 1000.0

    def send_email(self, rcpt: str, sender: str, subject: str, body: str) -> None:
        """Keep a mail."""
        for address in (rcpt, sender or self.SENDER):
            local, at, domain = address.partition("@")
            if not (local and at and domain) or {"\r", "\n", ","} & set(address):
                raise RequestError(f"{address!r} is not one mail address")
        if {"\r", "\n"} & set(subject):
            raise RequestError("a subject is one line")
        if self.fault is not None:
            raise self.fault
        if len(self.sent) >= self.quota:
            raise NoRoomError(f"all {self.quota} mails of today are sent")
        self.sent.append(SentMail(rcpt, sender or self.SENDER, subject, body))


class FakeCompute(Compute):
    """Instances in a dictionary: identifier -> address; figures may be set for each."""

    provides: ClassVar = [JBPluginCloud.JBP_COMPUTE]
    FRESH = timedelta(seconds=450)

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.instances = {context.instance: "127.0.0.1"}
        self.figures: dict[str, dict[str, Stat]] = {}
        self.terminated: list[str] = []
        #: What :meth:`can_terminate` says unless this instance leads or is the last.
        self.may_end = False

    def get_install_id(self) -> str:
        """Return the installation's name."""
        return self.context.installation

    def get_instance_id(self) -> str:
        """Return this instance's identifier."""
        return self.context.instance

    def get_alias_hostname(self) -> str:
        """Return a name under ``example.org``."""
        return f"{self.context.instance}.example.org"

    def get_all_instances(self, gname: str | None = None) -> list[str]:
        """Return all instances; a group is the installation's name."""
        return sorted(self.instances) if gname in (None, self.context.installation) else []

    def get_instance_public_hostname(self, instance_id: str | None = None) -> str:
        """Return a name under ``example.org``."""
        return f"{self._known(instance_id)}.example.org"

    def get_instance_local_hostname(self, instance_id: str | None = None) -> str:
        """Return the identifier."""
        return self._known(instance_id)

    def get_instance_public_ip(self, instance_id: str | None = None) -> str:
        """Return nothing: no instance has one."""
        self._known(instance_id)
        return ""

    def get_instance_local_ip(self, instance_id: str | None = None) -> str:
        """Return the instance's address."""
        return self.instances[self._known(instance_id)]

    def set_figure(self, instance: str, name: str, unit: str, value: float) -> None:
        """Record a figure of any instance, measured now."""
        found = self.figures.setdefault(instance, {})
        found[name] = Stat(float(value), unit, datetime.now(UTC))

    def publish_stats(self, stat_name: str, stat_unit: str, stat_value: float) -> None:
        """Record a figure of this instance."""
        known = stat_unit in {"Percent", "Count", "Bytes"}
        if not (known and math.isfinite(stat_value) and stat_name.isalnum()):
            raise RequestError(f"{stat_name!r} {stat_unit!r} {stat_value!r} is no figure")
        self.set_figure(self.context.instance, stat_name, stat_unit, stat_value)

    def get_instance_stats(
        self, instance: str, stat_name: str, namespace: str | None = None
    ) -> Stat | None:
        """Return an instance's newest figure."""
        return self.get_cluster_stats(stat_name, namespace).get(instance)

    def get_cluster_stats(self, stat_name: str, namespace: str | None = None) -> dict[str, Stat]:
        """Return the figures of all instances."""
        if namespace not in (None, self.context.installation):
            return {}
        oldest = datetime.now(UTC) - self.FRESH
        return {
            instance: figures[stat_name]
            for instance, figures in self.figures.items()
            if instance in self.instances
            and stat_name in figures
            and figures[stat_name].time >= oldest
        }

    def get_cluster_average_stats(
        self,
        stat_name: str,
        namespace: str | None = None,
        results: Mapping[str, Stat] | None = None,
    ) -> float | None:
        """Return the mean over instances."""
        found = self.get_cluster_stats(stat_name, namespace) if results is None else results
        return sum(stat.value for stat in found.values()) / len(found) if found else None

    def terminate_instance(self, instance: str | None = None) -> None:
        """Take an instance away; refuse the last one."""
        known = self._known(instance)
        if len(self.instances) == 1:
            raise PolicyError(f"{known} is the only instance")
        del self.instances[known]
        self.terminated.append(known)

    def can_terminate(self, is_leader: bool) -> bool:
        """Return ``may_end``; never for the leader or the last."""
        return self.may_end and not is_leader and len(self.instances) > 1

    def should_accept_session(self, is_leader: bool) -> bool:
        """Return whether the load is below 100."""
        load = self.get_instance_stats(self.context.instance, "Load")
        return load is None or load.value < 100

    def get_redirect_instance_id(self) -> str | None:
        """Return the first other instance."""
        others = [name for name in sorted(self.instances) if name != self.context.instance]
        return others[0] if others else None

    def get_image_recentness(self, instance: str | None = None) -> int:
        """Return 0."""
        self._known(instance)
        return 0

    def _known(self, instance: str | None) -> str:
        known = instance or self.context.instance
        if known not in self.instances:
            raise NotFoundError(f"there is no instance {known!r}")
        return known
