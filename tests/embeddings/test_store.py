"""What was stored comes back; what a killed run left behind does no harm; what is damaged is named."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecure.embeddings.store import EmbeddingStore
from facecure.errors import InputError


def contents(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(bytes([start + i])).hexdigest() for i in range(count)]


def rows(count: int, size: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def assert_holds(folder: Path, hashes: list[str], vectors: np.ndarray) -> None:
    found, stored = EmbeddingStore(folder).load()
    assert found == hashes
    assert stored.dtype == np.float32
    assert stored.tobytes() == vectors.tobytes()


def filled(folder: Path, shards: int = 3, each: int = 2) -> Path:
    """A store of `shards` shards, the contents `contents(shards * each)` and the vectors `rows(shards * each)`."""
    for part in range(shards):
        here = slice(part * each, (part + 1) * each)
        EmbeddingStore(folder).append(contents(shards * each)[here], rows(shards * each)[here])
    return folder


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 512])
def test_what_was_stored_comes_back_bit_for_bit(tmp_path, count, size):
    EmbeddingStore(tmp_path / "new" / "folder").append(contents(count), rows(count, size))
    assert_holds(tmp_path / "new" / "folder", contents(count), rows(count, size))


def test_values_at_the_edge_of_float32_come_back(tmp_path):
    edge = np.array([[0.0, -0.0, 1e-45, np.finfo(np.float32).max]], np.float32)
    EmbeddingStore(tmp_path).append(contents(1), edge)
    assert_holds(tmp_path, contents(1), edge)


def test_an_empty_store_holds_nothing(tmp_path):
    hashes, vectors = EmbeddingStore(tmp_path).load()
    assert hashes == []
    assert vectors.shape == (0, 0)
    EmbeddingStore(tmp_path).append([], np.empty((0, 5), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("again", [True, False], ids=["opened anew", "kept open"])
def test_shards_come_back_in_the_order_they_were_written(tmp_path, again):
    store = EmbeddingStore(tmp_path)
    for part in range(12):  # more than one digit
        store = EmbeddingStore(tmp_path) if again else store
        store.append(contents(12)[part : part + 1], rows(12)[part : part + 1])
    assert_holds(tmp_path, contents(12), rows(12))
    found, stored = store.load()
    assert found == contents(12)
    assert stored.tobytes() == rows(12).tobytes()


@pytest.mark.parametrize("left", [b"", b"half a shard", "whole"])
def test_what_a_killed_run_left_unfinished_is_ignored_and_written_over(tmp_path, left):
    filled(tmp_path, 1)
    content = (tmp_path / "000000.npz").read_bytes() if left == "whole" else left
    (tmp_path / "000001.unfinished").write_bytes(content)
    assert_holds(tmp_path, contents(2), rows(2))
    EmbeddingStore(tmp_path).append(contents(1, start=99), rows(1, seed=1))
    assert_holds(tmp_path, [*contents(2), *contents(1, start=99)], np.concatenate([rows(2), rows(1, seed=1)]))


def test_a_shard_appears_whole_and_under_its_name_only_at_the_end(tmp_path, monkeypatch):
    seen = []
    rename = Path.rename

    def spy(self, target):
        with np.load(self) as part:  # complete before it gets its name
            seen.append((Path(target).name, Path(target).exists(), sorted(part)))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", spy)
    EmbeddingStore(tmp_path).append(contents(2), rows(2))
    assert seen == [("000000.npz", False, ["sha256", "vectors"])]
    assert [file.name for file in tmp_path.iterdir()] == ["000000.npz"]


@pytest.mark.parametrize("moment", ["fsync", "rename"])
def test_a_run_killed_while_writing_keeps_the_earlier_shards(tmp_path, monkeypatch, moment):
    filled(tmp_path, 2)

    def kill(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "rename": (Path, "rename")}[moment], kill)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingStore(tmp_path).append(contents(1, start=99), rows(1))
    monkeypatch.undo()
    assert_holds(tmp_path, contents(4), rows(4))


def _without(shard: Path, array: str) -> None:
    with np.load(shard) as part:
        kept = {name: part[name] for name in part if name != array}
    np.savez(shard, **kept)


def _flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[data.index(rows(6)[2:4].tobytes()[:8])] ^= 1
    shard.write_bytes(data)


def _bare_array(shard: Path) -> None:
    with shard.open("wb") as file:
        np.save(file, rows(2))


def _other_zip(shard: Path) -> None:
    with zipfile.ZipFile(shard, "w") as archive:
        archive.writestr("readme.txt", "hello")


DAMAGE = {
    "empty": lambda shard: shard.write_bytes(b""),
    "cut in half": lambda shard: shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2]),
    "one byte short": lambda shard: shard.write_bytes(shard.read_bytes()[:-1]),
    "zeros": lambda shard: shard.write_bytes(bytes(shard.stat().st_size)),
    "text": lambda shard: shard.write_text("hello"),
    "one bit flipped": _flip,
    "no hashes": lambda shard: _without(shard, "sha256"),
    "no vectors": lambda shard: _without(shard, "vectors"),
    "an array, no archive": _bare_array,
    "another archive": _other_zip,
    "more hashes than vectors": lambda shard: np.savez(shard, sha256=np.zeros((3, 32), np.uint8), vectors=rows(2)),
    "other vector size": lambda shard: np.savez(shard, sha256=np.zeros((2, 32), np.uint8), vectors=rows(2, 4)),
    "a folder": lambda shard: (shard.unlink(), shard.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_named_with_its_cure(tmp_path, damage):
    DAMAGE[damage](filled(tmp_path) / "000001.npz")
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path / '000001.npz'))}.*delete it and run again"):
        EmbeddingStore(tmp_path).load()


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_after_the_cure_the_other_shards_survive_the_next_run(tmp_path, deleted):
    (filled(tmp_path) / f"00000{deleted}.npz").unlink()
    EmbeddingStore(tmp_path).append(contents(2, start=99), rows(2, seed=1))
    lost = range(2 * deleted, 2 * deleted + 2)
    wanted = {
        sha256: row.tobytes() for i, (sha256, row) in enumerate(zip(contents(6), rows(6), strict=True)) if i not in lost
    }
    wanted |= {sha256: row.tobytes() for sha256, row in zip(contents(2, start=99), rows(2, seed=1), strict=True)}
    hashes, vectors = EmbeddingStore(tmp_path).load()
    assert len(hashes) == len(wanted)
    assert {sha256: row.tobytes() for sha256, row in zip(hashes, vectors, strict=True)} == wanted


@given(st.lists(st.integers(0, 5), max_size=5), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_any_sequence_of_shards_comes_back_in_order(sizes, width):
    hashes, vectors = contents(sum(sizes)), rows(sum(sizes), width)
    with tempfile.TemporaryDirectory() as folder:
        store, start = EmbeddingStore(Path(folder)), 0
        for size in sizes:
            store.append(hashes[start : start + size], vectors[start : start + size])
            start += size
        found, stored = EmbeddingStore(Path(folder)).load()
    assert found == hashes
    assert stored.tobytes() == vectors.tobytes()
