"""Plugin ``none``: instances have no names of their own."""

from __future__ import annotations

from typing import ClassVar

from juliabox_ext.cloud import Dns, JBPluginCloud
from juliabox_plugins.dns_names import check_host


class NoDns(Dns):
    """Makes no names: for one machine, or where somebody else makes them."""

    provides: ClassVar = [JBPluginCloud.JBP_DNS]

    def domain(self) -> str:
        """Return nothing."""
        return ""

    def add_cname(self, name: str, value: str) -> None:
        """Do nothing."""
        check_host(name)
        check_host(value)

    def delete_cname(self, name: str) -> None:
        """Do nothing."""
        check_host(name)
