"""Interrupts keep the state and leave nothing running."""

import threading
import time

import pytest

from conftest import Notebook, Outcome

TIGHT_FUNCTION = """
function spin(n)
    total = 0
    i = 0
    while true
        i += 1
        total = xor(total, i)
        total += 3
        i < 0 && break
    end
    total
end
"""


@pytest.fixture(autouse=True, scope="module")
def warm(kernel: Notebook) -> None:
    """Wait until the kernel compiles nothing of its own in the background."""
    quick, end = 0, time.monotonic() + 60
    while quick < 5 and time.monotonic() < end:  # a busy machine may never be so quick
        quick = quick + 1 if kernel.run("1").seconds < 0.3 else 0


def interrupted(kernel: Notebook, code: str, after: float = 1.0, times: int = 1) -> Outcome:
    begun = threading.Event()

    def interrupt() -> None:
        begun.wait()
        time.sleep(after)
        for _ in range(times):
            kernel.manager.interrupt_kernel()
            time.sleep(1)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    outcome = kernel.until_idle(kernel.send(code), lambda _: begun.set())
    thread.join()
    assert kernel.run("kept").result == {"text/plain": "7"}
    return outcome


@pytest.mark.parametrize(
    "code",
    [
        "sleep(60)",
        "while true end",
        "while true\n  1 + 1\nend",
        "t = 0\nfor i in 1:10^15\n  t += i\nend",
        "f(x) = (for i in 1:10^12; rand(3); end); f(1)",
        'while true; println("flood"); end',
        "run(`sleep 60`)",
        "wait(Condition())",
        "@async while true; sleep(0.01); end; sleep(60)",
        "take!(Channel(0))",
    ],
    ids=lambda code: code.split("\n")[0][:20],
)
def test_interrupt_ends_the_cell_and_keeps_the_state(kernel: Notebook, code: str) -> None:
    kernel.run("kept = 7")
    outcome = interrupted(kernel, code)
    assert outcome.status == "error"
    assert outcome.seconds < 40
    if "run(" not in code:
        assert outcome.reply["content"]["ename"] == "InterruptException"


def test_loop_without_a_place_to_stop_ends(kernel: Notebook) -> None:
    kernel.run("kept = 7\n" + TIGHT_FUNCTION)
    outcome = interrupted(kernel, "spin(1)", times=2)
    assert outcome.reply["content"]["ename"] == "InterruptException"


def test_interrupt_while_idle_does_nothing(kernel: Notebook) -> None:
    kernel.run("kept = 7")
    control = kernel.client.control_channel
    for _ in range(3):
        # as the manager does; but an answer shows that it came before the next cell
        control.send(kernel.client.session.msg("interrupt_request", {}))
        assert kernel.client.get_control_msg(timeout=60)["msg_type"] == "interrupt_reply"
    outcome = kernel.run("kept")
    assert (outcome.result, outcome.stderr) == ({"text/plain": "7"}, "")


def test_no_child_is_left_by_an_interrupt(kernel: Notebook) -> None:
    kernel.run("kept = 7")
    interrupted(kernel, "run(`sleep 61`)")
    assert kernel.run("success(`pgrep -f 'sleep 61$'`)").result == {"text/plain": "false"}
