"""Tables made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facecure.embeddings.table import EmbeddingTable
from facecure.types import Embeddings, Sample


def table_of(
    samples: Sequence[Sample],
    contents: Sequence[str] | None = None,
    rows: Sequence[int] | None = None,
    **vectors: np.ndarray,
) -> EmbeddingTable:
    """Return a table whose rows all show something else unless `contents` says so; `vectors` by their digest."""
    contents = tuple(contents if contents is not None else (f"content {row}" for row in range(len(samples))))
    embeddings = tuple(Embeddings(values, digest) for digest, values in vectors.items())
    rows = tuple(range(len(samples)) if rows is None else rows)
    return EmbeddingTable(tuple(samples), tuple(samples), contents, contents, embeddings, (), rows, (), {})
