"""A command that other parts may ask the container manager for."""

from typing import ClassVar

from juliabox_ext.task import CommandTask, JBPluginTask, TaskData
from juliabox_greeting.settings import GreetingSettings


class Whom(TaskData):
    """What the command is called with."""

    name: str


class GreetingTask(CommandTask):
    """Greets whomever it is told to."""

    provides: ClassVar = [JBPluginTask.JBP_CMD_ASYNC]
    Settings: ClassVar = GreetingSettings
    Data: ClassVar = Whom
    clients: ClassVar = ("operator", "portal")

    def do_task(self, plugin_type: str, data: Whom) -> dict[str, str]:
        """Return the greeting."""
        return {"greeting": f"{self.context.settings.word}, {data.name}!"}
