"""Code that ends, hangs, crashes, forks or eats memory: its worker answers or goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.api_worker import ApiContainer, Gone

pytestmark = pytest.mark.engine

SOURCE = """
ok() = 1
leave() = exit(3)
crash() = unsafe_load(Ptr{Int}(1))
kill_itself() = (ccall(:kill, Cint, (Cint, Cint), getpid(), 9); sleep(60))
eat() = [zeros(UInt8, 10_000_000) for _ in 1:1000]
forever() = while true end
flood() = while true; ccall(:puts, Cint, (Cstring,), "flood"); end
function fork_bomb()
    started = 0
    try
        for _ in 1:10_000
            run(`sleep 100`; wait = false)
            started += 1
        end
    catch
    end
    return started
end
garbage(n) = (for _ in 1:n; zeros(1_000_000); end; n)
printing() = println("still heard")
function fill_disk()
    try
        write("/run/juliabox/full", zeros(UInt8, 64_000_000))
    catch problem
        sprint(showerror, problem)
    end
end
"""
FUNCTIONS = "ok printing leave crash kill_itself eat forever flood fork_bomb garbage fill_disk"


def test_exit_is_answered_and_ends_the_container(blank: Callable[..., ApiContainer]) -> None:
    container = blank()
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    reply = link.call("leave")
    assert (reply.kind, reply.header["code"]) == ("error", "api.error")
    assert "exit" in reply.header["message"]
    # by which the engine knows that no further call may go there
    assert reply.header["leaving"] is True
    assert container.container.wait(timeout=60)["StatusCode"] == 3


@pytest.mark.parametrize("name", ["crash", "kill_itself", "eat"])
def test_a_worker_that_dies_is_noticed_at_once_and_ends_the_container(
    blank: Callable[..., ApiContainer], name: str
) -> None:
    container = blank(mem_limit="256m", memswap_limit="256m")
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    try:
        reply = link.call(name)
    except Gone:
        assert container.container.wait(timeout=60)["StatusCode"] != 0
    else:
        # Julia turns some accesses to nowhere into exceptions
        assert reply.header["code"] == "api.error"
        assert link.call("ok").value == 1


def test_a_call_without_end_is_silent_until_it_is_killed(
    blank: Callable[..., ApiContainer],
) -> None:
    container = blank()
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    with pytest.raises(TimeoutError):
        link.call("forever", seconds=2)
    container.container.kill()
    begin = time.monotonic()
    with pytest.raises(Gone):
        link.receive(30)
    assert time.monotonic() - begin < 15


def test_a_flood_of_output_reaches_neither_the_log_nor_more_than_its_tmpfs(
    blank: Callable[..., ApiContainer],
) -> None:
    container = blank()
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    with pytest.raises(TimeoutError):
        link.call("flood", seconds=4)
    assert container.log == ""
    assert container.container.stats(stream=False)["memory_stats"]["usage"] < 400e6


def test_children_without_number_end_at_the_limit_of_processes(
    blank: Callable[..., ApiContainer],
) -> None:
    container = blank()
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    assert 1 <= link.call("fork_bomb").value < 128
    assert link.call("ok").value == 1


def test_garbage_within_the_limit_of_memory_is_collected(
    blank: Callable[..., ApiContainer],
) -> None:
    container = blank(mem_limit="256m", memswap_limit="256m")
    link = container.link()
    link.load(SOURCE, *FUNCTIONS.split())
    for _ in range(30):
        assert link.call("garbage", 3).value == 3


def test_a_full_tmpfs_leaves_the_worker_at_work(blank: Callable[..., ApiContainer]) -> None:
    link = blank().link()
    link.load(SOURCE, *FUNCTIONS.split())
    assert link.call("fill_disk").kind == "result"
    assert link.call("printing").header["printed"] == "still heard\n"


def test_one_worker_of_several_dies_alone(blank: Callable[..., ApiContainer]) -> None:
    container = blank(workers=3)
    links = [container.link(number) for number in range(3)]
    for link in links:
        assert link.load(SOURCE, *FUNCTIONS.split()).kind == "loaded"
    links[2].send("call", {"function": "forever"}, b"[]", b"{}")
    with pytest.raises(Gone):
        links[1].call("kill_itself")
    assert links[0].call("ok").value == 1
