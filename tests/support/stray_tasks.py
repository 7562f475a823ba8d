"""Tasks of a stranger, well and ill behaved; laid out as a package of their own and run for real.

Files that tell what happened go to the folder that `JBT_NOTES` names.
"""

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pydantic import Field, SecretStr

from juliabox_ext.errors import NoRoomError
from juliabox_ext.plugin import PluginSettings
from juliabox_ext.task import CommandTask, PeriodicTask, Schedule, TaskData


def note(name, text=""):
    path = Path(os.environ["JBT_NOTES"]) / name
    with path.open("a") as file:
        file.write(f"{text}\n")


def descriptors():
    """What is open besides input and outputs, whatever its number."""
    numbers = (int(path.name) for path in Path("/proc/self/fd").iterdir())
    return sorted(number for number in numbers if number > 2)


class Command(CommandTask):
    provides = (CommandTask.JBP_CMD_ASYNC,)
    clients = ("operator", "hub")
    time_limit = 60.0


class Greeting(TaskData):
    name: str = Field(pattern=r"^[a-z]+$", max_length=20)
    times: int = Field(1, ge=1, le=3)


class Greet(Command):
    """Well behaved."""

    Data = Greeting

    def do_task(self, plugin_type, data):
        print(f"greeting {data.name}")
        return {"greeting": f"hello {data.name}" * data.times, "type": plugin_type}


class Raises(Command):
    def do_task(self, plugin_type, data):
        raise ValueError("no such thing")


class RaisesTyped(Command):
    def do_task(self, plugin_type, data):
        raise NoRoomError("the bucket is full", code="no_room.bucket")


class Exits(Command):
    def do_task(self, plugin_type, data):
        os._exit(7)


class ExitsPolitely(Command):
    def do_task(self, plugin_type, data):
        sys.exit(3)


class Hangs(Command):
    time_limit = 6.0

    def do_task(self, plugin_type, data):
        note("hangs", os.getpid())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)


class HangsInC(Command):
    """Holds the interpreter's lock for ever."""

    time_limit = 6.0

    def do_task(self, plugin_type, data):
        note("hangs-in-c", os.getpid())
        ctypes.PyDLL(None).sleep(3600)


class Prints(Command):
    """Notes when it has printed more than the pipe and the manager's buffers hold together."""

    time_limit = 6.0

    def do_task(self, plugin_type, data):
        for number in itertools.count():
            print("x" * 5000, flush=False)
            if number == 210:
                note("prints")


class NoJson(Command):
    def do_task(self, plugin_type, data):
        return object()


class TooMuch(Command):
    def do_task(self, plugin_type, data):
        return "x" * 10_000_000


class Deep(Command):
    """Returns what some programs can read and others cannot."""

    def do_task(self, plugin_type, data):
        result = []
        for _ in range(940):
            result = [result]
        return result


class DeepWords(Command):
    """Says by itself, to the manager, that it is done."""

    def do_task(self, plugin_type, data):
        line = b'{"type":"done","result":' + b"[" * 30_000 + b"]" * 30_000 + b"}\n"
        for number in descriptors():
            try:
                os.write(number, line)
            except OSError:
                continue
        time.sleep(60)


class Nonsense(Command):
    """Writes to every socket that it finds."""

    def do_task(self, plugin_type, data):
        for number in descriptors():
            try:
                os.write(number, b"x" * 300_000 + b"\n")
            except OSError:
                continue
        time.sleep(60)


class Leaves(Command):
    """Leaves a child in its group, and a daemon in a session of its own."""

    def do_task(self, plugin_type, data):
        child = subprocess.Popen(["sleep", "600"])
        code = "import os,sys,time; os.fork() and os._exit(0); os.setsid(); "
        code += "print(os.getpid(), flush=True); time.sleep(600)"
        daemon = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        number = int(daemon.stdout.readline())
        note("left", f"{child.pid} {number}")
        return [child.pid, number]


class Multiplies(Command):
    """Has more processes than a task may have."""

    def do_task(self, plugin_type, data):
        for _ in range(300):
            if os.fork() == 0:
                time.sleep(600)
        time.sleep(600)


class Eats(Command):
    memory_limit = 128 * 1024**2

    def do_task(self, plugin_type, data):
        kept = []
        while True:
            kept.append(bytearray(8 * 1024**2))


class Asks(Command):
    """Calls what its data name."""

    class Data(TaskData):
        verb: str
        fields: dict = Field(default_factory=dict)

    def do_task(self, plugin_type, data):
        return self.manager.call(data.verb, **data.fields)


class Sleeps(Command):
    class Data(TaskData):
        seconds: float = 0.5

    def do_task(self, plugin_type, data):
        note("sleeps", f"begin {time.monotonic()}")
        time.sleep(data.seconds)
        note("sleeps", f"end {time.monotonic()}")


class Ticks(PeriodicTask):
    provides = (PeriodicTask.JBP_NODE, PeriodicTask.JBP_CLUSTER)
    schedule = Schedule(every=1.0, delay=0.0)

    def do_periodic_task(self, plugin_type):
        note("ticks", plugin_type)
        return {"type": plugin_type}


class Rarely(PeriodicTask):
    provides = (PeriodicTask.JBP_NODE,)
    schedule = Schedule(every=86400.0, delay=0.5)

    def do_periodic_task(self, plugin_type):
        note("rarely")


class Configured(Command):
    class Settings(PluginSettings):
        token: SecretStr
        greeting: str = "hello"

    def configure(self):
        if self.context.settings.greeting == "hang":
            note("configures")
            time.sleep(3600)
        if self.context.settings.greeting == "exit":
            os._exit(5)
        if self.context.settings.greeting == "raise":
            raise RuntimeError("cannot be prepared")

    def do_task(self, plugin_type, data):
        return self.context.settings.greeting


class Lacks(CommandTask):
    provides = (CommandTask.JBP_CMD_ASYNC,)


class Unknown(Command):
    provides = ("task.of.tomorrow",)


class NoTask:
    provides = (CommandTask.JBP_CMD_ASYNC,)


class BadSchedule(Ticks):
    schedule = Schedule(every=0.0)


class Needs(Command):
    requires = ("cloud.sendmail",)

    def do_task(self, plugin_type, data):
        return None
