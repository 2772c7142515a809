"""Each content is embedded once, by everybody, and what was computed is never lost."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecure.embeddings.pipeline import embed
from facecure.embeddings.table import EmbeddingTable
from facecure.errors import DigestMismatch, InputError
from facecure.execution import Execution
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.spec import ExtractorSpec, read_spec
from facecure.pictures.detect import DetectedFace
from facecure.pictures.manifest import read_samples
from facecure.runs.atomic import alone
from facecure.types import Embeddings, Exclusion, FaceGeometry, Faces, Sample

TEMPLATE = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))


class Means:
    """An extractor that returns each face's mean colour, remembers every face, and fails when told to."""

    def __init__(self, name="means", geometry=None, batch=4, fail_at_batch=None, dislikes=()) -> None:
        geometry = geometry or FaceGeometry(8, 8)
        self.spec = ExtractorSpec(
            name, Path("nowhere.onnx"), None, geometry, "RGB", "NCHW", (0.0,) * 3, (1.0,) * 3, 3, normalise=False
        )
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.batch = batch
        self.fail_at_batch = fail_at_batch
        self.dislikes = dislikes
        self.batches: list[int] = []
        self.asked = 0
        self.seen: Counter[bytes] = Counter()

    @property
    def what_ran(self):
        return {"name": self.spec.name, "digest": self.digest}

    def embed(self, faces: Faces) -> Embeddings:
        assert faces.geometry == self.spec.geometry
        if len(self.batches) + 1 == self.fail_at_batch:
            raise KeyboardInterrupt
        self.asked += 1
        if any(int(face[0, 0, 0]) in self.dislikes for face in faces.pixels):
            raise InputError("no finite non-zero embedding")
        self.batches.append(len(faces.pixels))
        self.seen.update(face.tobytes() for face in faces.pixels)
        return Embeddings(faces.pixels.mean(axis=(1, 2), dtype=np.float64).astype(np.float32), self.digest)


class Centre:
    """A detector that finds the same five points in every picture but black ones."""

    digest = "centre"

    def faces(self, picture):
        return [DetectedFace(np.array([0.0, 0, 8, 8]), np.array(TEMPLATE))] if picture.any() else []


@pytest.fixture
def pictures(tmp_path):
    """Return a function that writes one-colour pictures, red = number, and returns their samples."""

    def make(numbers, folder="clean", role="clean", cloak="", side=8) -> list[Sample]:
        (tmp_path / folder).mkdir(exist_ok=True)
        samples = []
        for place, number in enumerate(numbers):
            path = tmp_path / folder / f"{place:03d}.png"
            Image.new("RGB", (side, side), (number, 7, 200)).save(path)
            samples.append(Sample("someone", path, path.stem, role, cloak))
        return samples

    return make


def reds(table: EmbeddingTable, extractor: int = 0) -> list[int]:
    vectors = table.embeddings[extractor].vectors
    assert vectors[:, 1:].tolist() == [[7.0, 200.0]] * len(vectors)
    return vectors[:, 0].astype(int).tolist()


@pytest.mark.parametrize("batch", [1, 3, 8, 100])
@pytest.mark.parametrize("count", [0, 1, 8, 9])
def test_embeddings_come_in_the_order_of_the_samples(pictures, count, batch):
    samples, means = pictures(range(count)), Means(batch=batch)
    table = embed(samples, [means])
    assert table.samples == tuple(samples)
    assert table.sha256 == tuple(hashlib.sha256(s.path.read_bytes()).hexdigest() for s in samples)
    assert table.excluded == ()
    (found,) = table.embeddings
    assert (found.vectors.dtype, found.vectors.shape, found.extractor) == (np.float32, (count, 3), means.digest)
    assert reds(table) == list(range(count))
    assert sum(means.batches) == count
    assert max(means.batches, default=0) <= batch


def test_one_content_is_embedded_once_whatever_its_roles(pictures):
    samples = [
        *pictures([1, 2, 3, 2], "clean"),
        *pictures([3, 4], "cloaked", "cloaked", "copy"),
        *pictures([1, 1, 5], "others", "distractor"),
    ]
    means = Means(batch=2)
    table = embed(samples, [means])
    assert table.samples == tuple(samples)
    assert reds(table) == [1, 2, 3, 2, 3, 4, 1, 1, 5]
    assert set(means.seen.values()) == {1}
    assert len(means.seen) == 5


def test_extractors_of_different_geometry_see_the_same_pictures(pictures):
    samples = pictures([1, 2, 3, 0], side=12)
    samples[3].path.write_text("no picture")
    small, large, again = (
        Means("small", FaceGeometry(4, 6)),
        Means("large", FaceGeometry(20, 10)),
        Means("again", batch=1),
    )
    table = embed(samples, [small, large, again])
    assert [reds(table, i) for i in range(3)] == [[1, 2, 3]] * 3
    assert [e.extractor for e in table.embeddings] == [small.digest, large.digest, again.digest]
    assert {len(face) for face in small.seen} == {4 * 6 * 3}
    assert {len(face) for face in large.seen} == {20 * 10 * 3}


def test_a_second_run_computes_nothing(pictures, tmp_path):
    samples = pictures(range(9))
    first = embed(samples, [Means()], store=tmp_path / "kept")
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*") if file.is_file()}
    means = Means()
    second = embed(samples, [means], store=tmp_path / "kept")
    assert means.batches == []
    assert second.samples == first.samples
    assert second.embeddings[0].vectors.tobytes() == first.embeddings[0].vectors.tobytes()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*") if file.is_file()} == files


def test_a_grown_folder_costs_only_the_new_pictures(pictures, tmp_path):
    embed(pictures(range(5)), [Means()], store=tmp_path / "kept")
    means = Means()
    table = embed(pictures([*range(5, 8), *range(5)], "grown"), [means], store=tmp_path / "kept")
    assert reds(table) == [5, 6, 7, 0, 1, 2, 3, 4]
    assert means.batches == [3]


def test_another_extractor_or_detector_takes_nothing_from_the_store(pictures, tmp_path):
    samples, store = pictures([1, 2]), tmp_path / "kept"
    aligned = FaceGeometry(4, 4, "align", canvas=(4, 4), template=TEMPLATE)
    embed(samples, [Means("aligned", aligned)], Centre(), store=store)
    other = Means("aligned", aligned)
    other.digest = "f" * 64
    moved = Centre()
    moved.digest = "moved"
    for extractor, detector in ((other, Centre()), (Means("aligned", aligned), moved)):
        embed(samples, [extractor], detector, store=store)
        assert extractor.batches == [2]


@pytest.mark.parametrize("fail_at_batch", [1, 2, 3])
def test_an_interrupted_run_goes_on_where_it_stopped(pictures, tmp_path, fail_at_batch):
    samples = pictures(range(10))
    first = Means(fail_at_batch=fail_at_batch)
    with pytest.raises(KeyboardInterrupt):
        embed(samples, [first], store=tmp_path / "kept")
    second = Means()
    assert reds(embed(samples, [second], store=tmp_path / "kept")) == list(range(10))
    assert len(first.seen) == 4 * (fail_at_batch - 1)
    assert not first.seen.keys() & second.seen.keys()
    assert len(first.seen) + len(second.seen) == 10


def test_of_two_interrupted_extractors_neither_computes_anything_twice(pictures, tmp_path):
    samples = pictures(range(10))
    with pytest.raises(KeyboardInterrupt):
        embed(samples, [Means("one"), Means("two", fail_at_batch=2)], store=tmp_path / "kept")
    one, two = Means("one"), Means("two")
    table = embed(samples, [one, two], store=tmp_path / "kept")
    assert reds(table, 0) == reds(table, 1) == list(range(10))
    assert (sum(one.batches), sum(two.batches)) == (2, 6)  # one was a batch ahead


BROKEN = {
    "text": b"no picture",
    "empty": b"",
    "truncated": None,
    "zeros": bytes(500),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_listed_and_moves_nobody_elses_bits(people, make_spec, kind):
    folder = people(identities=2, pictures=5)
    ready = [OnnxExtractor(read_spec(make_spec()))]
    before = embed(read_samples(folder)[0], ready)
    picture = folder / "person_00" / "photo_000.png"
    broken = folder / "person_00" / "photo_001_broken.png"
    broken.write_bytes(picture.read_bytes()[:-200] if BROKEN[kind] is None else BROKEN[kind])
    after = embed(read_samples(folder)[0], ready)
    assert [(e.path, e.reason.split(":")[0]) for e in after.excluded] == [(broken, "unreadable")]
    assert len(after.excluded[0].reason) > len("unreadable: ")
    assert after.samples == before.samples
    assert after.embeddings[0].vectors.tobytes() == before.embeddings[0].vectors.tobytes()


def test_the_reason_for_a_broken_picture_is_the_same_in_every_run(pictures):
    samples = pictures(range(len(BROKEN)))
    for sample, content in zip(samples, BROKEN.values(), strict=True):
        sample.path.write_bytes(sample.path.read_bytes()[:-40] if content is None else content)
    first, second = (embed(samples, [Means()]).excluded for _ in range(2))
    assert len(first) == len(BROKEN)
    assert first == second
    assert not [e.reason for e in first if " at 0x" in e.reason], "an address in memory differs from run to run"


def test_a_picture_that_is_gone_is_listed(pictures):
    samples = pictures([1, 2])
    samples[0].path.unlink()
    table = embed(samples, [Means()])
    assert [(e.path, e.reason) for e in table.excluded] == [(samples[0].path, "unreadable: No such file or directory")]
    assert reds(table) == [2]


@pytest.mark.parametrize("batch", [1, 3, 4, 32])
@pytest.mark.parametrize("bad", [(0,), (31,), (7, 20), tuple(range(0, 32, 2)), tuple(range(8, 32))])
def test_a_picture_without_an_embedding_is_excluded_and_nobody_else_moves(pictures, tmp_path, bad, batch):
    samples = pictures(range(32))
    fine = [k for k in range(32) if k not in bad]
    with_all, without = embed(samples, [Means(batch=batch)]), Means(batch=batch, dislikes=bad)
    for _ in range(2):  # the second time from the store, where nothing is kept of what failed
        table = embed(samples, [Means("other", batch=5), without], store=tmp_path / "kept")
        assert table.excluded == tuple(
            Exclusion(samples[k].path, "no embedding: no finite non-zero embedding") for k in bad
        )
        assert table.samples == tuple(samples[k] for k in fine)
        for found in table.embeddings:  # excluded for all extractors
            assert found.vectors.tobytes() == with_all.embeddings[0].vectors[fine].tobytes()
    assert sum(without.batches) == len(fine)


def test_an_extractor_that_fails_on_every_picture_is_an_error(pictures):
    with pytest.raises(InputError, match=r"no finite non-zero embedding \(so it is for all 5 pictures\)"):
        embed(pictures(range(5)), [Means(), Means("broken", dislikes=range(5))])
    assert embed([], [Means(dislikes=range(5))]).excluded == ()


def test_a_zero_or_nan_row_of_a_real_network_is_excluded(people, make_spec):
    """Black is 0 after this normalisation, so its mean blocks have no direction."""
    folder = people(identities=2, pictures=9)
    ready = [OnnxExtractor(read_spec(make_spec("zero", **{"[127.5, 127.5, 127.5]": "[0.0, 0.0, 0.0]"})))]
    before = embed(read_samples(folder)[0], ready)
    black = folder / "person_00" / "photo_001_black.png"
    Image.new("RGB", (40, 40)).save(black)
    after = embed(read_samples(folder)[0], ready)
    (excluded,) = after.excluded
    assert excluded.path == black
    assert excluded.reason.startswith("no embedding: extractor zero returned no finite non-zero embedding;")
    assert after.samples == before.samples
    assert after.embeddings[0].vectors.tobytes() == before.embeddings[0].vectors.tobytes()


def test_embeddings_of_another_extractor_are_no_answer(pictures):
    class Stranger(Means):
        def embed(self, faces):
            return Embeddings(super().embed(faces).vectors, "f" * 64)

    with pytest.raises(DigestMismatch, match=r"of the extractor f{16}, not of .*embed again"):
        embed(pictures([1, 2]), [Stranger()])
    assert Embeddings(np.ones((1, 2), np.float32), "a").of("a").tolist() == [[1, 1]]


def test_a_batch_that_fails_together_only_blames_nobody(pictures):
    class Crowded(Means):
        def embed(self, faces):
            if len(faces.pixels) > 2:
                raise InputError("out of memory")
            return super().embed(faces)

    with pytest.raises(InputError, match=r"^out of memory$"):
        embed(pictures(range(8)), [Crowded(batch=8)])


def test_two_processes_do_not_write_to_one_store(pictures, tmp_path):
    with alone(tmp_path / "kept"), pytest.raises(InputError, match=r"another process is writing to .*kept"):
        embed(pictures([1]), [Means()], store=tmp_path / "kept")


def test_an_extractor_that_aligns_needs_a_detector(pictures):
    aligned = Means("arcface", FaceGeometry(4, 4, "align", canvas=(4, 4), template=TEMPLATE))
    with pytest.raises(InputError, match=r"arcface .*detector.*FACECURE_DETECTOR"):
        embed(pictures([1]), [Means(), aligned])
    assert aligned.batches == []


def test_a_picture_without_a_face_is_excluded_for_all_extractors(pictures, tmp_path):
    samples = pictures([1, 2])
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    samples.insert(1, Sample("someone", tmp_path / "black.png", "black"))
    aligned = Means("arcface", FaceGeometry(4, 4, "align", canvas=(4, 4), template=TEMPLATE))
    table = embed(samples, [Means(), aligned], Centre())
    assert [(e.path.name, e.reason.split(":")[0]) for e in table.excluded] == [("black.png", "no face")]
    assert reds(table, 0) == reds(table, 1) == [1, 2]


@pytest.mark.parametrize("kept", [0, 3, 5])
def test_progress_counts_every_sample_once(pictures, tmp_path, kept):
    samples = pictures([1, 2, 3, 4, 4])
    samples[4].path.write_text("no picture")
    embed(samples[:kept], [Means()], store=tmp_path / "kept")
    calls = []
    embed(samples, [Means()], execution=Execution(progress=lambda *call: calls.append(call)), store=tmp_path / "kept")
    assert [call[1:] for call in calls] == [(done, 5) for done in range(1, 6)]
    assert len({stage for stage, _, _ in calls}) == 1


def test_the_number_of_threads_changes_no_bit(people, make_spec):
    samples = read_samples(people(identities=3, pictures=7))[0]
    found = [
        embed(samples, [OnnxExtractor(read_spec(make_spec()), how)], execution=how)
        for how in (Execution(threads=threads) for threads in (1, 2, 5))
    ]
    assert len({table.embeddings[0].vectors.tobytes() for table in found}) == 1
    assert len({table.samples for table in found}) == 1
    assert all(second >= 0 for table in found for second in table.seconds.values())
