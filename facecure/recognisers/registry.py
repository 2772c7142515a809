"""Recognisers by name; imported when one is asked for."""

from __future__ import annotations

from facecure.recognisers.recogniser import Recogniser
from facecure.registry import class_of

RECOGNISERS = {
    "nn": "facecure.recognisers.nearest:NearestNeighbour",
    "linear": "facecure.recognisers.linear:Linear",
    "end-to-end": "facecure.recognisers.end_to_end:EndToEnd",
}


def find_recogniser(name: str) -> type[Recogniser]:
    """Return the recogniser's class; raises `InputError` for an unknown name, or `MissingDependency`."""
    recogniser: type[Recogniser] = class_of(RECOGNISERS, name, "recogniser")
    return recogniser
