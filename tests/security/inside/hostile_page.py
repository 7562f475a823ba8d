"""A page that a person serves from their own session, and what its visitors' browsers sent.

Usage: hostile_page.py serve | received.
"""

import http.server
import sys
from pathlib import Path

SEEN = Path("/tmp/received")


class Page(http.server.BaseHTTPRequestHandler):
    """Answer everything with one page, and keep the cookies."""

    def do_GET(self) -> None:
        """Serve."""
        with SEEN.open("a") as file:
            file.write(f"{self.headers.get('Cookie')}\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p id=hostile>mallory's page</p>")


if sys.argv[1] == "serve":
    http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Page).serve_forever()
print(SEEN.read_text())
