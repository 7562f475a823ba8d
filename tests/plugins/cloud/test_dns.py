"""Plugins ``route53`` on moto's server, and ``none``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from juliabox_ext.errors import ConfigurationError, NotFoundError, PolicyError, UnavailableError
from juliabox_ext.testing.cloud_suite import DnsSuite
from juliabox_plugins.dns_none import NoDns
from juliabox_plugins.dns_route53 import Route53Dns
from support.aws_server import KEYS, AwsServer, FaultyServer
from support.plugin_maker import make


@pytest.fixture
def zone(aws: AwsServer) -> str:
    made = aws.client("route53").create_hosted_zone(Name="example.org", CallerReference="1")
    return str(made["HostedZone"]["Id"])


@pytest.fixture
def route53(aws: AwsServer, zone: str, tmp_path: Path) -> Route53Dns:
    return make(
        Route53Dns, tmp_path, "route53", **aws.settings, zone=zone, domain="example.org", ttl=30
    )


class TestRoute53(DnsSuite):
    @pytest.fixture
    def dns(self, route53: Route53Dns) -> Route53Dns:
        return route53

    @pytest.fixture
    def aliases(self, aws: AwsServer, zone: str) -> Callable[[], Mapping[str, str]]:
        def ask() -> dict[str, str]:
            answer = aws.client("route53").list_resource_record_sets(HostedZoneId=zone)
            return {
                one["Name"].removesuffix("."): one["ResourceRecords"][0]["Value"]
                for one in answer["ResourceRecordSets"]
                if one["Type"] == "CNAME"
            }

        return ask


class TestNone(DnsSuite):
    @pytest.fixture
    def dns(self, tmp_path: Path) -> NoDns:
        return make(NoDns, tmp_path, "none")

    @pytest.fixture
    def aliases(self) -> Callable[[], Mapping[str, str]]:
        return dict


def test_other_records_of_the_zone_are_never_touched(
    route53: Route53Dns, aws: AwsServer, zone: str
) -> None:
    client = aws.client("route53")
    record = {
        "Name": "www.example.org",
        "Type": "A",
        "TTL": 5,
        "ResourceRecords": [{"Value": "192.0.2.1"}],
    }
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    route53.delete_cname("www.example.org")
    found = client.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert "A" in [one["Type"] for one in found]
    for name in ("example.org", "box.example.com", "notexample.org"):
        with pytest.raises(PolicyError, match="is not under") as caught:
            route53.add_cname(name, "x.example.net")
        assert caught.value.code == "dns.domain"


def test_an_alias_has_the_age_of_the_settings(
    route53: Route53Dns, aws: AwsServer, zone: str
) -> None:
    route53.add_cname("Box.Example.Org.", "one.example.net")
    records = aws.client("route53").list_resource_record_sets(HostedZoneId=zone)
    found = [one for one in records["ResourceRecordSets"] if one["Type"] == "CNAME"]
    assert [(one["Name"], one["TTL"]) for one in found] == [("box.example.org.", 30)]


def test_an_absent_zone_is_told(aws: AwsServer, tmp_path: Path) -> None:
    dns = make(Route53Dns, tmp_path, "route53", **aws.settings, zone="Z1", domain="example.org")
    with pytest.raises(NotFoundError, match=r"plugin route53: .*zone Z1"):
        dns.add_cname("box.example.org", "one.example.net")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling", UnavailableError),
        (400, "PriorRequestNotComplete", UnavailableError),
        (403, "InvalidClientTokenId", ConfigurationError),
        (400, "InvalidChangeBatch", PolicyError),
    ],
    ids=["throttled", "still_busy", "credentials", "refused"],
)
def test_what_route53_answers_becomes_an_error(
    status: int, code: str, kind: type[Exception], faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.status = status
    faulty.body = (
        '<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender'
        f"</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    ).encode()
    dns = make(
        Route53Dns, tmp_path, "route53", **KEYS, endpoint_url=faulty.url, attempts=1,
        zone="Z1", domain="example.org",
    )  # fmt: skip
    with pytest.raises(kind, match="plugin route53"):
        dns.add_cname("box.example.org", "one.example.net")
    with pytest.raises(kind, match="plugin route53"):
        dns.delete_cname("box.example.org")


def test_zone_and_domain_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"zone[\s\S]*domain"):
        make(Route53Dns, tmp_path, "route53", region="eu-central-1")
