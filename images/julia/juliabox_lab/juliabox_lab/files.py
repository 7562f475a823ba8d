"""The handler of static files."""

import re
from pathlib import Path

from jupyter_server.base.handlers import FileFindHandler

#: A name with a hash of the content, such as ``main.efd36b46f3b45eb8.js``: what it names is final.
HASHED = re.compile(r"(^|[.-])[0-9a-f]{16,}\.[a-z0-9]+$")

FOR_GOOD = "public, max-age=31536000, immutable"


class StaticFiles(FileFindHandler):
    """Sends the compressed file beside the one that is asked for, to whoever takes it."""

    #: Path of the file that was asked for, if another is sent.
    _plain = ""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:  # type: ignore[override]
        """Return the file to send, checked as ever; its compressed twin if there is one."""
        checked: str | None = super().validate_absolute_path(root, absolute_path)
        if checked is None or "gzip" not in self.request.headers.get("Accept-Encoding", ""):
            return checked
        # a part of a file is a part of the plain one
        if "Range" in self.request.headers or not Path(f"{checked}.gz").is_file():
            return checked
        self._plain = checked
        return super().validate_absolute_path(root, f"{checked}.gz")

    def get_content_type(self) -> str:
        """Return the type of the file that was asked for."""
        if not self._plain:
            return super().get_content_type()
        sent, self.absolute_path = self.absolute_path, self._plain
        try:
            return super().get_content_type()
        finally:
            self.absolute_path = sent

    def set_headers(self) -> None:
        """Say how the file is sent, and how long it may be kept."""
        super().set_headers()
        self.set_header("Vary", "Accept-Encoding")
        if self._plain:
            self.set_header("Content-Encoding", "gzip")
        if HASHED.search(self.request.path):
            self.set_header("Cache-Control", FOR_GOOD)
