"""Against which extractors cloaked pictures were made."""

from __future__ import annotations

import json
from pathlib import Path

from facecure.cloaks.registry import made_against
from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec


def white_box(cloak: str, source: Path, spec: ExtractorSpec, digest: str) -> bool | None:
    """Return whether the cloak was made against this very extractor, or its export, None where that is not known.

    `source` is the cloaked pictures' folder or manifest: `facecure.cloak` writes its surrogates beside it. For pictures
    of the original tools, by the cloak's name, it is the extractor's name in the zoo.
    """
    for file in (source.parent / "cloak.json", source / "cloak.json"):
        if file.is_file():
            try:
                surrogates = json.loads(file.read_text(encoding="utf-8"))["surrogates"]
                return bool({digest, spec.exported_from} & {surrogate["digest"] for surrogate in surrogates})
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    originals = made_against(cloak)
    return None if originals is None else spec.name in originals
