"""Procedural people: faces that need no photo, no network and no licence, with landmarks known.

A person is a set of shape and colour traits, a picture of them those traits under pose, light, expression, background,
blur and grain. Faces are layers of polygons, back to front, in face coordinates: u to the right and v down from the
face's centre, in half face heights. They serve demonstrations and tests; rates measured on them say nothing about real
people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from facecure.execution import Progress
from facecure.runs.atomic import writing
from facecure.types import F32, F64, U8

# name: (lowest, highest) of what makes a person; drawn uniformly
_TRAITS: dict[str, tuple[float, float]] = {
    "head_width": (0.66, 0.86), "jaw": (0.1, 0.5), "chin": (0.92, 1.08), "cheek": (0.0, 0.4),
    "skin_tone": (0.0, 1.0), "skin_red": (-0.06, 0.06), "hair_tone": (0.0, 1.0), "hair_red": (0.0, 1.0),
    "hairline": (-0.78, -0.4), "hair_volume": (1.0, 1.16), "hair_length": (-0.3, 1.0), "parting": (-0.4, 0.4),
    "eye_distance": (0.26, 0.4), "eye_width": (0.105, 0.17), "eye_open": (0.045, 0.085), "eye_tilt": (-0.25, 0.25),
    "eye_height": (-0.2, -0.06), "iris_hue": (0.0, 1.0), "iris_tone": (0.0, 1.0),
    "brow_gap": (0.12, 0.22), "brow_width": (0.13, 0.22), "brow_weight": (0.018, 0.055), "brow_tilt": (-0.25, 0.25),
    "nose_length": (0.2, 0.38), "nose_width": (0.08, 0.18), "nose_bridge": (0.0, 1.0),
    "mouth_width": (0.17, 0.33), "lip_weight": (0.03, 0.085), "mouth_height": (0.48, 0.64), "lip_red": (0.0, 1.0),
    "beard": (-1.2, 1.0), "ears": (0.05, 0.14), "mole_u": (-0.45, 0.45), "mole_v": (0.0, 0.7),
}  # fmt: skip
_HAIR = np.array([[28, 22, 20], [92, 60, 38], [196, 160, 104], [150, 150, 152]], np.float32)
_SKIN = np.array([[84, 54, 40], [150, 104, 78], [206, 160, 130], [238, 206, 184]], np.float32)
_IRIS = np.array([[62, 40, 26], [92, 104, 58], [88, 122, 150], [120, 128, 132]], np.float32)
_WHITE, _BLACK = np.full(3, 234, np.float32), np.full(3, 12, np.float32)
_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_GRAIN = 512  # side of the noise that pictures cut their grain from


@dataclass(frozen=True, slots=True)
class Person:
    """One synthetic identity: trait name → value. Equal seeds and numbers give equal people."""

    number: int
    seed: int
    traits: dict[str, float]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A rendered picture: `pixels` uint8 (size, size, 3) RGB and the five `landmarks`, float64 (5, 2) x, y.

    Landmarks are pixel indices in the order of the detector: eyes, nose, mouth corners, image-left first.
    """

    pixels: U8
    landmarks: F64


def make_person(number: int, seed: int = 0) -> Person:
    """Return the person of that number; every seed is a population of its own."""
    rng = np.random.default_rng([seed, number])
    low, high = np.array(list(_TRAITS.values())).T
    return Person(number, seed, dict(zip(_TRAITS, (low + (high - low) * rng.random(len(low))).tolist(), strict=True)))


def render(person: Person, picture: int, size: int = 112) -> Portrait:
    """Return picture number `picture` of a person, `size` pixels square; all but the person is drawn by that number."""
    view = _View(size, np.random.default_rng([person.seed, person.number, picture]))
    shapes = _Shapes()
    landmarks = _lay_out(shapes, person.traits, view)
    return Portrait(view.develop(shapes), view.pixels(np.array(landmarks)))


class _View:
    """Everything about one picture that is not the person."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        draws: Iterator[float] = iter((2 * rng.random(24) - 1).tolist())

        def around(middle: float, width: float) -> float:
            return middle + width * next(draws)

        self._size = size
        scale, roll = size * around(0.40, 0.035), around(0, 0.2)  # pixels per unit
        self._linear = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        self._centre = np.array([size * around(0.5, 0.05), size * around(0.54, 0.04)])
        yaw, pitch = around(0, 0.45), around(0, 0.25)
        self.narrowed, self._sideways, self._down = float(np.cos(yaw)), float(np.sin(yaw)), float(np.sin(pitch))
        self.smile, self.brows, self.lids = around(0, 0.06), around(0, 0.04), around(1, 0.25)
        self.mouth = max(0.0, around(-0.01, 0.05))
        self._light = around(0, 0.4), around(0, 0.25), around(0.95, 0.25)
        self._cast = np.array([around(1, 0.1) for _ in range(3)], np.float32)
        self._walls = np.array([[[around(128, 110) for _ in range(3)]] for _ in range(2)], np.float32)
        self._blur, self._noise = abs(around(0, 1.1)), abs(around(0, 9))
        self.shirt = 255 * rng.random(3, np.float32)
        self._grain_at = rng.integers(0, max(1, _GRAIN - size), 2)

    def place(self, u: float, v: float, depth: float) -> tuple[float, float]:
        """Return where a point of the head, `depth` in front of its centre, appears under yaw and pitch."""
        return u * self.narrowed + depth * self._sideways, v + depth * self._down

    def pixels(self, points: F64) -> F64:
        """Return pixel indices x, y of face coordinates (…, 2)."""
        indices: F64 = points @ self._linear.T + self._centre
        return indices

    def develop(self, shapes: _Shapes) -> U8:
        """Return the picture: shapes on the background, under the light, blurred and with grain."""
        size = self._size
        image: npt.NDArray[Any] = cv2.resize(self._walls, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        outlines = np.rint(16 * self.pixels(shapes.outlines())).astype(np.int32)  # 4 fractional bits
        for outline, colour in zip(outlines, shapes.colours(), strict=True):
            cv2.fillConvexPoly(image, outline, colour, cv2.LINE_AA, 4)
        if self._blur > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), self._blur)
        across, down, gain = self._light
        ramp = np.linspace(-1.2, 1.2, size, dtype=np.float32)
        shade = np.clip(gain + across * ramp + down * ramp[:, None], 0.25, 1.8)
        top, left = self._grain_at
        lit = cv2.multiply(image, shade[..., None] * self._cast, dtype=cv2.CV_32F)
        grain = _grain(size)[top : top + size, left : left + size]
        return np.asarray(cv2.addWeighted(lit, 1, grain, self._noise, 0, dtype=cv2.CV_8U))  # saturates


class _Shapes:
    """Ellipse-like outlines and their colours, back to front."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, ...]] = []
        self._colours: list[F32] = []

    def add(
        self, at: tuple[float, float], ru: float, rv: float, colour: F32, *, tilt: float = 0.0, jaw: float = 0.0,
        top: float = -9.0, bottom: float = 9.0,
    ) -> None:  # fmt: skip
        """Add an ellipse; `jaw` draws its lower half in, `top` and `bottom` cut it off at heights above its centre."""
        self._rows.append((*at, ru, rv, np.cos(tilt), np.sin(tilt), jaw, top, bottom))
        self._colours.append(colour)

    def outlines(self) -> F64:
        """Return float64 (shapes, points, 2) in face coordinates."""
        u, v, ru, rv, c, s, jaw, top, bottom = np.array(self._rows).T[:, :, None]
        x = ru * np.cos(_ANGLES) * (1 - jaw * np.maximum(np.sin(_ANGLES), 0))
        y = np.clip(rv * np.sin(_ANGLES), top, bottom)
        return np.stack([u + c * x - s * y, v + s * x + c * y], axis=-1)

    def colours(self) -> list[list[float]]:
        """Return RGB triples."""
        triples: list[list[float]] = np.clip(np.array(self._colours), 0, 255).tolist()
        return triples


@cache
def _grain(size: int) -> F32:
    side = max(_GRAIN, size + 1)
    return np.random.default_rng(0).standard_normal((side, side, 3), dtype=np.float32)


def _between(colours: F32, position: float) -> F32:
    """Return the colour at 0…1 along a list of colours."""
    at = position * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return _mix(colours[low], colours[low + 1], at - low)


def _mix(colour: F32, other: F32, share: float) -> F32:
    return np.asarray(colour + np.float32(share) * (other - colour))


def _lay_out(shapes: _Shapes, t: dict[str, float], view: _View) -> Sequence[tuple[float, float]]:
    """Add a person with traits `t` and return the five landmarks in face coordinates."""
    add, place = shapes.add, view.place
    skin = _between(_SKIN, t["skin_tone"]) * np.array([1 + t["skin_red"], 1, 1 - t["skin_red"]], np.float32)
    hair = _between(_HAIR, t["hair_tone"]) * np.array([1 + 0.3 * t["hair_red"], 1, 1 - 0.3 * t["hair_red"]], np.float32)
    lips = skin * np.array([0.92, 0.62 - 0.2 * t["lip_red"], 0.64 - 0.2 * t["lip_red"]], np.float32)
    dark, wide, chin = skin * np.float32(0.62), t["head_width"] * (0.6 + 0.4 * view.narrowed), t["chin"]

    add(
        place(0, 0.25 * t["hair_length"], -0.3),
        wide * t["hair_volume"],
        1.04 + 0.3 * t["hair_length"],
        hair * np.float32(0.8),
    )
    add((0, 1.85), 1.25, 0.75, view.shirt)
    add(place(0, 0.95, -0.1), 0.55 * wide, 0.5, skin * np.float32(0.8))
    for side in (-1, 1):
        add(place(side * t["head_width"], 0.02, -0.05), t["ears"], 0.2, skin * np.float32(0.86))
    add(place(0, 0, 0), wide, chin, skin, jaw=t["jaw"])
    if t["beard"] > 0:
        bearded = _mix(skin, hair, 0.8 * t["beard"])
        add(place(0, 0, 0.02), 0.98 * wide, 0.99 * chin, bearded, jaw=t["jaw"], top=0.3)
    for side in (-1, 1):
        add(place(side * 0.5 * t["head_width"], 0.3, 0.2), 0.18, 0.13, _mix(skin, lips, t["cheek"]))
    add(place(0, -0.02, 0), 1.03 * wide, chin * t["hair_volume"], hair, bottom=t["hairline"])
    add(place(0.6 * t["parting"], t["hairline"], 0.1), 0.5 * wide, 0.15, hair, tilt=0.5 * t["parting"])

    landmarks = []
    for side in (-1, 1):
        at, tilt, tall = (
            place(side * t["eye_distance"], t["eye_height"], 0.35),
            side * t["eye_tilt"],
            t["eye_open"] * view.lids,
        )
        landmarks.append(at)
        add(at, 1.25 * t["eye_width"], 1.5 * t["eye_open"], _mix(skin, dark, 0.45), tilt=tilt)
        add(at, t["eye_width"], tall, _WHITE, tilt=tilt)
        add(at, 0.062, min(0.062, tall), _between(_IRIS, t["iris_hue"]) * np.float32(0.6 + 0.8 * t["iris_tone"]))
        add(at, 0.028, min(0.028, tall), _BLACK)
        brow = place(side * 1.08 * t["eye_distance"], t["eye_height"] - t["brow_gap"] + view.brows, 0.36)
        add(brow, t["brow_width"], t["brow_weight"], hair * np.float32(0.7), tilt=side * t["brow_tilt"])

    nose = t["eye_height"] + 0.12 + t["nose_length"]
    tip = place(0, nose, 0.62)
    add(place(0, nose - 0.18, 0.5), 0.045, 0.2, skin * np.float32(1 + 0.16 * t["nose_bridge"]))
    add((tip[0], tip[1] + 0.035), t["nose_width"], 0.05, _mix(skin, dark, 0.75))
    add(tip, 0.8 * t["nose_width"], 0.06, skin * np.float32(1.1))
    for side in (-1, 1):
        add((tip[0] + side * 0.5 * t["nose_width"], tip[1] + 0.05), 0.024, 0.016, dark * np.float32(0.5))
    landmarks.append(tip)

    mouth = place(0, max(t["mouth_height"], nose + 0.16), 0.4)
    half, smile = t["mouth_width"] * (1 + 1.2 * view.smile) * view.narrowed, view.smile
    for side in (-1, 1):  # two halves, each tilted by the smile
        add(
            (mouth[0] + side * 0.45 * half, mouth[1] - 0.5 * smile),
            0.6 * half,
            t["lip_weight"],
            lips,
            tilt=-side * 5 * smile,
        )
    add(mouth, 0.75 * half, 0.012 + view.mouth, lips * np.float32(0.35))
    landmarks += [(mouth[0] + side * half, mouth[1] - 2 * smile) for side in (-1, 1)]
    add(place(t["mole_u"], t["mole_v"], 0.3), 0.026, 0.026, dark * np.float32(0.6))
    return landmarks


def write_people(folder: Path, people: int, pictures: int, seed: int, progress: Progress) -> None:
    """Write so many people's pictures as `folder/person_NN/NN.jpg`, drawn by `seed`."""
    for number in range(people):
        person = make_person(number, seed)
        home = folder / f"person_{number:02d}"
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
            for picture in range(pictures):
                Image.fromarray(render(person, picture).pixels).save(home / f"{picture:02d}.jpg", quality=85)
        progress(f"synthetic people: {folder.name}", number + 1, people)
