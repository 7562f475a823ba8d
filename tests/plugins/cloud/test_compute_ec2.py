"""Plugin ``ec2`` on moto's server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from moto.backends import get_backend
from pydantic import ValidationError

from juliabox_ext.errors import (
    ConfigurationError,
    JuliaBoxError,
    NotFoundError,
    PolicyError,
    UnavailableError,
)
from juliabox_ext.testing.cloud_suite import ComputeSuite
from juliabox_plugins import compute_ec2, ec2_instances
from juliabox_plugins.compute_ec2 import Ec2
from support.aws_server import KEYS, REGION, AwsServer, FaultyServer
from support.plugin_maker import make

ACCOUNT = "123456789012"


class Cluster:
    """An account with images, and a group or single instances of the installation."""

    def __init__(self, aws: AwsServer, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        self.ec2, self.scaling = aws.client("ec2"), aws.client("autoscaling")
        found = get_backend("ec2")[ACCOUNT][REGION].amis.values()
        #: Two images, the older first.
        self.images = [one.id for one in list(found)[:2]]
        for number, one in enumerate(list(found)[:2]):
            one.creation_date = datetime(2020 + number, 1, 1)

    def start(self, image: int = 1, install_id: str = "box") -> str:
        tags = [{"Key": "juliabox", "Value": install_id}]
        made = self.ec2.run_instances(
            ImageId=self.images[image],
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def make_group(self, desired: int, most: int = 5, least: int = 0) -> list[str]:
        template = self.ec2.create_launch_template(
            LaunchTemplateName="box",
            LaunchTemplateData={"ImageId": self.images[1], "InstanceType": "t3.small"},
        )["LaunchTemplate"]
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName="boxes",
            LaunchTemplate={
                "LaunchTemplateId": template["LaunchTemplateId"],
                "Version": "$Latest",
            },
            MinSize=least,
            MaxSize=most,
            DesiredCapacity=desired,
            AvailabilityZones=[f"{REGION}a"],
            Tags=[{"Key": "juliabox", "Value": "box", "PropagateAtLaunch": True}],
        )
        return self.group["instances"]  # type: ignore[no-any-return]

    @property
    def group(self) -> dict[str, Any]:
        found = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["boxes"])
        raw = found["AutoScalingGroups"][0]
        names = sorted(one["InstanceId"] for one in raw["Instances"])
        return {"desired": raw["DesiredCapacity"], "instances": names}

    def age(self, *instances: str, by: timedelta) -> None:
        known = get_backend("ec2")[ACCOUNT][REGION]
        for instance in instances:
            known.get_instance(instance).launch_time = (datetime.now(UTC) - by).strftime(
                "%Y-%m-%dT%H:%M:%S.000Z"
            )

    def plugin(self, instance: str, **given: Any) -> Ec2:
        return make(Ec2, self.folder, "ec2", **self.aws.settings, instance_id=instance, **given)

    def publish(self, **loads: float) -> None:
        """Record the load and no session, of instances ``i_…`` for ``i-…``."""
        for name, load in loads.items():
            plugin = self.plugin(name.replace("_", "-"))
            plugin.publish_stats("Load", "Percent", load)
            plugin.publish_stats("NumActiveContainers", "Count", 0)


@pytest.fixture
def cluster(aws: AwsServer, tmp_path: Path) -> Cluster:
    return Cluster(aws, tmp_path)


class TestEc2(ComputeSuite):
    resolution = 1.1

    @pytest.fixture
    def compute(self, cluster: Cluster) -> Ec2:
        return cluster.plugin(cluster.start())


def python_name(instance: str) -> str:
    return instance.replace("-", "_")


def test_instances_of_the_installation_alone_are_known(cluster: Cluster) -> None:
    mine, other = cluster.start(), cluster.start()
    foreign, ended = cluster.start(install_id="another"), cluster.start()
    cluster.ec2.terminate_instances(InstanceIds=[ended])
    plugin = cluster.plugin(mine)
    assert plugin.get_all_instances() == sorted([mine, other])
    for one in (foreign, ended):
        with pytest.raises(NotFoundError, match=one) as caught:
            plugin.terminate_instance(one)
        assert caught.value.code == "compute.instance"
    assert cluster.plugin(foreign, install_id="another").get_all_instances() == [foreign]


def test_an_instance_that_just_started_is_found(cluster: Cluster) -> None:
    plugin = cluster.plugin(cluster.start())
    assert len(plugin.get_all_instances()) == 1
    assert plugin.get_instance_local_ip(cluster.start())


def test_names_and_addresses_are_those_of_ec2(cluster: Cluster) -> None:
    mine = cluster.start()
    raw = cluster.ec2.describe_instances(InstanceIds=[mine])["Reservations"][0]["Instances"][0]
    plugin = cluster.plugin(mine)
    assert plugin.get_instance_public_hostname() == raw["PublicDnsName"]
    assert plugin.get_instance_local_hostname() == raw["PrivateDnsName"]
    assert plugin.get_instance_public_ip() == raw["PublicIpAddress"]
    assert plugin.get_instance_local_ip() == raw["PrivateIpAddress"]
    assert plugin.get_alias_hostname() == raw["PublicDnsName"]
    named = cluster.plugin(mine, domain="example.org")
    assert named.get_alias_hostname() == f"{mine}.example.org"


def test_groups_have_their_instances(cluster: Cluster) -> None:
    members = cluster.make_group(2)
    single = cluster.start()
    plugin = cluster.plugin(single)
    assert plugin.get_all_instances() == sorted([*members, single])
    assert plugin.get_all_instances("boxes") == members


def test_figures_of_all_instances_are_found(cluster: Cluster) -> None:
    first, second, third = cluster.start(), cluster.start(), cluster.start()
    cluster.publish(**{python_name(first): 20, python_name(second): 60})
    plugin = cluster.plugin(third)
    found = plugin.get_cluster_stats("Load")
    assert {name: stat.value for name, stat in found.items()} == {first: 20, second: 60}
    assert {stat.unit for stat in found.values()} == {"Percent"}
    assert plugin.get_cluster_average_stats("Load") == 40
    cluster.ec2.terminate_instances(InstanceIds=[first])
    assert cluster.plugin(third).get_cluster_average_stats("Load") == 60


def test_an_old_figure_does_not_count(cluster: Cluster) -> None:
    mine = cluster.start()
    cluster.aws.client("cloudwatch").put_metric_data(
        Namespace="JuliaBox/box",
        MetricData=[
            {
                "MetricName": "Load",
                "Dimensions": [{"Name": "InstanceId", "Value": mine}],
                "Timestamp": datetime.now(UTC) - timedelta(seconds=460),
                "Value": 100,
                "Unit": "Percent",
            }
        ],
    )
    plugin = cluster.plugin(mine)
    assert plugin.get_instance_stats(mine, "Load") is None
    assert plugin.should_accept_session(False)


def test_images_are_compared(cluster: Cluster) -> None:
    old, new = cluster.start(image=0), cluster.start(image=1)
    plugin = cluster.plugin(new)
    assert [plugin.get_image_recentness(one) for one in (None, new, old)] == [0, 0, -1]
    cluster.make_group(0)
    template = {"ImageId": cluster.images[0], "InstanceType": "t3.small"}
    cluster.ec2.create_launch_template_version(
        LaunchTemplateName="box", LaunchTemplateData=template
    )
    rolled_back = cluster.plugin(new, autoscaling_group="boxes")
    assert [rolled_back.get_image_recentness(one) for one in (new, old)] == [1, 0]


def test_sessions_fill_the_first_instance(cluster: Cluster) -> None:
    first, second = sorted([cluster.start(), cluster.start()])
    cluster.publish(**{python_name(first): 60, python_name(second): 0})
    assert cluster.plugin(first).should_accept_session(False)
    assert not cluster.plugin(second).should_accept_session(False)
    assert cluster.plugin(second).should_accept_session(True)
    assert cluster.plugin(second).get_redirect_instance_id() == first
    assert cluster.plugin(first).get_redirect_instance_id() is None


def test_many_sessions_at_once_ask_aws_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what AWS told is believed as long as the test takes on a busy machine
    for module in (compute_ec2, ec2_instances):
        monkeypatch.setattr(module, "AGE", 600.0)
    first, second = cluster.make_group(2)
    cluster.publish(**{python_name(first): 60, python_name(second): 0})
    plugin = cluster.plugin(first, autoscaling_group="boxes")
    asked: list[str] = []
    for service in ("ec2", "cloudwatch", "autoscaling"):
        client = plugin._aws.client(service)
        client.meta.events.register("before-call", lambda model, **_: asked.append(model.name))
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: plugin.should_accept_session(False), range(50)))
    assert answers == [True] * 50
    assert sorted(asked) == [
        "DescribeAutoScalingGroups",
        "DescribeInstances",
        "DescribeLaunchTemplateVersions",
        "GetMetricStatistics",
        "GetMetricStatistics",
    ]
    plugin.publish_stats("Load", "Percent", 100)
    asked.clear()
    plugin.should_accept_session(False)
    assert asked == ["GetMetricStatistics", "GetMetricStatistics"]


def test_a_loaded_group_gets_one_instance_more(cluster: Cluster) -> None:
    first, second = cluster.make_group(2)
    cluster.publish(**{python_name(first): 90, python_name(second): 80})
    plugin = cluster.plugin(first, autoscaling_group="boxes")
    assert plugin.should_accept_session(False)
    assert cluster.group["desired"] == 3
    plugin.should_accept_session(False)
    assert cluster.group["desired"] == 3


@pytest.mark.parametrize(
    ("most", "loads"), [(2, (90, 80)), (5, (90, 40))], ids=["largest", "room_left"]
)
def test_a_group_does_not_grow(most: int, loads: tuple[int, int], cluster: Cluster) -> None:
    members = cluster.make_group(2, most)
    cluster.publish(**{python_name(name): load for name, load in zip(members, loads, strict=True)})
    cluster.plugin(members[0], autoscaling_group="boxes").should_accept_session(False)
    assert cluster.group["desired"] == 2


def test_an_empty_old_enough_instance_ends_and_its_group_shrinks(cluster: Cluster) -> None:
    first, second = cluster.make_group(2)
    cluster.publish(**{python_name(first): 0, python_name(second): 30})
    young = cluster.plugin(first, autoscaling_group="boxes")
    assert not young.can_terminate(False)
    cluster.age(first, second, by=timedelta(minutes=51))
    plugin = cluster.plugin(first, autoscaling_group="boxes")
    assert not plugin.can_terminate(True)
    assert not cluster.plugin(first).can_terminate(False)
    assert plugin.can_terminate(False)
    plugin.terminate_instance()
    assert cluster.group == {"desired": 1, "instances": [second]}
    assert cluster.plugin(second).get_all_instances() == [second]
    last = cluster.plugin(second, autoscaling_group="boxes")
    assert not last.can_terminate(False)
    with pytest.raises(PolicyError) as caught:
        last.terminate_instance()
    assert caught.value.code == "compute.last"
    assert cluster.group["instances"] == [second]


def test_an_instance_with_sessions_or_without_figures_stays(cluster: Cluster) -> None:
    first, second = cluster.make_group(2)
    cluster.age(first, second, by=timedelta(minutes=51))
    plugin = cluster.plugin(first, autoscaling_group="boxes")
    assert not plugin.can_terminate(False)
    plugin.publish_stats("NumActiveContainers", "Count", 0)
    assert plugin.can_terminate(False)
    plugin.publish_stats("NumActiveAPIContainers", "Count", 1)
    assert not plugin.can_terminate(False)


def test_an_instance_without_a_group_ends(cluster: Cluster) -> None:
    first, second = cluster.start(), cluster.start()
    cluster.plugin(first).terminate_instance(second)
    assert cluster.plugin(first).get_all_instances() == [first]


def test_an_absent_group_is_told(cluster: Cluster) -> None:
    plugin = cluster.plugin(cluster.start(), autoscaling_group="absent")
    with pytest.raises(NotFoundError, match="autoscaling_group") as caught:
        plugin.should_accept_session(False)
    assert caught.value.code == "compute.group"


class Metadata(BaseHTTPRequestHandler):
    """The metadata service, version 2: no answer without its token."""

    answer: ClassVar[bytes] = b"i-0123456789abcdef0"

    def do_PUT(self) -> None:
        assert self.path == "/latest/api/token"
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._say(200, b"the-token")

    def do_GET(self) -> None:
        known = self.headers["X-aws-ec2-metadata-token"] == "the-token"
        assert self.path == "/latest/meta-data/instance-id"
        self._say(200, self.answer) if known else self._say(401, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_machine_tells_who_it_is(
    aws: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setattr(compute_ec2, "METADATA_PATIENCE", 60.0)  # this one shares a busy machine
    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        plugin = make(Ec2, tmp_path, "ec2", **aws.settings, metadata_url=url)
        assert plugin.get_instance_id() == "i-0123456789abcdef0"
        server.shutdown()
        thread.join()
    assert plugin.get_instance_id() == "i-0123456789abcdef0"


def test_a_machine_that_does_not_tell_who_it_is_is_told(
    faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.body = b"<html>log in</html>"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for url in (faulty.url, f"http://127.0.0.1:{taken.getsockname()[1]}"):
            plugin = make(Ec2, tmp_path, "ec2", **KEYS, metadata_url=url)
            with pytest.raises(UnavailableError, match="instance_id") as caught:
                plugin.get_instance_id()
            assert caught.value.code == "compute.identity"


STEPS: dict[str, Callable[[Ec2], object]] = {
    "list": lambda plugin: plugin.get_all_instances(),
    "publish": lambda plugin: plugin.publish_stats("Load", "Percent", 1),
    "figures": lambda plugin: plugin.get_instance_stats("i-1", "Load"),
    "accept": lambda plugin: plugin.should_accept_session(False),
    "end": lambda plugin: plugin.can_terminate(False),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((503, "RequestLimitExceeded"), UnavailableError),
        ((401, "AuthFailure"), ConfigurationError),
        ((403, "UnauthorizedOperation"), PolicyError),
    ],
    ids=["throttled", "credentials", "denied"],
)
def test_what_aws_answers_becomes_an_error(
    answer: tuple[int, str],
    kind: type[JuliaBoxError],
    step: str,
    faulty: FaultyServer,
    tmp_path: Path,
) -> None:
    faulty.status, code = answer
    # EC2 and autoscaling answer in XML; CloudWatch tells its code in a header
    faulty.headers = {"x-amzn-query-error": f"{code};Sender"}
    faulty.body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors>"
        f"<Error><Code>{code}</Code><Message>no</Message></Error></Response>"
    ).encode()
    given = {"attempts": 1, "instance_id": "i-0123456789abcdef0", "autoscaling_group": "boxes"}
    plugin = make(Ec2, tmp_path, "ec2", **KEYS, endpoint_url=faulty.url, **given)
    with pytest.raises(kind, match="plugin ec2: AWS cannot"):
        STEPS[step](plugin)


@pytest.mark.parametrize(
    "given",
    [{"instance_id": "box"}, {"install_id": "a b"}, {"scale_up_at_load": 0}, {"colour": "red"}],
    ids=["instance", "installation", "load", "unknown"],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        make(Ec2, tmp_path, **given)
