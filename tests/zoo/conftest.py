"""A server that behaves as the ones that publish weights do, well and badly, and small entries to fetch from it."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facecure.extractors import packaged
from facecure.zoo.catalogue import ZooEntry, ZooFile

PLAIN = (Path(packaged.__file__).parent / "plain.pt").read_bytes()
PREPROCESSING = {
    "input": {"width": 64, "height": 64, "mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5]},
    "embedding": {"size": 64},
    "about": {"training_set": "synthetic", "year": 2026},
    "architecture": "tiny-plain",
}


class Server:
    """What is served under which path; `requests` are the paths and ranges that were asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.content: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.breaks_after: int | None = None  # bytes, once
        self.ranges = True
        self.validator: dict[str, str] = {"ETag": '"one"'}
        self.redirects: dict[str, str] = {}
        self.kind = "application/octet-stream"

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            name, wanted = self.path[1:], self.headers.get("Range")
            made.requests.append((name, wanted))
            if name in made.redirects:
                self.send_response(302)
                self.send_header("Location", made.redirects[name])
                self.end_headers()
                return
            if name not in made.content:
                self.send_error(404)
                return
            content, start = made.content[name], 0
            if wanted and made.ranges and self.headers.get("If-Range") in made.validator.values():
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            for key, value in made.validator.items():
                self.send_header(key, value)
            self.send_header("Content-Type", made.kind)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end, made.breaks_after = made.breaks_after, None
            self.wfile.write(content[start : len(content) if end is None else start + end])

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    http.shutdown()
    thread.join()
    http.server_close()


def entry(*files: ZooFile, name: str = "plain", **values) -> ZooEntry:
    """An extractor with the packaged network's weights, unless told otherwise."""
    defaults = {
        "kind": "extractor", "training_set": "synthetic", "data_terms": "none", "licence": "Apache-2.0", "year": 2026,
        "paper": "none", "note": "", "preprocessing": PREPROCESSING,
    }  # fmt: skip
    return ZooEntry(name=name, files=files, **(defaults | values))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
