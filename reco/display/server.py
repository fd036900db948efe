"""The events of one file, page by page, for a browser on this machine."""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Protocol

from reco.display.page import Place, page_at, plotly_js
from reco.display.scene import Scene
from reco.errors import RecoError

HOST = "127.0.0.1"
PLOTLY = "/plotly.js"
EVENT = "/event/"


class Event(Protocol):
    """What is served."""

    @property
    def name(self) -> str: ...
    @property
    def scene(self) -> Scene: ...


class Events(Protocol):
    """Events of a file, by their position; raises RecoError where there is none."""

    def __len__(self) -> int: ...
    def __getitem__(self, event: int, /) -> Event: ...


class Server(ThreadingHTTPServer):
    """Serves `/event/N` for every event of a file, to this machine only.

    port: 0 for any that is free; `url_of` then says which. Raises RecoError where the port is in
    use.
    """

    daemon_threads = True

    def __init__(self, events: Events, port: int) -> None:
        self.events = events
        self.lock = Lock()  # the file is read by one thread at a time
        self.plotly = plotly_js().encode()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise RecoError(
                f"port {port} cannot be used ({getattr(error, 'strerror', None) or error}); choose "
                "another with --port, or --port 0 for any that is free"
            ) from None
        self.names = {f"{host}:{self.server_port}" for host in (HOST, "localhost")}

    def url_of(self, event: int) -> str:
        return f"http://{HOST}:{self.server_port}{EVENT}{event}"

    def event_page(self, number: int) -> str:
        with self.lock:
            event = self.events[number]
            scene = event.scene
        place = Place(number, len(self.events))
        return page_at(scene, event.name, place, PLOTLY).html


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "reco"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        # A page elsewhere may have its own name resolve to this machine; it does not get the data.
        if self.headers.get("Host") not in self.server.names:
            self._answer(HTTPStatus.FORBIDDEN, "ask for 127.0.0.1 or localhost")
        elif path == "/":
            self._answer(HTTPStatus.FOUND, "", location=f"{EVENT}0")
        elif path == PLOTLY:
            self._send(HTTPStatus.OK, self.server.plotly, "text/javascript", "max-age=86400")
        elif path.startswith(EVENT) and path.removeprefix(EVENT).isdecimal():
            self._event(int(path.removeprefix(EVENT)))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "no such page; events are /event/0, /event/1...")

    def _event(self, number: int) -> None:
        try:
            html = self.server.event_page(number)
        except RecoError as error:
            self._answer(HTTPStatus.NOT_FOUND, str(error))
        else:
            self._send(HTTPStatus.OK, html.encode(), "text/html", "no-store")

    def _answer(self, status: HTTPStatus, text: str, location: str = "") -> None:
        self._send(status, f"{text}\n".encode(), "text/plain", "no-store", location)

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str, cache: str, location: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache)
        self.send_header("X-Content-Type-Options", "nosniff")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a line for every request would bury the address."""
