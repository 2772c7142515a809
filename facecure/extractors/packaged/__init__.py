"""Three small extractors that come with the package, trained on synthetic people by bench/train_packaged.py.

They know nothing about real faces: they are for the demo and for tests without a network.
"""

from __future__ import annotations

from pathlib import Path


def packaged_specs() -> list[Path]:
    """Return the spec files of the packaged extractors."""
    return sorted(Path(__file__).parent.glob("*.toml"))
