"""Three small extractors that come with the package, trained on synthetic people by bench/train_packaged.py.

They know nothing about real faces: they are for the demo and for tests without a network.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facecure.extractors.spec import ExtractorSpec, read_spec


def packaged_specs() -> list[Path]:
    """Return the spec files of the packaged extractors."""
    return sorted(Path(__file__).parent.glob("*.toml"))


def packaged_surrogate(file: Path) -> ExtractorSpec:
    """Return the packaged extractor of a spec file with its torch weights, so that cloaks can be made against it."""
    weights = file.with_suffix(".pt")
    return replace(read_spec(file), weights=weights, sha256=None, architecture=f"tiny-{file.stem}")
