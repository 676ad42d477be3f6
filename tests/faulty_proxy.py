"""A proxy on the loopback interface that does to requests what networks and servers do: for tests of what follows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from attrs import define, field


class Fault(Enum):
    """What happens to one request."""

    REFUSE = "answered with an error, and never seen by the server"
    DENY = "done by the server, but answered with an error"
    CUT = "done by the server, but the line breaks before the answer"
    HALVE = "done by the server, but the line breaks in the middle of the answer"
    STALL = "never seen by the server, nor answered"
    HANG = "done by the server, but not answered"
    NONE = "nothing"


@define
class FaultyProxy:
    """Requests of one kind that meet a fault each, in their order; all others pass."""

    upstream: str
    endpoint: str = ""
    method: str = ""
    faults: deque[Fault] = field(factory=deque)
    closing: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)

    def plan(self, method: str, faults: Sequence[Fault]) -> None:
        """Let the next requests of a method meet these faults."""
        with self._lock:
            self.method, self.faults = method, deque(faults)

    def next(self, method: str) -> Fault:
        """The fault that the next request of a method meets."""
        with self._lock:
            return self.faults.popleft() if method == self.method and self.faults else Fault.NONE

    def forward(self, request: BaseHTTPRequestHandler) -> tuple[HTTPResponse, bytes]:
        """What the server answers to a request."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        connection = HTTPConnection(urlsplit(self.upstream).netloc)
        try:
            connection.request(request.command, request.path, body, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer, content


class _Handler(BaseHTTPRequestHandler):
    proxy: ClassVar[FaultyProxy]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Be quiet."""

    def _serve(self) -> None:
        fault = self.proxy.next(self.command)
        if fault in {Fault.REFUSE, Fault.STALL}:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        else:
            answer, content = self.proxy.forward(self)
        if fault in {Fault.NONE, Fault.HALVE}:
            self._pass_on(answer, content, whole=fault is Fault.NONE)
        elif fault in {Fault.STALL, Fault.HANG}:
            self.proxy.closing.wait()
        elif fault in {Fault.REFUSE, Fault.DENY}:
            self.send_error(500)
        self.close_connection = fault is not Fault.NONE

    def _pass_on(self, answer: HTTPResponse, content: bytes, *, whole: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"date", "server", "connection"}:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if whole else content[: len(content) // 2])

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815


@contextmanager
def proxying(upstream: str) -> Iterator[FaultyProxy]:
    """A proxy before a server, for as long as the `with` block runs."""
    proxy = FaultyProxy(upstream)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy})) as server:
        proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            server.shutdown()
            thread.join()
