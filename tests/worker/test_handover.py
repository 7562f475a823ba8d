"""The slot: what the container tells its manager, and what is in it before it is anybody's."""

from __future__ import annotations

import time

import docker
import pytest
import zmq

from juliabox_ext.errors import RequestError
from juliabox_services.api.models import Options
from juliabox_services.api.options_rules import demand_options
from juliabox_services.api.settings import Bounds
from support.api_worker import MIB, api_container

pytestmark = pytest.mark.engine

HELD = "cat /proc/*/environ 2>/dev/null; ls -A /run/juliabox /tmp"


def test_a_prepared_container_holds_nothing_and_listens_when_it_is_released(
    engine: docker.DockerClient, image: str
) -> None:
    with api_container(engine, image, network_mode="bridge") as container:
        assert container.told() == "loaded"
        print(f"prepared after {time.monotonic() - container.started:.2f} s")
        _, held = container.container.exec_run(["sh", "-c", HELD])
        assert "JULIABOX_WORKER" not in held.decode()
        assert held.decode().split("/run/juliabox:")[-1].split() == ["/tmp:"]
        assert container.log == ""
        before, begin = container.processor_seconds, time.monotonic()
        container.release()
        link = container.link()
        assert link.load("f(n) = n + 1", "f").kind == "loaded"
        assert link.call("f", 1).value == 2
        print(f"first call {1000 * (time.monotonic() - begin):.0f} ms after the release")
        # of the processor: how busy the machine is with others is another matter
        took = container.processor_seconds - before
        print(f"{took:.2f} s of the processor")
        assert took < 0.5
        status = container.container.exec_run(["cat", "/proc/1/status"])[1].decode()
        assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
        assert container.log == ""


def test_a_container_that_is_released_at_once_is_ready_soon(
    engine: docker.DockerClient, image: str
) -> None:
    with api_container(engine, image) as container:
        container.release()
        link = container.link()
        assert link.load("f(n) = n + 1", "f").kind == "loaded"
        assert link.call("f", 1).value == 2
        print(f"cold: first call {time.monotonic() - container.started:.2f} s after the start")
        # it has no time for an exercise, and its program is compiled: growth is made of such starts
        took = container.processor_seconds
        # a Julia that does nothing tells how slow this machine is
        bare = container.processor_seconds_of(["julia", "--startup-file=no", "-e", "0"])
        print(f"cold: {took:.2f} s of the processor, a bare Julia {bare:.2f} s")
        assert took < max(1.0, 5 * bare)


@pytest.mark.parametrize(("workers", "memory"), [(1, 256), (4, 640)])
def test_the_least_memory_that_an_api_may_have_is_enough(
    engine: docker.DockerClient, image: str, workers: int, memory: int
) -> None:
    # a container of 160 MiB was killed before it was prepared
    least = memory * MIB
    demand_options(Options(memory=least, workers=workers), [], Bounds())
    with pytest.raises(RequestError):
        demand_options(Options(memory=least - 1, workers=workers), [], Bounds())
    with api_container(engine, image, mem_limit=least, memswap_limit=least) as container:
        assert container.told() == "loaded"
        container.release(workers)
        told = 0
        for link in [container.link(number) for number in range(workers)]:
            assert link.load("f(n) = n + 1", "f").kind == "loaded"
            answer = link.call("f", 1)
            assert answer.value == 2
            told += answer.header["memory"]
        # else it is worn as soon as it grows at all; files that others share are not its own
        print(f"{told // MIB} of {memory} MiB")
        assert told < 0.85 * least


def test_the_largest_results_fit_in_the_least_memory(
    engine: docker.DockerClient, image: str
) -> None:
    # each copied once more than it must be, they ended the container now and then
    least, most = 256 * MIB, Bounds().result
    with api_container(engine, image, mem_limit=least, memswap_limit=least) as container:
        assert container.told() == "loaded"
        container.release(result=most)
        link = container.link()
        link.load('f(n) = repeat("a", n)', "f")
        for _ in range(15):
            assert len(link.call("f", most - 2).part) == most


def test_a_manager_that_restarts_finds_the_container_again(
    engine: docker.DockerClient, image: str
) -> None:
    with api_container(engine, image) as container:
        assert container.told() == "loaded"
        container.again()
        assert container.told() == "loaded"
        container.say('{"version": 3, "environment": {}}')
        container.again()
        assert container.told() == "loaded"
        container.say('{"version": 2, "environment": {"A": 1}}')
        container.again()
        assert container.told() == "loaded"
        container.release()
        assert container.link().ask("health", {}).kind == "healthy"


def test_only_who_knows_the_workers_key_is_let_in(engine: docker.DockerClient, image: str) -> None:
    with api_container(engine, image) as container:
        container.release()
        stranger, _ = zmq.curve_keypair()
        with pytest.raises(Exception, match=r"no answer|^$"):
            container.link(key=stranger).ask("health", {}, seconds=2)
        assert container.link().ask("health", {}).kind == "healthy"


def test_a_container_without_a_key_says_so(engine: docker.DockerClient, image: str) -> None:
    with api_container(engine, image) as container:
        container.say('{"version": 2, "environment": {}}')
        assert container.container.wait(timeout=60)["StatusCode"] == 70
        assert "JULIABOX_WORKER_KEY" in container.log


def test_nobody_in_the_container_reaches_its_log(engine: docker.DockerClient, image: str) -> None:
    with api_container(engine, image) as container:
        container.release()
        link = container.link()
        source = 'f() = try; write("/proc/1/fd/1", "hello"); catch e; sprint(showerror, e); end'
        assert link.load(source, "f").kind == "loaded"
        assert "ermission denied" in str(link.call("f").value)
        assert container.log == ""
