"""The instances of one installation in EC2, their images and their group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from juliabox_ext.errors import NotFoundError
from juliabox_plugins.aws import Aws
from juliabox_plugins.remembered import Remembered

#: Seconds for which what AWS tells is believed: sessions start many at a time.
AGE = 10.0

#: Tag that AWS gives to instances that a group started.
GROUP_TAG = "aws:autoscaling:groupName"


@dataclass(frozen=True)
class Instance:
    """What EC2 tells of an instance; names and addresses are empty where it has none."""

    id: str
    image: str
    launched: datetime
    #: Autoscaling group that started it.
    group: str
    public_hostname: str
    local_hostname: str
    public_ip: str
    local_ip: str


@dataclass(frozen=True)
class Group:
    """An autoscaling group: how many instances it wants, may have, and with which image."""

    desired: int
    most: int
    image: str


class Inventory:
    """Running instances with a tag ``tag`` = ``value``; asked for again after some seconds."""

    def __init__(self, aws: Aws, tag: str, value: str) -> None:
        self._aws = aws
        self._tag = tag
        self._value = value
        self._found = Remembered(self._ask, AGE)

    def forget(self) -> None:
        """Ask again next time."""
        self._found.forget()

    def all(self) -> Mapping[str, Instance]:
        """Return the instances that run, by identifier."""
        return self._found.get()

    def one(self, instance: str) -> Instance:
        """Return an instance; raise ``NotFoundError`` if no such one runs here."""
        if instance not in self.all():
            self.forget()
        found = self.all().get(instance)
        if found is None:
            known = ", ".join(sorted(self.all())) or "none"
            raise NotFoundError(
                f"plugin {self._aws.plugin} knows no running instance {instance[:100]!r} with tag "
                f"{self._tag}={self._value}; there are: {known}",
                code="compute.instance",
            )
        return found

    def _ask(self) -> dict[str, Instance]:
        found = {}
        with self._aws.told("list the instances"):
            pages = (
                self._aws.client("ec2")
                .get_paginator("describe_instances")
                .paginate(
                    Filters=[
                        {"Name": f"tag:{self._tag}", "Values": [self._value]},
                        {"Name": "instance-state-name", "Values": ["running"]},
                    ]
                )
            )
            for page in pages:
                for reservation in page["Reservations"]:
                    for raw in reservation["Instances"]:
                        found[raw["InstanceId"]] = _instance(raw)
        return found

    def recentness(self, newest: str) -> dict[str, int]:
        """Compare each instance's image with ``newest``, or with the newest of all if empty."""
        images = {name: one.image for name, one in self.all().items()}
        if set(images.values()) <= {newest} or (not newest and len(set(images.values())) < 2):
            return dict.fromkeys(images, 0)
        made = self._made({newest, *images.values()} - {""})
        reference = made.get(newest, "") if newest else max(made.values(), default="")
        if not reference:
            return dict.fromkeys(images, 0)
        # an image that was taken away was an old one
        return {name: _compare(made.get(image, ""), reference) for name, image in images.items()}

    def _made(self, images: set[str]) -> dict[str, str]:
        """Return when images were made, as ISO 8601 in UTC."""
        with self._aws.told("compare images"):
            answer = self._aws.client("ec2").describe_images(
                Filters=[{"Name": "image-id", "Values": sorted(images)}]
            )
        return {one["ImageId"]: one["CreationDate"] for one in answer["Images"]}


def find_group(aws: Aws, name: str) -> Group:
    """Return an autoscaling group; raise ``NotFoundError`` if there is none."""
    with aws.told(f"find autoscaling group {name}"):
        answer = aws.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[name]
        )
        found = answer["AutoScalingGroups"]
        if not found:
            raise NotFoundError(
                f"plugin {aws.plugin}: there is no autoscaling group {name}; mend "
                f"plugins.settings.{aws.plugin}.autoscaling_group",
                code="compute.group",
            )
        return Group(found[0]["DesiredCapacity"], found[0]["MaxSize"], _image(aws, found[0]))


def _image(aws: Aws, group: Mapping[str, Any]) -> str:
    """Return the image that a group starts instances with; empty if it names none itself."""
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    template = group.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
    if not template:
        return ""
    answer = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"],
        Versions=[template.get("Version") or "$Default"],
        ResolveAlias=True,
    )
    return str(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("ImageId", ""))


def _instance(raw: Mapping[str, Any]) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", ())}
    return Instance(
        id=raw["InstanceId"],
        image=raw.get("ImageId", ""),
        launched=raw["LaunchTime"],
        group=tags.get(GROUP_TAG, ""),
        public_hostname=raw.get("PublicDnsName", ""),
        local_hostname=raw.get("PrivateDnsName", ""),
        public_ip=raw.get("PublicIpAddress", ""),
        local_ip=raw.get("PrivateIpAddress", ""),
    )


def _compare(made: str, reference: str) -> int:
    return (made > reference) - (made < reference)
