"""Embeddings on disk, so that an interrupted or repeated run computes nothing twice."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecure.errors import InputError
from facecure.types import F32


class EmbeddingStore:
    """A folder of shards, one store per extractor digest: picture content (SHA-256) → embedding.

    Shards are written whole or not at all (temporary file, then rename). Embeddings are biometric data; whoever does
    not want them kept deletes the folder after the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._shards = sorted(folder.glob("*.npz"))

    def load(self) -> tuple[list[str], F32]:
        """Return the content hashes (N) and their embeddings, float32 (N, D); (0, 0) while empty."""
        hashes: list[str] = []
        vectors: list[F32] = []
        for shard in self._shards:
            try:
                with np.load(shard, allow_pickle=False) as part:
                    hashes += [bytes(row).hex() for row in part["sha256"]]
                    vectors.append(part["vectors"])
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise InputError(f"{shard} is damaged ({error}); delete it and run again") from error
        return hashes, np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)

    def append(self, hashes: Sequence[str], vectors: F32) -> None:
        """Write one shard with the embeddings float32 (N, D) of the contents `hashes`; nothing for none."""
        if not hashes:
            return
        shard = self._folder / f"{len(self._shards):06d}.npz"
        unfinished = shard.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(file, sha256=np.array([list(bytes.fromhex(h)) for h in hashes], np.uint8), vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(shard)
        self._shards.append(shard)
