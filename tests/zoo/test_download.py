"""A file comes whole or not at all, and what broke off is continued if it is still the same file."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from facecure.zoo.download import DownloadFailed, _Redirects, download

CONTENT = bytes(range(256)) * 5000


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "weights.bin"


def left(file) -> set[str]:
    return {path.name for path in file.parent.iterdir()}


def test_a_file_arrives_with_progress(server, file):
    server.content["a"] = CONTENT
    seen = []
    download(server.url("a"), file, lambda *step: seen.append(step))
    assert file.read_bytes() == CONTENT
    assert left(file) == {"weights.bin"}
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_empty_file_arrives(server, file):
    server.content["a"] = b""
    download(server.url("a"), file)
    assert file.read_bytes() == b""


@pytest.mark.parametrize("validator", [{"ETag": '"one"'}, {"Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}])
def test_what_broke_off_is_continued(server, file, validator):
    server.content["a"], server.breaks_after, server.validator = CONTENT, 300_000, validator
    with pytest.raises(DownloadFailed, match=r"broke off .*300,000 of 1,280,000.*the next run continues"):
        download(server.url("a"), file)
    assert not file.exists()
    assert (file.parent / "weights.bin.part").stat().st_size == 300_000
    download(server.url("a"), file)
    assert file.read_bytes() == CONTENT
    assert server.requests == [("a", None), ("a", "bytes=300000-")]
    assert left(file) == {"weights.bin"}


@pytest.mark.parametrize("change", ["other content", "no ranges", "no validator", "weak validator", "another address"])
def test_what_cannot_be_continued_begins_anew(server, file, change):
    server.content["a"], server.breaks_after = CONTENT, 300_000
    if change == "no validator":
        server.validator = {}
    if change == "weak validator":
        server.validator = {"ETag": 'W/"one"'}
    with pytest.raises(DownloadFailed):
        download(server.url("a"), file)
    content, name = CONTENT, "a"
    if change == "other content":
        server.validator, content = {"ETag": '"two"'}, CONTENT[::-1]
    if change == "no ranges":
        server.ranges = False
    if change == "another address":
        name, content = "b", CONTENT[::-1]
    server.content[name] = content
    download(server.url(name), file)
    assert file.read_bytes() == content


def test_a_part_that_is_longer_than_the_file_begins_anew(server, file):
    server.content["a"], server.breaks_after = CONTENT, 300_000
    with pytest.raises(DownloadFailed):
        download(server.url("a"), file)
    server.content["a"] = CONTENT[:1000]  # under the same validator: a server's mistake
    download(server.url("a"), file)
    assert file.read_bytes() == CONTENT[:1000]


def test_a_redirect_is_followed(server, file):
    server.content["there"] = CONTENT
    server.redirects["here"] = server.url("there")
    download(server.url("here"), file)
    assert file.read_bytes() == CONTENT


def test_a_redirect_that_gives_up_encryption_is_not():
    request = urllib.request.Request("https://example.org/weights")
    with pytest.raises(DownloadFailed, match="not encrypted"):
        _Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/weights")


def test_a_web_page_is_not_the_file(server, file):
    server.content["a"], server.kind = b"<html>too many downloads</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadFailed, match="web page"):
        download(server.url("a"), file)
    assert left(file) == set()


def test_a_missing_file_is_named(server, file):
    with pytest.raises(DownloadFailed, match="404 Not Found"):
        download(server.url("a"), file)
    assert left(file) == set()


def test_no_connection_is_named(file):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed, match=r"no connection: .*refused"):
        download(f"http://127.0.0.1:{port}/a", file)
    assert left(file) == set()


def test_a_file_that_came_before_stays_when_the_next_one_does_not(server, file):
    server.content["a"] = CONTENT
    download(server.url("a"), file)
    with pytest.raises(DownloadFailed):
        download(server.url("b"), file)
    assert file.read_bytes() == CONTENT


def test_two_at_a_time_do_not_mix(server, file):
    import fcntl

    server.content["a"] = CONTENT
    file.parent.mkdir()
    with (file.parent / "weights.bin.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadFailed, match="another process"):
            download(server.url("a"), file)
    download(server.url("a"), file)
    assert file.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadFailed, match=r"w\.part cannot be written: (Not a directory|File exists)"):
        download(server.url("a"), tmp_path / "file" / "w")
