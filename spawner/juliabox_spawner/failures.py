"""Translation of the manager's errors: for DockerSpawner, and for the person who waits.

DockerSpawner decides by the HTTP status of ``docker.errors.APIError`` what an error means: 404 is
"gone", 409 "already being removed", and 500 counts as gone too. So nothing of ours crosses as 500:
a manager that is away must not make a running session look ended.
"""

from __future__ import annotations

from html import escape

import docker.errors
import requests
from jupyterhub.spawner import SpawnException

from juliabox_ext.errors import (
    ConfigurationError,
    ConflictError,
    DeadlineError,
    JuliaBoxError,
    NoRoomError,
    NotFoundError,
    PolicyError,
    RequestError,
    UnavailableError,
    VolumeError,
)
from juliabox_manager.protocol import ExitInfo

#: Reason, for the metrics' label, and the sentence that opens the page, by family of error.
_REASONS: dict[type[JuliaBoxError], tuple[str, str]] = {
    NoRoomError: ("no_room", "There is no room for another server at the moment."),
    PolicyError: ("policy", "This server is not allowed to start."),
    VolumeError: ("volume", "Your home volume cannot be opened."),
    UnavailableError: ("engine", "The container service does not answer."),
    DeadlineError: ("engine", "The container service took too long to answer."),
    ConflictError: ("conflict", "Your previous server has not finished stopping."),
    NotFoundError: ("not_found", "Something that your server needs does not exist."),
    RequestError: ("request", "The request to start your server is not valid."),
    ConfigurationError: ("configuration", "The service is configured wrongly."),
}


class StartError(SpawnException):  # type: ignore[misc]  # JupyterHub is untyped
    """A start that failed, with a text for the person and a reason for the metrics.

    ``lines`` are the container's last lines; the failure page shows them, escaped.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        status_code: int = 500,
        lines: list[str] | None = None,
        retry_after: int = 0,
    ) -> None:
        html = f"<span class='jb-failure-text'>{escape(message)}</span>"
        if lines:
            text = escape("\n".join(lines))
            html += (
                "<details class='jb-failure-log' open><summary>Last lines of the container"
                f"</summary><pre>{text}</pre></details>"
            )
        super().__init__(message, reason=reason, message_html=html, status_code=status_code)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = html
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}


def docker_error(error: JuliaBoxError) -> docker.errors.APIError:
    """Return the error that DockerSpawner expects for an error of the manager."""
    response = requests.Response()
    response.status_code = 503 if error.status == 500 else error.status
    response.reason = error.code
    kind = docker.errors.NotFound if isinstance(error, NotFoundError) else docker.errors.APIError
    result = kind(error.message, response=response, explanation=error.message)
    result.__cause__ = error
    return result


def start_error(error: JuliaBoxError) -> StartError:
    """Return the failure that the person sees for an error of the manager."""
    reason, opening = next(
        (entry for family, entry in _REASONS.items() if isinstance(error, family)),
        ("internal", "Your server could not be started because of a fault of this service."),
    )
    if error.code.startswith("image"):
        reason, opening = "image", "The image of your server is not available."
    return StartError(
        f"{opening} {error.message}",
        reason=reason,
        status_code=503 if error.status == 429 else error.status,
        retry_after=30 if error.retryable else 0,
    )


def failure_of(error: Exception) -> Exception:
    """Return what to raise to JupyterHub for an error of a start or stop."""
    if isinstance(error, JuliaBoxError):
        return start_error(error)
    if isinstance(error, docker.errors.APIError) and isinstance(error.__cause__, JuliaBoxError):
        return start_error(error.__cause__)
    return error


def exit_text(exit_info: ExitInfo | None) -> str:
    """Return one or two sentences that say why a session ended."""
    if exit_info is None:
        return "Your server ended without saying why."
    if exit_info.oom_killed:
        return (
            f"Your server was stopped. {exit_info.reason} "
            "Start it again and use less memory at once, or choose a larger profile."
        )
    return f"Your server ended with exit code {exit_info.code}. {exit_info.reason}".strip()


def exit_error(exit_info: ExitInfo | None) -> StartError:
    """Return the failure of a session that ended before its server answered."""
    oom = exit_info is not None and exit_info.oom_killed
    return StartError(
        exit_text(exit_info),
        reason="oom" if oom else "exited",
        status_code=500,
        lines=exit_info.last_lines if exit_info else None,
    )
