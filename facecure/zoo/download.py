"""One file over HTTP: resumed where it broke off, and under its own name only when it is whole."""

from __future__ import annotations

import fcntl
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

Progress = Callable[[int, int | None], None]  # bytes so far, and in all where the server says

_TIMEOUT = 30  # seconds without a byte
_BLOCK = 1 << 18
_AGENT = "facecure (+https://pypi.org/project/facecure)"


class DownloadFailed(Exception):
    """Why one address gave no file."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from an encrypted address to an open one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadFailed(f"it redirects to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, file: Path, progress: Progress = lambda done, total: None) -> None:
    """Write the content of an http(s) address to `file`, whole.

    What broke off before is continued from `file`.part if the server still has the same content. Raises
    `DownloadFailed` with the reason; what came so far stays for the next time.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        with _alone(part) as stream:
            _receive(url, stream, part.with_name(f"{part.name}.from"), progress)
            part.replace(file)
    except urllib.error.HTTPError as error:
        raise DownloadFailed(f"the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise DownloadFailed(f"no connection: {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise DownloadFailed(f"the connection broke off: {error}; the next run continues there") from error
    except OSError as error:
        raise DownloadFailed(f"{part} cannot be written: {error.strerror}") from error


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """Yield the unfinished file for appending; another process that has it open is an error."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadFailed(f"another process is fetching it into {part}") from error
        try:
            yield stream
        finally:
            if not stream.tell():
                part.unlink(missing_ok=True)


def _receive(url: str, stream: IO[bytes], origin: Path, progress: Progress) -> None:
    validator = _validator(origin, url)
    if validator is None:
        stream.truncate(0)
    have = stream.seek(0, 2)
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if have and validator is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with _open(urllib.request.Request(url, headers=headers)) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise DownloadFailed("the server answers with a web page instead of the file")
        if answer.status != 206:  # from the start: the server knows no ranges, or has other content by now
            stream.truncate(0)
            have = 0
        tag = answer.headers.get("ETag", "")
        _keep(origin, url, tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified"))
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        progress(have, total)
        while block := answer.read(_BLOCK):
            stream.write(block)
            have += len(block)
            progress(have, total)
    stream.flush()
    if total is not None and have < total:
        raise DownloadFailed(
            f"the connection broke off after {have:,} of {total:,} bytes; the next run continues there"
        )
    origin.unlink(missing_ok=True)


def _open(request: urllib.request.Request) -> Any:
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not request.has_header("Range"):
            raise
        # what is there already is not a beginning of what the server has
        request.remove_header("Range")
        request.remove_header("If-range")
        return opener.open(request, timeout=_TIMEOUT)


def _validator(origin: Path, url: str) -> str | None:
    """Return what identifies the content that a download began with, None where it cannot be continued."""
    try:
        began = json.loads(origin.read_text())
    except (OSError, ValueError):
        return None
    return began["validator"] if began["url"] == url else None


def _keep(origin: Path, url: str, validator: str | None) -> None:
    if validator is None:
        origin.unlink(missing_ok=True)
    else:
        origin.write_text(json.dumps({"url": url, "validator": validator}))
