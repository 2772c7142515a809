"""Certificates count what changes, refuse what changes too much, and decide what `auto` takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

from facecure.certificates.certificate import Bounds, Certificate, Speed, from_json
from facecure.certificates.compare import Shift
from facecure.cli import app
from facecure.commands.certify import certify
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors import packaged
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.runtimes.openvino import OpenVinoExtractor
from facecure.runs.folder import RunFolder
from facecure.types import Embeddings
from facecure.zoo.exports import Exports
from facecure.zoo.find import find_extractor, find_spec

from .ask import ask

pytestmark = pytest.mark.slow


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A spec file of a packaged network with torch weights; exports go to a cache of its own."""
    monkeypatch.setenv("FACECURE_MODELS", str(tmp_path / "models"))
    weights = Path(packaged.__file__).parent / "plain.pt"
    file = tmp_path / "plain.toml"
    file.write_text(
        f'name = "plain"\nweights = "{weights}"\narchitecture = "tiny-plain"\nembedding = {{ size = 64 }}\n'
        "input = { width = 64, height = 64, mean = [127.5, 127.5, 127.5], std = [127.5, 127.5, 127.5] }\n"
    )
    return file


def certified(*arguments, **options) -> list[Certificate]:
    return list(certify(*arguments, **options).values())


def put(spec, certificate) -> None:
    exports = Exports(find_spec(spec))
    with exports.folder:
        exports.certificates.put(certificate)


def automatic(spec):
    return find_extractor(spec, Execution("auto"))


def test_equal_runtimes_are_certified(spec, people):
    with pytest.raises(InputError, match=r"no export for openvino yet.*models export plain --runtime openvino"):
        find_extractor(spec, Execution("openvino"))
    assert automatic(spec).what_ran["runtime"].startswith("torch ")
    found = certify(spec, people("faces", 5, 6), [("onnx", "fp32"), ("openvino", "fp32")])
    for file, certificate in found.items():
        assert from_json(file.read_text()) == certificate
        assert certificate.certified
        assert certificate.differences.changed == 0 < certificate.differences.decisions
        assert certificate.differences.largest_error < 1e-10
        assert certificate.differences.identified.shift == 0
        assert certificate.faces.identities == 5
        assert certificate.ran["weights_sha256"] == certificate.reference["weights_sha256"]
        assert RunFolder(file.parent, {}, what="reader").done(file.name)


def test_auto_takes_the_largest_certified_gain(spec, people):
    """Speeds are written into the certificates here, so that the machine's noise decides nothing."""
    both = certified(spec, people("faces", 5, 6), [("onnx", "fp32"), ("openvino", "fp32")])

    def taken(*gains, **changes):
        for certificate, gain in zip(both, gains, strict=True):
            put(spec, replace(certificate, speed=replace(certificate.speed, reference=1.0, here=gain), **changes))
        return automatic(spec).what_ran["runtime"].split()[0]

    assert taken(2.0, 3.0) == "openvino"
    assert taken(3.0, 2.0) == "onnxruntime"
    assert taken(0.5, 0.9) == "torch"
    assert taken(2.0, 3.0, bounds=Bounds(0, -1.0)) == "torch"  # refused
    assert taken(2.0, 3.0, export_sha256="0" * 64) == "torch"  # of another export
    assert taken(2.0, 3.0, ran={"runtime": "onnxruntime 0.1"}) == "torch"  # of another version


def test_certificates_of_another_kind_of_processor_are_passed_over(spec, people, monkeypatch):
    """Where it was measured decides which precision is the fastest; bfloat16 comes and goes here."""
    (certificate,) = certified(spec, people("faces", 5, 6), [("openvino", "fp32")])
    here = certificate.environment
    put(spec, replace(certificate, speed=Speed(1.0, 2.0, 8)))
    assert automatic(spec).what_ran["runtime"].startswith("openvino ")
    assert "passed_over" not in automatic(spec).what_ran
    monkeypatch.setattr("facecure.runs.environment.has_bf16", lambda: not here["cpu_bf16"])
    extractor = automatic(spec)
    assert extractor.what_ran["runtime"].startswith("torch ")
    (remark,) = extractor.what_ran["passed_over"]
    assert remark.startswith("openvino fp32 was certified on another kind of processor (")


def test_a_changed_certificate_or_export_is_not_trusted(spec, people):
    ((file, certificate),) = certify(spec, people("faces", 5, 6), [("openvino", "fp32")]).items()
    put(spec, replace(certificate, speed=Speed(1.0, 2.0, 8)))
    text = file.read_text()
    file.write_text(text.replace('"here": 2.0', '"here": 9.0'))
    assert "certify again with facecure certify plain" in automatic(spec).what_ran["passed_over"][0]
    file.write_text(text)
    assert automatic(spec).what_ran["runtime"].startswith("openvino ")
    export = file.with_name("model.onnx")
    export.write_bytes(export.read_bytes()[:-1])
    assert automatic(spec).what_ran["runtime"].startswith("torch ")
    with pytest.raises(
        InputError, match=r"model\.onnx is not what was exported; make it: facecure models export plain"
    ):
        find_extractor(spec, Execution("openvino"))
    certify(spec, people("faces", 5, 6), [("openvino", "fp32")])  # exports it again
    assert find_extractor(spec, Execution("openvino")).spec.name == "plain"


def test_int8_is_calibrated_certified_and_settled(spec, people, tmp_path):
    faces = people("faces", 6, 8, noise=60.0)
    ways = [("onnx", "int8"), ("openvino", "int8")]
    for file, certificate in certify(spec, faces, ways, bounds=Bounds(error=0.1)).items():
        assert file.with_name("model-int8.onnx").is_file()
        assert certificate.bounds == Bounds(0, 0.1)
        assert 0 < certificate.differences.largest_error < 0.1
        assert certificate.differences.distance_bound > 0
        assert certificate.differences.settled_changed == 0
        assert (certificate.ran["precision"], certificate.ran["calibration"]["pictures"]) == ("int8", 48)
        assert certificate.ran["digest"] != certificate.reference["digest"]
        assert find_extractor(spec, Execution(certificate.runtime, "int8")).digest == certificate.ran["digest"]
    (strict,) = certified(spec, faces, [("openvino", "int8")])
    assert strict.bounds.error == 1e-2
    (strict,) = certified(spec, faces, [("openvino", "int8")], bounds=Bounds(error=0.0))
    assert not strict.certified


def test_auto_chooses_the_precision_itself(spec):
    with pytest.raises(InputError, match="auto chooses the precision too"):
        find_extractor(str(spec), Execution("auto", "bf16"))


def test_certificates_name_the_pictures_that_were_left_out(spec, people):
    folder = people("faces", 5, 6)
    broken = folder / next(folder.iterdir()).name / "broken.png"
    broken.write_bytes(b"no picture")
    (certificate,) = certified(spec, folder, [("onnx", "fp32")])
    assert certificate.faces.pictures == 30
    (left_out,) = certificate.faces.excluded
    assert left_out.path == broken
    assert certificate.faces.detector is None


def test_what_decides_otherwise_is_refused(spec, people, monkeypatch):
    embed = OpenVinoExtractor.embed

    def turned(self, faces):
        rows = embed(self, faces).vectors
        return Embeddings(np.roll(rows, 1, axis=0), self.digest)  # every face gets its neighbour's

    monkeypatch.setattr(OpenVinoExtractor, "embed", turned)
    (certificate,) = certified(spec, people("faces", 5, 6), [("openvino", "fp32")])
    assert not certificate.certified
    assert certificate.differences.changed > 0
    assert certificate.differences.largest_error > 1e-3
    assert automatic(spec).what_ran["runtime"].startswith("torch ")
    assert find_extractor(str(spec), Execution("openvino")).spec.name == "plain"  # asked for by name it still runs


def test_cloaked_pictures_are_decided_on_too(spec, people, monkeypatch):
    """Against the protocol itself: `evaluate` on the same splits gives the rates of the reference."""
    clean = people("faces", 5, 6)
    cloaks = {"shifted": people("cloaked", 3, 6, suffix="_cloaked", shift=0.6)}
    (same,) = certified(spec, clean, [("onnx", "fp32")], cloaked=cloaks)
    rates = same.differences.protected["shifted"]
    report = ask(clean, cloaks, extractors=[str(spec)], repeats=5)
    assert rates.probes == report.cells[0].probes > 0
    assert rates.rate == pytest.approx(report.cells[0].protection_rate)
    assert 0 < rates.rate < 1
    assert rates.shift == 0
    (clean_only,) = certified(spec, clean, [("onnx", "fp32")])
    assert same.differences.decisions == clean_only.differences.decisions + rates.probes

    embed = OnnxExtractor.embed

    def blind(self, faces):  # to the cloaks: whoever is cloaked looks as before
        rows = embed(self, faces).vectors.copy()
        rows[-18:] = rows[:18]
        return Embeddings(rows, self.digest)

    monkeypatch.setattr(OnnxExtractor, "embed", blind)
    (other,) = certified(spec, clean, [("onnx", "fp32")], cloaked=cloaks)
    assert other.differences.protected["shifted"] == Shift(rates.probes, rates.reference, 0)
    assert other.differences.changed == rates.reference
    assert other.differences.identified.shift == 0
    assert not other.certified


def test_what_the_error_leaves_open_is_settled_by_the_reference(spec, people):
    faces = people("faces", 6, 8, noise=90.0)
    (certificate,) = certified(spec, faces, [("torch", "bf16")], bounds=Bounds(error=1.0))
    differences = certificate.differences
    assert differences.settled_changed == 0
    assert differences.embedded_again <= differences.faces == 48
    assert differences.changed == 0 or differences.embedded_again > 0


def test_the_measured_batch_is_what_auto_takes(spec, people):
    ((file, certificate),) = certify(spec, people("faces", 5, 6), [("openvino", "fp32")]).items()
    assert certificate.speed.batch in (8, 16, 32)
    for batch in (8, 16, 32):
        put(spec, replace(certificate, speed=Speed(1.0, 2.0, batch)))
        assert automatic(spec).batch == batch
    file.unlink()
    put(spec, replace(certificate, device="cuda", speed=Speed(1.0, 2.0, 8)))  # says nothing about a CPU
    assert automatic(spec).what_ran["runtime"].startswith("torch ")


def test_a_second_process_is_refused_before_any_work(spec, people):
    with Exports(find_spec(spec)).folder, pytest.raises(InputError, match="another process is writing to"):
        certify(spec, people("faces", 5, 6), [("onnx", "fp32")])


def test_people_of_one_picture_decide_nothing(spec, people):
    with pytest.raises(InputError, match="two pictures or more"):
        certify(spec, people("faces", 5, 1), [("onnx", "fp32")])


def test_the_command_prints_counts_and_ends_with_one_where_refused(spec, people, monkeypatch):
    from typer.testing import CliRunner

    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    arguments = ["certify", str(spec), "--faces", str(people("faces", 5, 6))]
    done = CliRunner().invoke(app, [*arguments, "--runtimes", "onnx"], env=wide)
    assert done.exit_code == 0
    assert "0 of" in done.output
    refused = CliRunner().invoke(app, [*arguments, "--runtimes", "torch:bf16", "--most-error", "0"], env=wide)
    assert refused.exit_code == 1
    assert "refused" in refused.output
    with pytest.raises(InputError, match="--runtimes takes torch, onnx"):
        CliRunner().invoke(app, [*arguments, "--runtimes", "caffe"], env=wide, catch_exceptions=False)


def test_embed_and_export_by_command(spec, people, tmp_path):
    from typer.testing import CliRunner

    wide = {"COLUMNS": "200", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, ["models", "export", str(spec), "--runtime", "openvino"], env=wide)
    assert done.exit_code == 0
    assert "model.onnx" in done.output
    photos = str(people("faces", 2, 2))
    done = CliRunner().invoke(
        app, ["embed", photos, "-e", str(spec), "--runtime", "openvino", "--out", str(tmp_path / "run")], env=wide
    )
    assert done.exit_code == 0
    assert "plain: openvino" in done.output
    (ran,) = json.loads((tmp_path / "run" / "embed.json").read_text())["extractors"]
    assert ran["runtime"].startswith("openvino")
    inside = ["models", "export", str(spec), "--out", str(tmp_path / "own.onnx"), "--inside"]
    assert CliRunner().invoke(app, inside, env=wide).exit_code == 0
    assert (tmp_path / "own.onnx").stat().st_size > 1000
    with pytest.raises(InputError, match="onnx computes in fp32 or int8, not bf16"):
        CliRunner().invoke(app, ["models", "export", str(spec), "--precision", "bf16"], catch_exceptions=False)
    with pytest.raises(InputError, match="name one with --out"):
        CliRunner().invoke(app, ["models", "export", str(spec), "--inside"], catch_exceptions=False)


def test_int8_by_command(spec, people):
    from typer.testing import CliRunner

    faces = str(people("faces", 3, 4))
    command = ["models", "export", str(spec), "--runtime", "openvino", "--precision", "int8"]
    with pytest.raises(InputError, match=r"no export for openvino yet.* --precision int8 --faces DIR"):
        find_extractor(str(spec), Execution("openvino", "int8"))
    with pytest.raises(InputError, match="--precision int8 and --faces go together"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    done = CliRunner().invoke(app, [*command, "--faces", faces], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert "model-int8.onnx" in done.output
    first = find_extractor(str(spec), Execution("openvino", "int8"))
    assert first.what_ran["calibration"]["pictures"] == 12
    others = str(people("others", 3, 4, seed=1))
    assert CliRunner().invoke(app, [*command, "--faces", others]).exit_code == 0
    assert find_extractor(str(spec), Execution("openvino", "int8")).digest != first.digest  # calibrated anew


@pytest.mark.parametrize("has", [True, False])
def test_the_command_certifies_what_the_processor_has(spec, people, monkeypatch, has):
    from typer.testing import CliRunner

    asked = []

    def stop(extractor, faces, runtimes, **_):
        asked.extend(runtimes)
        raise InputError("far enough")

    monkeypatch.setattr("facecure.cli.certify.has_bf16", lambda: has)
    monkeypatch.setattr("facecure.cli.certify.certify_runtimes", stop)
    with pytest.raises(InputError, match="far enough"):
        CliRunner().invoke(app, ["certify", str(spec), "--faces", "photos"], catch_exceptions=False)
    assert asked == [
        ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "int8"), *([("openvino", "bf16")] if has else [])
    ]  # fmt: skip
