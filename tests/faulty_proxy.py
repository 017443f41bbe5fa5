"""An HTTP proxy before a storage server that fails a share of the requests in the ways that object stores fail."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0} on purpose</Message></Error>'
KINDS = ("error", "slow down", "reset", "answer lost", "cut")
"""500; 503 SlowDown; closed before the request is passed on; after it; in the middle of the answer's body."""
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a server; fails some, drawn from a seed by the request's number."""

    daemon_threads = True

    def __init__(self, target: str, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.share, self.seed = urlsplit(target).netloc, share, seed
        self.requests, self.faults = 0, Counter[str]()
        self.pace: tuple[int, float] | None = None
        """Bytes that an answer sends at once, and the seconds before the next; None sends all."""
        self.paths: list[str] = []
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def draw(self) -> str | None:
        """Return how the next request fails, None if it does not."""
        with self._lock:
            self.requests += 1
            draws = random.Random(f"{self.seed}:{self.requests}")
            kind = draws.choice(KINDS) if draws.random() < self.share else None
            if kind:
                self.faults[kind] += 1
            return kind

    def handle_error(self, request, client_address) -> None:
        """Say nothing: a client that goes away is no news here."""


@contextmanager
def faulty_proxy(options: dict, share: float, seed: int = 1) -> Iterator[tuple[FaultyProxy, dict]]:
    """Yield a proxy and the storage options that go through it."""
    server = FaultyProxy(options["client_kwargs"]["endpoint_url"], share, seed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server, options | {"client_kwargs": {"endpoint_url": server.endpoint}}
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.paths.append(self.path)
        fault = self.server.draw()
        if fault in {"error", "slow down"}:
            code, name = (500, "InternalError") if fault == "error" else (503, "SlowDown")
            self.answer(code, {"Content-Type": "application/xml"}, ERROR.format(name).encode())
            return
        if fault == "reset":
            self.reset()
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_CONNECTION}
            upstream.request(self.command, self.path, body, headers | {"Connection": "close"})
            response = upstream.getresponse()
            data = response.read()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in OF_CONNECTION}
            if fault == "answer lost":
                self.reset()
            elif fault == "cut":
                self.answer(response.status, kept, data, len(data) // 2)
                self.reset()
            else:
                self.answer(response.status, kept, data)
        finally:
            upstream.close()

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = pass_on  # noqa: N815  names that http.server calls

    def answer(self, status: int, headers: dict[str, str], data: bytes, sent: int | None = None) -> None:
        """Send an answer, or only so many bytes of its body."""
        self.send_response_only(status)
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"} | {
            "Content-Length": headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        }
        for name, value in headers.items():
            self.send_header(name, value)
        body = b"" if self.command == "HEAD" else data[:sent]
        if self.server.pace is None:
            self.end_headers()
            self.wfile.write(body)
        else:
            head = b"".join(self._headers_buffer) + b"\r\n"
            self._headers_buffer = []
            self.drip(head + body, *self.server.pace)
        self.wfile.flush()

    def drip(self, data: bytes, nbytes: int, seconds: float) -> None:
        """Send so many bytes at a time, until the client goes away or the server is to go faster."""
        for start in range(0, len(data), nbytes):
            self.wfile.write(data[start : start + nbytes])
            if self.server.pace is not None:
                time.sleep(seconds)

    def reset(self) -> None:
        """End the connection without a word."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *arguments) -> None:
        """Say nothing."""
