"""Weights are verified or pinned before they are trusted, wherever they come from; nothing wrong stays."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.errors import DigestMismatch, InputError, MissingDependency  # noqa: E402
from facecure.extractors.networks import LOOKALIKES  # noqa: E402
from facecure.extractors.runtimes import open_extractor  # noqa: E402
from facecure.types import Faces  # noqa: E402
from facecure.zoo.cache import ModelCache  # noqa: E402
from facecure.zoo.catalogue import ZooFile  # noqa: E402

from .conftest import PLAIN, PREPROCESSING, entry, sha256  # noqa: E402


@pytest.fixture
def cache(tmp_path):
    return ModelCache(tmp_path / "models")


def inside(cache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if path.name != ".lock"} if cache.folder.exists() else set()


def other_weights() -> bytes:
    """The packaged network with one value changed."""
    state = torch.load(io.BytesIO(PLAIN), weights_only=True)
    state["head.bias"][0] += 1
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def test_published_checksums_are_enforced_and_recorded(cache, server):
    server.content["plain.pt"] = PLAIN
    one = entry(ZooFile("plain.pt", (server.url("plain.pt"),), sha256=sha256(PLAIN)))
    assert not cache.has(one)
    assert cache.fetch(one) == []
    assert cache.has(one)
    spec = cache.spec(one)
    assert (spec.weights, spec.sha256) == (cache.folder / "plain.pt", sha256(PLAIN))
    assert spec.sha256_from == "publisher"
    assert inside(cache) == {"plain.pt", "lock.json"}
    known = cache.lock()["plain.pt"]
    assert known["sha256"] == sha256(PLAIN)
    assert known["size"] == len(PLAIN)
    assert known["origin"] == f"from {server.url('plain.pt')}"
    assert cache.fetch(one) == []
    assert len(server.requests) == 1  # what is there is not fetched again
    faces = Faces(np.zeros((1, 64, 64, 3), np.uint8), spec.geometry)
    assert open_extractor(spec).embed(faces).vectors.shape == (1, 64)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_another_file_than_the_published_one_is_refused(cache, server, kind):
    server.content["plain.pt"] = other_weights()
    published = {kind: getattr(hashlib, kind)(PLAIN).hexdigest()}
    one = entry(ZooFile("plain.pt", (server.url("plain.pt"),), **published))
    with pytest.raises(InputError, match=rf"(?s){kind.upper().replace('256', '-256')} is .*its publisher says"):
        cache.fetch(one)
    assert inside(cache) == set()
    server.content["plain.pt"] = PLAIN
    cache.fetch(one)
    assert cache.spec(one).sha256 == sha256(PLAIN)


def test_without_a_published_checksum_the_first_that_loads_is_pinned(cache, server):
    server.content["plain.pt"] = PLAIN
    one = entry(ZooFile("plain.pt", (server.url("plain.pt"),), reported="0" * 64))
    remarks = cache.fetch(one)
    assert sha256(PLAIN) in remarks[0]
    assert cache.spec(one).sha256_from == "first use"
    assert "others report SHA-256 000" in remarks[1]
    cache.path(one.files[0]).unlink()
    server.content["plain.pt"] = other_weights()
    with pytest.raises(InputError, match=r"(?s)lock\.json, where it was pinned .*says"):
        cache.fetch(one)
    assert inside(cache) == {"lock.json"}


def test_what_does_not_load_is_never_pinned(cache, server):
    for content in (b"", b"<html>too many downloads</html>", PLAIN[:-100], b"PK\x03\x04"):
        server.content["plain.pt"] = content
        one = entry(ZooFile("plain.pt", (server.url("plain.pt"),)))
        with pytest.raises(InputError, match=r"plain\.pt.* is no tiny-plain"):
            cache.fetch(one)
        assert inside(cache) == set()


def test_mirrors_are_tried_in_turn(cache, server):
    server.content |= {"bad": other_weights(), "good": PLAIN}
    urls = tuple(server.url(name) for name in ("missing", "bad", "good"))
    one = entry(ZooFile("plain.pt", urls, sha256=sha256(PLAIN)))
    cache.fetch(one)
    assert [name for name, _ in server.requests] == ["missing", "bad", "good"]
    assert cache.lock()["plain.pt"]["origin"] == f"from {urls[2]}"


def test_a_broken_download_is_continued_by_the_next_call(cache, server):
    server.content["plain.pt"], server.breaks_after = PLAIN, 10_000
    one = entry(ZooFile("plain.pt", (server.url("plain.pt"),), sha256=sha256(PLAIN)))
    with pytest.raises(InputError, match="broke off after 10,000 of"):
        cache.fetch(one)
    cache.fetch(one)
    assert server.requests[-1] == ("plain.pt", "bytes=10000-")
    assert inside(cache) == {"plain.pt", "lock.json"}


def test_offline_the_message_says_what_to_place_where(cache):
    one = entry(ZooFile("plain.pt", ("http://127.0.0.1:9/plain.pt",), sha256=sha256(PLAIN)))
    with pytest.raises(InputError) as raised:
        cache.fetch(one)
    text = str(raised.value)
    for part in ("no connection", "plain.pt", sha256(PLAIN), "facecure models add FILE --as plain", str(cache.folder)):
        assert part in text
    with pytest.raises(InputError, match="facecure models fetch plain"):
        cache.spec(one)


def test_what_has_a_page_only_says_so(cache):
    one = entry(ZooFile("plain.pt", page="https://example.org/drive"))
    with pytest.raises(InputError, match=r"(?s)no public address.*https://example\.org/drive.*models add"):
        cache.fetch(one)


@pytest.mark.parametrize("packing", ["zip", "bz2"])
def test_a_file_inside_an_archive(cache, server, packing, tmp_path):
    import bz2

    if packing == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("inner/w.pt", PLAIN)
        name, member, data = "all.zip", "#inner/w.pt", stream.getvalue()
    else:
        name, member, data = "plain.pt.bz2", "", bz2.compress(PLAIN)
    server.content[name] = data
    one = entry(ZooFile("plain.pt", (server.url(name) + member,), sha256=sha256(PLAIN)))
    cache.fetch(one)
    assert cache.spec(one).verified_weights() == PLAIN
    assert inside(cache) == {"plain.pt", "lock.json"}
    (tmp_path / name).write_bytes(data)
    elsewhere = ModelCache(tmp_path / "elsewhere")
    elsewhere.add(one, [tmp_path / name])
    assert elsewhere.spec(one).verified_weights() == PLAIN


def test_a_file_that_somebody_has_is_added(cache, tmp_path):
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    one = entry(ZooFile("plain.pt", page="by hand"))
    (remark,) = cache.add(one, [tmp_path / "mine.pt"])
    assert "enforced from now on" in remark
    assert cache.spec(one).verified_weights() == PLAIN
    assert (tmp_path / "mine.pt").exists()
    (tmp_path / "mine.pt").write_bytes(other_weights())
    with pytest.raises(DigestMismatch, match=r"added from .*mine\.pt: SHA-256 is .*pinned"):
        cache.add(one, [tmp_path / "mine.pt"])
    assert cache.spec(one).verified_weights() == PLAIN
    with pytest.raises(InputError, match="no such file"):
        cache.add(one, [tmp_path / "nowhere.pt"])
    assert inside(cache) == {"plain.pt", "lock.json"}


def test_another_file_takes_the_place_of_a_pinned_one_where_that_is_asked_for(cache, tmp_path):
    one = entry(ZooFile("plain.pt", page="by hand"))
    (tmp_path / "first.pt").write_bytes(PLAIN)
    (tmp_path / "second.pt").write_bytes(other_weights())
    cache.add(one, [tmp_path / "first.pt"])
    with pytest.raises(DigestMismatch, match=r"facecure models add FILE --as plain --replace.*models remove plain"):
        cache.add(one, [tmp_path / "second.pt"])
    (remark,) = cache.add(one, [tmp_path / "second.pt"], replace=True)
    assert sha256(other_weights()) in remark
    assert cache.spec(one).verified_weights() == other_weights()
    (tmp_path / "broken.pt").write_bytes(PLAIN[:-50])
    with pytest.raises(InputError, match="is no tiny-plain"):
        cache.add(one, [tmp_path / "broken.pt"], replace=True)
    assert cache.spec(one).verified_weights() == other_weights()
    published = entry(ZooFile("plain.pt", page="by hand", sha256=sha256(PLAIN)))
    with pytest.raises(DigestMismatch, match="its publisher says"):
        cache.add(published, [tmp_path / "second.pt"], replace=True)


def test_what_is_removed_is_forgotten_with_its_exports(cache, tmp_path):
    one, longer = entry(ZooFile("plain.pt", page="by hand")), entry(ZooFile("long.pt", page="p"), name="plain-long")
    assert cache.remove(one) == []
    assert not cache.folder.exists()  # looking changes nothing
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    for each in (one, longer):
        cache.add(each, [tmp_path / "mine.pt"])
        (cache.folder / "exports" / f"{each.name}-0123456789abcdef").mkdir(parents=True)
    removed = cache.remove(one)
    assert removed == [cache.path(one.files[0]), cache.folder / "exports" / "plain-0123456789abcdef"]
    assert not any(path.exists() for path in removed)
    assert cache.lock().keys() == {"long.pt"}
    assert (cache.folder / "exports" / "plain-long-0123456789abcdef").is_dir()
    (tmp_path / "mine.pt").write_bytes(other_weights())
    cache.add(one, [tmp_path / "mine.pt"])
    assert cache.spec(one).verified_weights() == other_weights()


def test_a_pin_without_its_file_is_forgotten_too(cache, tmp_path):
    one = entry(ZooFile("plain.pt", page="by hand"))
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    cache.add(one, [tmp_path / "mine.pt"])
    cache.path(one.files[0]).unlink()
    assert cache.remove(one) == []
    assert cache.lock() == {}


def test_a_network_that_tensors_cannot_tell_is_pointed_out(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(LOOKALIKES, "tiny-plain", "the same tensors fit tiny-fancy")
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    remarks = cache.add(entry(ZooFile("plain.pt", page="by hand")), [tmp_path / "mine.pt"])
    assert "plain.pt: the same tensors fit tiny-fancy" in remarks
    (tmp_path / "known.pt").write_bytes(PLAIN)
    published = entry(ZooFile("known.pt", page="by hand", sha256=sha256(PLAIN)))
    assert cache.add(published, [tmp_path / "known.pt"]) == []  # a checksum says which it is


def test_a_file_placed_by_hand_is_taken_in_at_first_use(cache):
    cache.folder.mkdir()
    (cache.folder / "plain.pt").write_bytes(PLAIN)
    one = entry(ZooFile("plain.pt", page="by hand"))
    assert cache.spec(one).sha256 == sha256(PLAIN)
    assert cache.lock()["plain.pt"]["origin"] == "placed by hand"
    (cache.folder / "plain.pt").write_bytes(other_weights())
    with pytest.raises(DigestMismatch, match=r"lock file.*facecure models add FILE --as plain --replace"):
        cache.spec(one).verified_weights()


def test_an_embeddings_size_that_only_the_file_knows_is_kept(cache, tmp_path):
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    preprocessing = {key: value for key, value in PREPROCESSING.items() if key != "embedding"}
    one = entry(ZooFile("plain.pt", page="by hand"), preprocessing=preprocessing)
    cache.add(one, [tmp_path / "mine.pt"])
    assert cache.lock()["plain.pt"]["embedding"] == 64
    assert cache.spec(one).embedding_size == 64


def test_another_size_than_the_entrys_is_refused(cache, tmp_path):
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    one = entry(ZooFile("plain.pt", page="by hand"), preprocessing=PREPROCESSING | {"embedding": {"size": 65}})
    with pytest.raises(InputError, match="64 values per face, the spec says 65"):
        cache.add(one, [tmp_path / "mine.pt"])
    assert inside(cache) == set()


def test_several_files_are_told_apart(cache, tmp_path):
    files = (ZooFile("a.bin", ("http://x/one.bin",), sha256=sha256(b"a")), ZooFile("b.bin", page="p"))
    pair = entry(*files, kind="perceptual distance", preprocessing={})
    (tmp_path / "renamed").write_bytes(b"a")
    (tmp_path / "b.bin").write_bytes(b"b")
    (tmp_path / "one.bin").write_bytes(b"other")
    (tmp_path / "c.bin").write_bytes(b"c")
    with pytest.raises(InputError, match=r"c\.bin is none of plain's files: a\.bin, b\.bin"):
        cache.add(pair, [tmp_path / "c.bin"])
    with pytest.raises(DigestMismatch):
        cache.add(pair, [tmp_path / "one.bin"])
    cache.add(pair, [tmp_path / "renamed"])
    with pytest.raises(InputError, match=r"get b\.bin from p"):
        cache.files(pair)
    cache.add(pair, [tmp_path / "b.bin"])
    assert [path.read_bytes() for path in cache.files(pair)] == [b"a", b"b"]
    cache.path(files[0]).write_bytes(b"damaged")
    with pytest.raises(DigestMismatch):
        cache.files(pair)
    with pytest.raises(InputError, match="is a perceptual distance, not an extractor"):
        cache.spec(pair)


def test_what_cannot_be_opened_here_is_not_fetched(cache, server, monkeypatch):
    monkeypatch.setattr("facecure.zoo.check.find_spec", lambda name: None)
    for name, extra in (("w.h5", "convert"), ("w.pt", "cpu")):
        preprocessing = PREPROCESSING if name == "w.pt" else {}
        kind = "extractor" if name == "w.pt" else "detector"
        one = entry(ZooFile(name, (server.url("w"),)), preprocessing=preprocessing, kind=kind)
        with pytest.raises(MissingDependency, match=extra):
            cache.fetch(one)
    assert server.requests == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(PLAIN)
    cache = ModelCache(tmp_path / "file" / "models")
    with pytest.raises(InputError, match="Not a directory; name another folder with FACECURE_MODELS"):
        cache.add(entry(ZooFile("plain.pt", page="by hand")), [tmp_path / "file"])


@pytest.mark.parametrize("what", ["is_file", "open"])
def test_a_folder_that_cannot_be_looked_into_is_named(cache, tmp_path, monkeypatch, what):
    one = entry(ZooFile("plain.pt", page="by hand"))
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    cache.add(one, [tmp_path / "mine.pt"])
    real = getattr(Path, what)

    def forbidden(self, *arguments, **options):
        if self.name == "plain.pt":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, what, forbidden)
    with pytest.raises(InputError, match=r"models.*: Permission denied; give access to it"):
        cache.files(one)


def test_a_damaged_lock_file_is_named(cache):
    cache.folder.mkdir()
    (cache.folder / "lock.json").write_text("{")
    with pytest.raises(InputError, match=r"lock\.json.*repair or delete"):
        cache.lock()


def test_the_folder_is_the_environments_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("FACECURE_MODELS", str(tmp_path / "a"))
    assert ModelCache().folder == tmp_path / "a"
    monkeypatch.delenv("FACECURE_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert ModelCache().folder == tmp_path / "b" / "facecure" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert ModelCache().folder == Path.home() / ".cache" / "facecure" / "models"


def test_an_interruption_leaves_the_last_state(cache, tmp_path, monkeypatch):
    (tmp_path / "mine.pt").write_bytes(PLAIN)
    one = entry(ZooFile("plain.pt", page="by hand"))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("facecure.zoo.cache.embedding_size", stop)
        with pytest.raises(KeyboardInterrupt):
            cache.add(one, [tmp_path / "mine.pt"])
    assert inside(cache) == set()
    cache.add(one, [tmp_path / "mine.pt"])
    assert json.loads((cache.folder / "lock.json").read_text())["plain.pt"]["sha256"] == sha256(PLAIN)
    assert inside(cache) == {"plain.pt", "lock.json"}
