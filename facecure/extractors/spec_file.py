"""A spec written as the TOML file that `read_spec` reads."""

from __future__ import annotations

import json
from typing import Any

from facecure.extractors.spec import ExtractorSpec


def spec_text(spec: ExtractorSpec) -> str:
    """Return the TOML of a spec whose weights lie beside the file."""
    geometry = spec.geometry
    size = {"width": geometry.width, "height": geometry.height}
    values = {"colour": spec.colour, "layout": spec.layout, "mean": spec.mean, "std": spec.std}
    lines = [
        f"name = {_toml(spec.name)}",
        f"weights = {_toml(spec.weights.name)}",
        *([f"architecture = {_toml(spec.architecture)}"] if spec.architecture else []),
        *([f"state = {_toml(spec.state)}"] if spec.state is not None else []),
        *([f"sha256 = {_toml(spec.sha256)}"] if spec.sha256 else []),
        *([f"exported_from = {_toml(spec.exported_from)}"] if spec.exported_from else []),
        f"input = {_toml(size | values)}",
        f"embedding = {_toml({'size': spec.embedding_size, 'normalise': spec.normalise, 'mirror': spec.mirror})}",
    ]
    face = {key: getattr(geometry, key) for key in ("mode", "canvas", "template", "region", "border")}
    if geometry.mode == "box":
        face = {"mode": "box", "margin": geometry.margin, "interpolation": geometry.interpolation}
    if geometry.mode == "crop":
        face |= {key: getattr(geometry, key) for key in ("interpolation", "padding", "stretch")}
    about = {key: getattr(spec, key) for key in ("training_set", "data_terms", "licence", "year")}
    tables = {"face": face, "about": about}
    if spec.robust is not None:
        keys = ("parent", "parent_digest", "recipe", "cloaks", "identities")
        tables["robust"] = {key: getattr(spec.robust, key) for key in keys}
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items() if value is not None)]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # what JSON writes of text, truth and finite numbers is TOML too, but for DEL, which TOML wants escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
