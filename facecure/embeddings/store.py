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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: {error.strerror}; name another folder to keep embeddings in") from error
        self._shards = sorted(folder.glob("*.npz"))
        # beyond the highest: whoever deletes a damaged shard must not have the next one overwrite a whole one
        self._next = 1 + max((int(shard.stem) for shard in self._shards if shard.stem.isdecimal()), default=-1)

    def load(self) -> tuple[list[str], F32]:
        """Return the content hashes (N) and their embeddings, float32 (N, D); (0, 0) while empty."""
        hashes: list[str] = []
        vectors: list[F32] = []
        for shard in self._shards:
            try:
                found, part = _read(shard)
                if vectors and part.shape[1] != vectors[0].shape[1]:
                    raise ValueError(f"{part.shape[1]} values per embedding, others have {vectors[0].shape[1]}")
            except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise InputError(f"{shard} is damaged ({error}); delete it and run again") from error
            hashes += found
            vectors.append(part)
        return hashes, np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)

    def append(self, hashes: Sequence[str], vectors: F32) -> None:
        """Write one shard with the embeddings float32 (N, D) of the contents `hashes`; nothing for none."""
        if not hashes:
            return
        shard = self._folder / f"{self._next:06d}.npz"
        unfinished = shard.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(file, sha256=np.array([list(bytes.fromhex(h)) for h in hashes], np.uint8), vectors=vectors)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(shard)
        self._shards.append(shard)
        self._next += 1


def _read(shard: Path) -> tuple[list[str], F32]:
    """Return one shard's hashes and embeddings; raises whatever a damaged file leads to."""
    with shard.open("rb") as file, np.load(file, allow_pickle=False) as part:
        hashes, vectors = part["sha256"], part["vectors"]
    if hashes.shape != (len(vectors), 32) or vectors.ndim != 2 or vectors.dtype != np.float32:
        raise ValueError(f"holds hashes {hashes.shape} and vectors {vectors.dtype} {vectors.shape}")
    return [bytes(row).hex() for row in hashes], vectors
