"""Static files that were compressed when the image was built."""

from __future__ import annotations

from pathlib import Path

from tornado.web import StaticFileHandler


class CompressedFiles(StaticFileHandler):
    """Sends the compressed twin beside a file, where there is one, to whoever takes it.

    It costs nothing then, and it is done to files alone: a page holds secrets, whose length a
    stranger might tell from that of the compressed page.
    """

    #: Path of the file that was asked for, if its twin is sent.
    _plain = ""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Return the file to send, checked as ever."""
        checked = super().validate_absolute_path(root, absolute_path)
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
        """Say how the file is sent."""
        super().set_headers()
        self.set_header("Vary", "Accept-Encoding")
        if self._plain:
            self.set_header("Content-Encoding", "gzip")
