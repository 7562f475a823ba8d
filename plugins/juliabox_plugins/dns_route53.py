"""Plugin ``route53``: names of instances in a zone of Amazon Route 53."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from juliabox_ext.cloud import Dns, JBPluginCloud
from juliabox_ext.errors import PolicyError
from juliabox_ext.plugin import PluginContext
from juliabox_plugins.aws import Aws, AwsSettings
from juliabox_plugins.dns_names import check_host


class Route53Settings(AwsSettings):
    """The operator's settings of ``route53``."""

    #: Identifier of the hosted zone, such as ``Z0123456789``.
    zone: Annotated[str, Field(pattern=r"^(/hostedzone/)?[A-Z0-9]{1,32}$")]
    #: Domain under which names are made: that of the zone, or one below it.
    domain: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    #: Seconds that others may remember an alias.
    ttl: Annotated[int, Field(ge=1, le=86400)] = 60


class Route53Dns(Dns):
    """Aliases (CNAME) under one domain; other records are never touched."""

    provides: ClassVar = [JBPluginCloud.JBP_DNS, JBPluginCloud.JBP_DNS_ROUTE53]
    Settings: ClassVar = Route53Settings

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        assert isinstance(context.settings, Route53Settings)  # noqa: S101  # by the registry
        self.settings = context.settings
        self._aws = Aws(context.settings, self.name)

    def close(self) -> None:
        """Close the connections."""
        self._aws.close()

    def domain(self) -> str:
        """Return the domain of the settings."""
        return self.settings.domain

    def add_cname(self, name: str, value: str) -> None:
        """Make an alias, or point it elsewhere; in one step."""
        self._change("UPSERT", self._ours(name), check_host(value), self.settings.ttl)

    def delete_cname(self, name: str) -> None:
        """Remove an alias; nothing if it is absent."""
        plain = self._ours(name)
        found = self._find(plain)
        if found is None:
            return
        try:
            (target,) = (one["Value"] for one in found["ResourceRecords"])
            self._change("DELETE", plain, target, found["TTL"])
        except PolicyError:
            # somebody removed or changed it meanwhile: the wanted end, or theirs to keep
            if self._find(plain) == found:
                raise

    def _ours(self, name: str) -> str:
        plain = check_host(name)
        if not plain.endswith(f".{self.settings.domain}"):
            raise PolicyError(
                f"plugin {self.name} makes no name {plain}: it is not under {self.settings.domain}",
                code="dns.domain",
            )
        return plain

    def _find(self, name: str) -> dict[str, Any] | None:
        with self._aws.told(f"look {name} up in zone {self.settings.zone}"):
            answer = self._aws.client("route53").list_resource_record_sets(
                HostedZoneId=self.settings.zone,
                StartRecordName=name,
                StartRecordType="CNAME",
                MaxItems="1",
            )
        for found in answer["ResourceRecordSets"]:
            if found["Name"].removesuffix(".") == name and found["Type"] == "CNAME":
                return dict(found)
        return None

    def _change(self, action: str, name: str, value: str, ttl: int) -> None:
        records = [{"Value": value}]
        record = {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": records}
        with self._aws.told(f"change {name} in zone {self.settings.zone}"):
            self._aws.client("route53").change_resource_record_sets(
                HostedZoneId=self.settings.zone,
                ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]},
            )
