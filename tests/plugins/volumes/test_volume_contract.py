"""Every kind of volume keeps the contract: the fake, disk images, and folders of the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_ext.plugin import PluginContext
from juliabox_ext.testing.volume_fake import FakeMachine, FakeVolumes
from juliabox_ext.testing.volume_suite import Make, VolumesSuite
from juliabox_ext.volume import VolumeHost, Volumes
from juliabox_plugins.home import HomeDisks, HomeSettings
from juliabox_plugins.hostdir import HostdirSettings, HostFolders
from support.state_folder import shared_state_folder


class TestFakeVolumes(VolumesSuite):
    @pytest.fixture
    def make(self) -> Make:
        machine = FakeMachine()
        return lambda host: FakeVolumes(machine, host)

    def put(self, volumes: Volumes, target: Path, name: str, text: str) -> None:
        assert isinstance(volumes, FakeVolumes)
        volumes.contents(target)[name] = text

    def get(self, volumes: Volumes, target: Path, name: str) -> str | None:
        assert isinstance(volumes, FakeVolumes)
        return volumes.contents(target).get(name)


class _OnAMachine(VolumesSuite):
    @pytest.fixture
    def state(self) -> Iterator[Path]:
        with shared_state_folder() as folder:
            yield folder


@pytest.mark.engine
class TestHomeDisks(_OnAMachine):
    @pytest.fixture
    def make(self) -> Make:
        def made(host: VolumeHost) -> Volumes:
            plugin = HomeDisks(PluginContext("home", HomeSettings()))
            plugin.host = host
            plugin.configure()
            return plugin

        return made


@pytest.mark.engine
class TestHostFolders(_OnAMachine):
    @pytest.fixture
    def make(self) -> Make:
        def made(host: VolumeHost) -> Volumes:
            plugin = HostFolders(PluginContext("hostdir", HostdirSettings()))
            plugin.host = host
            plugin.configure()
            return plugin

        return made
