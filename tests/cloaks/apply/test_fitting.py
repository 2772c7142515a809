"""What a cloak sees: the released geometry to the pixel, alignment in its own face, the released warp's shift."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from facecure.cloaks.apply.fitting import Fitting, batch_of
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import parse
from facecure.cloaks.surrogate import Preprocess, Surrogate
from facecure.kernels import warp_faces
from facecure.pictures.align import align_matrix, cut_face
from facecure.pictures.decode import decode
from facecure.pictures.detect import DetectedFace
from facecure.pictures.load import Loaded
from facecure.types import FaceGeometry, Sample

TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
ALIGN = FaceGeometry(112, 112, "align", canvas=(112.0, 112.0), template=TEMPLATE)


def fitted(name: str, protocol: str, geometry: FaceGeometry = ALIGN) -> Fitting:
    import torch

    surrogate = Surrogate(torch.nn.Flatten(), Preprocess(geometry, [0] * 3, [1] * 3))
    (part,) = parse(name)
    options = CloakOptions(protocol, lpips="none")
    return Fitting(part, part.cloak([surrogate], part.cloak.modes.get(part.mode), options))


def loaded(sample, picture, landmarks=None):
    found = () if landmarks is None else (DetectedFace(np.zeros(4), landmarks),)
    return Loaded(sample, "0" * 64, (picture,), None, found, (picture.shape[1], picture.shape[0]))


def literal_fit(picture: np.ndarray, side: int) -> np.ndarray:
    """Return docs/protocol.md §1.2 and §1.3 by their words."""
    values = picture.astype(np.float32) - picture.min()
    if values.max() > 0:
        values = 255 * (values / values.max())
    stretched = Image.fromarray(np.floor(values).astype(np.uint8))
    return np.array(stretched.resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.shared
@pytest.mark.parametrize(("name", "side"), [("fawkes-v1.0:high", 112), ("fawkes-v0.3:high", 224)])
def test_released_faces_are_stretched_and_fitted_twice(assets, name, side):
    """docs/protocol.md §12, golden 5, on the asset pictures: stretch, bicubic, stretch, bicubic."""
    fawkes = fitted(name, "facecure-2021")
    files = sorted((assets / "facescrub" / "original").glob("*/*.jpg"))[::40]
    assert len(files) >= 5
    changed = 0
    for file in files:
        picture = decode(file.read_bytes())
        (face,) = fawkes.faces(loaded(Sample("a", file, "b"), picture), cut_face(picture, fawkes.geometry, None))
        expected = literal_fit(literal_fit(picture, side), side)
        np.testing.assert_array_equal(face.pixels, expected)
        plain = fitted(name, "corrected")
        changed += int((cut_face(picture, plain.geometry, None) != expected).any())
    assert changed > 0  # the stretch is no matter of form (Q3)


@pytest.mark.shared
def test_lowkeys_clean_counterpart_is_the_original_tools(assets):
    made = sorted((assets / "facescrub").glob("lowkey_small*/*/*_small.png"))[::7]
    assert len(made) >= 5
    lowkey = fitted("lowkey", "facecure-2021")
    for file in made:
        stem = file.stem.removesuffix("_small")
        (original,) = (assets / "facescrub" / "original" / file.parent.name).glob(f"{stem}.*")
        found = cut_face(decode(original.read_bytes()), lowkey.geometry, None)
        np.testing.assert_array_equal(found, np.array(Image.open(file).convert("RGB")))


@pytest.mark.shared
def test_the_original_lowkeys_changes_have_the_bound_of_ours(assets):
    """|δ| ≤ 0.130 · 255 = 33.15 before truncation, which takes up to one more (docs/protocol.md §6)."""
    largest = []
    for file in sorted((assets / "facescrub").glob("lowkey_attacked*/*/*_attacked.png"))[::5]:
        (folder,) = (assets / "facescrub").glob("lowkey_small*")
        clean = folder / file.parent.name / file.name.replace("_attacked", "_small")
        pictures = [np.array(Image.open(f).convert("RGB")).astype(int) for f in (file, clean)]
        largest.append(np.abs(pictures[0] - pictures[1]).max())
    assert max(largest) == 34


LANDMARKS = np.array([[70, 80], [120, 76], [97, 110], [76, 140], [118, 137]], float)


def test_an_aligning_surrogate_sees_what_its_extractor_would_cut_from_the_tools_face():
    import torch

    rng = np.random.default_rng(0)
    picture = np.array(Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).resize((200, 230)))
    fawkes = fitted("fawkes-v1.0:low", "corrected")
    (face,) = fawkes.faces(loaded(Sample("a", None, "b"), picture, LANDMARKS), cut_face(picture, fawkes.geometry, None))
    # loaded.size is the photo's: landmarks move with the resize
    surrogate = fawkes.cloak.surrogates[0]
    batch = batch_of([face])
    (grid,) = batch.grids([surrogate])
    seen = surrogate.embed(batch.pictures([surrogate]), grid).reshape(3, 112, 112).permute(1, 2, 0)
    scaled = (LANDMARKS + 0.5) * [112 / 200, 112 / 230] - 0.5
    expected = warp_faces(face.pixels, align_matrix(scaled, ALIGN), (112, 112))[0]
    assert torch.is_tensor(seen)
    assert np.abs(seen.numpy() - expected).max() <= 0.51


def test_the_released_warp_is_shifted_by_a_constant():
    """docs/protocol.md §6: 0.81, 0.37 source pixels for a transform of scale 0.45 turned by 0.2."""
    scale, turn = 0.45, 0.2
    forward = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = (np.array(TEMPLATE) - (20, 30)) @ np.linalg.inv(forward).T
    picture = np.zeros((300, 300, 3), np.uint8)
    matrices = []
    for protocol in ("corrected", "facecure-2021"):
        warp = fitted("lowkey-warp", protocol)
        (face,) = warp.faces(loaded(Sample("a", None, "b"), picture, landmarks), picture)
        matrices.append(face.matrices[0])
    np.testing.assert_allclose(matrices[1][:, :2], matrices[0][:, :2])
    shift = matrices[1][:, 2] - matrices[0][:, 2]
    np.testing.assert_allclose(np.abs(shift), [0.81, 0.37], atol=0.01)


@pytest.mark.parametrize(
    ("name", "protocol", "aligned"),
    [
        ("fawkes-v1.0:high", "corrected", True), ("fawkes-v1.0:high", "facecure-2021", False),
        ("lowkey", "facecure-2021", False), ("lowkey-warp", "facecure-2021", True), ("lowkey-warp", "corrected", True),
    ],
)  # fmt: skip
def test_who_sees_the_face_aligned(name, protocol, aligned):
    assert fitted(name, protocol).aligned(0) == fitted(name, protocol).needs_landmarks == aligned
    assert not fitted(name, protocol, FaceGeometry(112, 112)).aligned(0)
