"""Which part of JuliaBox loads plugins of which features.

A part imports a plugin only if the plugin provides one of the part's features, and is told the
settings of these plugins alone: a mail password never reaches the portal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Part -> features, in the sense of :func:`juliabox_ext.catalog.covers`.
LOADS: Mapping[str, Sequence[str]] = {
    "hub": ("handler.auth", "handler.post_auth", "ui.auth.btn", "cloud.sendmail"),
    "portal": (
        "db",
        "db.table",
        "db.usage_accounting",
        "handler",
        "handler.js.top",
        "ui.session.head",
        "ui.config.section",
        "cloud.compute",
    ),
    "api": ("db",),
    "manager": ("vol", "task", "cloud.bucketstore", "cloud.dns", "cloud.compute"),
}
