"""A server for one's own browser, on this machine alone: it answers with what a view says, and with three files."""

from __future__ import annotations

import errno
import re
import socketserver
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bnbench.errors import RequestError
from bnbench.live.view import PICTURES, View

HOST = "127.0.0.1"
# The names by which a browser on this machine knows it; any other is a page that was rebound here.
_OURS = re.compile(rf"({re.escape(HOST)}|localhost)(:[0-9]{{1,5}})?")
_HERE = Path(__file__).parent
_OF_REPORT = _HERE.parent / "report" / "page"  # its head and its colours are those of every page
# By path: the files whose contents follow each other, and their kind.
_FILES = {
    "/": ((_OF_REPORT / "head.html", _HERE / "page.html"), "text/html; charset=utf-8"),
    "/live.css": ((_OF_REPORT / "paper.css", _HERE / "live.css"), "text/css; charset=utf-8"),
    "/live.js": ((_HERE / "live.js",), "text/javascript; charset=utf-8"),
}
_PICTURE = re.compile(rf"/({'|'.join(PICTURES)})/([0-9a-f]{{64}})\.png")
_SECONDS = 10  # that a client may take over its request
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class LiveServer(ThreadingHTTPServer):
    """Serves the page of the sweeps below a folder, read only, on 127.0.0.1.

    Args:
        root: a results folder, or one above several.
        port: where; 0 for any that is free.

    Raises:
        RequestError: the port is in use, or not this user's to open.
    """

    def __init__(self, root: Path, port: int) -> None:
        self.view = View(root)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
            raise RequestError(f"--port {port} {reason}; give another, such as {port % 60000 + 1024}, or 0.") from error

    def server_bind(self) -> None:
        """Bind without asking a name server how this machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """Return what a browser opens."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave out a client that went away, or an answer that failed: the next one is asked for anew."""


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    timeout = _SECONDS
    server_version, sys_version = "bnbench", ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the terminal belongs to whoever has started this."""

    def _answer(self, *, with_body: bool) -> None:
        if not self._is_from_here():
            self.send_error(HTTPStatus.FORBIDDEN, "Not a name of this machine")
            return
        content, kind, is_lasting = self._content()
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "private, max-age=86400, immutable" if is_lasting else "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Send with every answer, also one that refuses, what a browser may do with it."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _is_from_here(self) -> bool:
        """Say whether the browser knows this server by its own name; another name was made to lead here.

        The port may be another one: ssh -L gives it any number on the machine of the browser.
        """
        named = self.headers.get_all("Host", [])
        return len(named) == 1 and _OURS.fullmatch(named[0].lower()) is not None

    def _content(self) -> tuple[bytes | None, str, bool]:
        """Return what a path leads to, its kind, and whether it stays as it is; no path is one of the disk."""
        if self.path in _FILES:
            files, kind = _FILES[self.path]
            return b"".join(file.read_bytes() for file in files), kind, False
        if self.path == "/status.json":
            return self.server.view.status(), "application/json", False
        if asked := _PICTURE.fullmatch(self.path):
            return self.server.view.picture(asked[1], asked[2]), "image/png", True
        return None, "", False
