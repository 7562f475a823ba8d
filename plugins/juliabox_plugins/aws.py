"""AWS for the plugins that use it: settings, clients made when first needed, and typed errors.

boto3 is imported with the first client: a process with its clients takes 97 MiB.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator

from juliabox_ext.errors import JuliaBoxError
from juliabox_ext.plugin import PluginSettings

#: One at a time makes a client, of the one session that all plugins of a process share: it keeps
#: the descriptions of services, which take longest to read and most of the memory.
_making = threading.Lock()


@functools.cache
def _session() -> Any:
    import boto3  # noqa: PLC0415  # takes time and memory: see above

    return boto3.session.Session()


class AwsSettings(PluginSettings):
    """What all plugins on AWS are told; what is empty comes from the environment or the role."""

    #: Region, such as ``eu-central-1``.
    region: Annotated[str, Field(max_length=50, pattern=r"^[a-z0-9-]*$")] = ""
    #: Address of another server that speaks AWS's protocol.
    endpoint_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    #: Key of an account; without one the machine's role is used.
    access_key_id: str = ""
    secret_access_key: SecretStr = SecretStr("")
    session_token: SecretStr = SecretStr("")
    #: Seconds for connecting, and for each piece of an answer.
    connect_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    read_timeout: Annotated[float, Field(gt=0, le=300)] = 30.0
    #: How often a request is made before it has failed, with growing pauses between.
    attempts: Annotated[int, Field(ge=1, le=10)] = 4

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.access_key_id) != bool(self.secret_access_key.get_secret_value()):
            raise ValueError("access_key_id and secret_access_key must be set together")
        return self


class Aws:
    """Clients of AWS's services for one plugin; they may be used by several threads."""

    def __init__(self, settings: AwsSettings, plugin: str) -> None:
        self.settings = settings
        self.plugin = plugin
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service, made when first asked for."""
        with self._lock:
            if service not in self._clients:
                with self.told(f"be used for {service}"):
                    self._clients[service] = self._make(service)
            return self._clients[service]

    def close(self) -> None:
        """Close the connections of all clients."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients = {}

    def _make(self, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415  # see above

        given = self.settings
        options: dict[str, Any] = {}
        if given.endpoint_url:
            # other servers lack host names for buckets and the newer checksums
            options = {
                "s3": {"addressing_style": "path"},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            }
        config = Config(
            connect_timeout=given.connect_timeout,
            read_timeout=given.read_timeout,
            retries={"mode": "standard", "total_max_attempts": given.attempts},
            user_agent_extra="juliabox",
            **options,
        )
        with _making:
            return _session().client(
                service,
                config=config,
                endpoint_url=given.endpoint_url or None,
                region_name=given.region or None,
                aws_access_key_id=given.access_key_id or None,
                aws_secret_access_key=given.secret_access_key.get_secret_value() or None,
                aws_session_token=given.session_token.get_secret_value() or None,
            )

    @contextlib.contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Run calls; whatever fails becomes a typed error that says what could not be done."""
        try:
            yield
        except JuliaBoxError:
            raise
        except Exception as error:
            from juliabox_plugins import aws_errors  # noqa: PLC0415  # imports botocore

            found = aws_errors.typed(error, self.plugin, what)
            if found is None:
                raise
            raise found from error
