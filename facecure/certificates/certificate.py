"""A certificate: what a runtime and precision change, on which faces, how fast they are, whether that is allowed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facecure.certificates.compare import Differences, Shift
from facecure.errors import InputError
from facecure.execution import Precision
from facecure.types import Exclusion

SCHEMA = "facecure.certificate/1"
# 1 − cosine that an embedding may move: rounding alone, and in int8 what good calibration leaves
MOST_ERROR: dict[Precision, float] = {"fp32": 1e-4, "bf16": 1e-4, "fp16": 1e-4, "int8": 1e-2}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may change: 1-NN decisions, and 1 − cosine of an embedding; None for that of `MOST_ERROR`."""

    changed: int = 0
    error: float | None = None

    def of(self, precision: Precision) -> Bounds:
        """Return the bounds of a precision, none of them left open."""
        return Bounds(self.changed, MOST_ERROR[precision] if self.error is None else self.error)

    def allow(self, differences: Differences) -> bool:
        """Return whether no more than this is different."""
        most = float("inf") if self.error is None else self.error
        return differences.changed <= self.changed and differences.largest_error <= most


@dataclass(frozen=True, slots=True)
class Certified:
    """The pictures that were decided on: where they lie, how many took part, which did not; the detector's digest."""

    folder: str
    cloaked: dict[str, str]
    pictures: int
    identities: int
    excluded: tuple[Exclusion, ...]
    warnings: tuple[str, ...]
    detector: str | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Faces per second of the reference and here, in the `batch` that is fastest here."""

    reference: float
    here: float
    batch: int

    @property
    def gain(self) -> float:
        """The ratio of both."""
        return self.here / self.reference


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one runtime and precision change of an extractor on a kind of device, "cpu" or "cuda".

    `export_sha256` is that of the graph, None where the runtime executes the network itself. `environment` has versions
    and processor; `reference` and `ran` are the `what_ran` of both extractors.
    """

    extractor: str
    runtime: str
    precision: Precision
    device: str
    differences: Differences
    bounds: Bounds
    speed: Speed
    faces: Certified
    export_sha256: str | None
    environment: dict[str, Any]
    reference: dict[str, Any]
    ran: dict[str, Any]

    @property
    def certified(self) -> bool:
        """Whether nothing changed beyond the bounds that were asked for."""
        return self.bounds.allow(self.differences)

    @property
    def processor(self) -> str:
        """The kind of processor it was measured on."""
        return processor(self.environment)

    def to_json(self) -> str:
        """Return the certificate as JSON text, with its schema and whether it certifies."""
        stated = {"schema": SCHEMA, "certified": self.certified, **asdict(self)}
        return json.dumps(stated, indent=1, ensure_ascii=False, default=str)  # of paths


def from_json(text: str) -> Certificate:
    """Return the certificate that `to_json` wrote; raises `InputError` for another schema or damaged text."""
    try:
        facts = json.loads(text)
        if (schema := facts.pop("schema", None)) != SCHEMA:
            raise InputError(f"has the schema {schema!r}, this version reads {SCHEMA!r}")
        del facts["certified"]
        differences, faces = facts["differences"], facts["faces"]
        differences |= {
            "margins": tuple(differences["margins"]),
            "identified": Shift(**differences["identified"]),
            "protected": {name: Shift(**shift) for name, shift in differences["protected"].items()},
        }
        faces |= {
            "excluded": tuple(Exclusion(Path(entry["path"]), entry["reason"]) for entry in faces["excluded"]),
            "warnings": tuple(faces["warnings"]),
        }
        facts |= {
            "differences": Differences(**differences),
            "bounds": Bounds(**facts["bounds"]),
            "speed": Speed(**facts["speed"]),
            "faces": Certified(**faces),
            "environment": facts["environment"] | {"cpu_flags": tuple(facts["environment"]["cpu_flags"])},
        }
        return Certificate(**facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"is not a certificate: {type(error).__name__}: {error}") from error


def processor(environment: dict[str, Any]) -> str:
    """Return the kind of processor that an environment states: what decides which precision is the fastest."""
    return f"{environment.get('cpu_simd')}, {'bfloat16' if environment.get('cpu_bf16') else 'no bfloat16'}"
