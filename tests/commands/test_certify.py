"""Certificates count what changes, refuse what changes too much, and decide what `auto` takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

from facecure.cli import app
from facecure.commands.certify import certify
from facecure.commands.evaluate import evaluate
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors import packaged
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.runtimes.openvino import OpenVinoExtractor
from facecure.types import Embeddings
from facecure.zoo.find import find_extractor

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


def test_equal_runtimes_are_certified_and_the_fastest_is_taken(spec, people):
    with pytest.raises(InputError, match=r"no export for openvino yet.*models export plain --runtime openvino"):
        find_extractor(str(spec), Execution("openvino"))
    assert find_extractor(str(spec), Execution("auto")).what_ran["runtime"].startswith("torch ")
    found = certify(str(spec), people("faces", 5, 6), [("onnx", "fp32"), ("openvino", "fp32")])
    for one in found:
        assert one.certified
        assert one.facts["changed_decisions"] == 0 < one.facts["decisions"]
        assert one.facts["error"]["1.0"] < 1e-10
        assert one.facts["identified"]["shift"] == 0
        written = json.loads(one.file.read_text())
        assert written["faces"]["identities"] == 5
        assert (
            written["environment"]["extractor"]["weights_sha256"]
            == written["environment"]["reference"]["weights_sha256"]
        )


def test_auto_takes_the_largest_certified_gain(spec, people):
    """Speeds are written into the certificates here, so that the machine's noise decides nothing."""
    onnx, openvino = certify(str(spec), people("faces", 5, 6), [("onnx", "fp32"), ("openvino", "fp32")])

    def taken(onnx_gain, openvino_gain, **changes):
        for one, gain in ((onnx, onnx_gain), (openvino, openvino_gain)):
            speeds = {"reference_faces_per_second": 100.0, "faces_per_second": 100.0 * gain}
            one.file.write_text(json.dumps(one.facts | speeds | changes))
        return find_extractor(str(spec), Execution("auto")).what_ran["runtime"].split()[0]

    assert taken(2.0, 3.0) == "openvino"
    assert taken(3.0, 2.0) == "onnxruntime"
    assert taken(0.5, 0.9) == "torch"
    assert taken(2.0, 3.0, certified=False) == "torch"
    assert taken(2.0, 3.0, export_sha256="0" * 64) == "torch"  # of another export
    ran = onnx.facts["environment"]["extractor"] | {"runtime": "onnxruntime 0.1"}
    assert taken(2.0, 3.0, environment=onnx.facts["environment"] | {"extractor": ran}) == "torch"  # of another version


def test_certificates_of_another_kind_of_processor_are_passed_over(spec, people, monkeypatch):
    """Where it was measured decides which precision is the fastest; bfloat16 comes and goes here."""
    (one,) = certify(str(spec), people("faces", 5, 6), [("openvino", "fp32")])
    speeds = {"reference_faces_per_second": 1.0, "faces_per_second": 2.0}
    here = one.facts["environment"]

    def taken(**changes):
        one.file.write_text(json.dumps(one.facts | speeds | {"environment": here | changes}))
        found = find_extractor(str(spec), Execution("auto"))
        return found.what_ran["runtime"].split()[0], found.what_ran.get("passed_over", [])

    assert taken() == ("openvino", [])
    for changes in ({"cpu_simd": "sse2"}, {"cpu_bf16": not here["cpu_bf16"]}, {"cpu_bf16": None, "cpu_simd": None}):
        runtime, (remark,) = taken(**changes)
        assert runtime == "torch"
        assert remark.startswith("openvino fp32 was certified on another kind of processor (")
        assert here["cpu_simd"] in remark
    taken()
    monkeypatch.setattr("facecure.runs.environment.has_bf16", lambda: not here["cpu_bf16"])
    assert find_extractor(str(spec), Execution("auto")).what_ran["runtime"].startswith("torch ")


def test_int8_is_calibrated_certified_and_settled(spec, people, tmp_path):
    faces = people("faces", 6, 8, noise=60.0)
    for one in certify(str(spec), faces, [("onnx", "int8"), ("openvino", "int8")], most_error=0.1):
        assert one.file.with_name("model-int8.onnx").is_file()
        assert one.facts["bounds"]["error"] == 0.1
        assert 0 < one.facts["error"]["1.0"] < 0.1
        assert one.facts["distance_bound"] > 0
        assert one.facts["settled"]["changed_decisions"] == 0
        ran = one.facts["environment"]["extractor"]
        assert (ran["precision"], ran["calibration"]["pictures"]) == ("int8", 48)
        assert ran["digest"] != one.facts["environment"]["reference"]["digest"]
        coarse = find_extractor(str(spec), Execution(one.runtime, "int8"))
        assert coarse.digest == ran["digest"]
    (strict,) = certify(str(spec), faces, [("openvino", "int8")])
    assert strict.facts["bounds"]["error"] == 1e-2
    (strict,) = certify(str(spec), faces, [("openvino", "int8")], most_error=0.0)
    assert not strict.certified


def test_auto_chooses_the_precision_itself(spec):
    with pytest.raises(InputError, match="auto chooses the precision too"):
        find_extractor(str(spec), Execution("auto", "bf16"))


def test_certificates_name_the_pictures_that_were_left_out(spec, people):
    folder = people("faces", 5, 6)
    broken = folder / next(folder.iterdir()).name / "broken.png"
    broken.write_bytes(b"no picture")
    (one,) = certify(str(spec), folder, [("onnx", "fp32")])
    assert one.facts["faces"]["pictures"] == 30
    (left_out,) = one.facts["faces"]["excluded"]
    assert left_out["path"] == str(broken)
    assert one.facts["detector"] is None


def test_what_decides_otherwise_is_refused(spec, people, monkeypatch):
    embed = OpenVinoExtractor.embed

    def turned(self, faces):
        rows = embed(self, faces).vectors
        return Embeddings(np.roll(rows, 1, axis=0), self.digest)  # every face gets its neighbour's

    monkeypatch.setattr(OpenVinoExtractor, "embed", turned)
    (one,) = certify(str(spec), people("faces", 5, 6), [("openvino", "fp32")])
    assert not one.certified
    assert one.facts["changed_decisions"] > 0
    assert len(one.facts["changed_margins"]) == one.facts["changed_decisions"]
    assert one.facts["error"]["1.0"] > 1e-3
    assert find_extractor(str(spec), Execution("auto")).what_ran["runtime"].startswith("torch ")
    assert find_extractor(str(spec), Execution("openvino")).spec.name == "plain"  # asked for by name it still runs


def test_cloaked_pictures_are_decided_on_too(spec, people, monkeypatch):
    """Against the protocol itself: `evaluate` on the same splits gives the rates of the reference."""
    clean = people("faces", 5, 6)
    cloaks = {"shifted": people("cloaked", 3, 6, suffix="_cloaked", shift=0.6)}
    (same,) = certify(str(spec), clean, [("onnx", "fp32")], cloaked=cloaks)
    rates = same.facts["protection"]["shifted"]
    report = evaluate(clean, cloaks, extractors=[str(spec)], repeats=5)
    assert rates["probes"] == report.cells[0].probes > 0
    assert rates["reference"] == rates["here"] == pytest.approx(report.cells[0].protection_rate)
    assert 0 < rates["reference"] < 1
    assert rates["shift"] == 0
    (clean_only,) = certify(str(spec), clean, [("onnx", "fp32")])
    assert same.facts["decisions"] == clean_only.facts["decisions"] + rates["probes"]

    embed = OnnxExtractor.embed

    def blind(self, faces):  # to the cloaks: whoever is cloaked looks as before
        rows = embed(self, faces).vectors.copy()
        rows[-18:] = rows[:18]
        return Embeddings(rows, self.digest)

    monkeypatch.setattr(OnnxExtractor, "embed", blind)
    (other,) = certify(str(spec), clean, [("onnx", "fp32")], cloaked=cloaks)
    rates = other.facts["protection"]["shifted"]
    assert rates["here"] == 0
    assert rates["shift"] == -rates["reference"]
    assert other.facts["changed_decisions"] == round(rates["reference"] * rates["probes"])
    assert other.facts["identified"]["shift"] == 0
    assert not other.certified


def test_what_the_error_leaves_open_is_settled_by_the_reference(spec, people):
    (one,) = certify(str(spec), people("faces", 6, 8, noise=90.0), [("torch", "bf16")], most_error=1.0)
    settled = one.facts["settled"]
    assert settled["changed_decisions"] == 0
    assert settled["embedded_again"] <= settled["faces"] == 48
    assert one.facts["changed_decisions"] == 0 or settled["embedded_again"] > 0


def test_the_measured_batch_is_what_auto_takes(spec, people):
    (one,) = certify(str(spec), people("faces", 5, 6), [("openvino", "fp32")])
    assert one.facts["batch"] in (8, 16, 32)
    for batch in (8, 16, 32):
        facts = one.facts | {"batch": batch, "faces_per_second": 2.0, "reference_faces_per_second": 1.0}
        one.file.write_text(json.dumps(facts))
        assert find_extractor(str(spec), Execution("auto")).batch == batch
    cuda = one.file.with_name(one.file.name.replace("-cpu", "-cuda"))
    one.file.rename(cuda)  # what was measured on a GPU says nothing about a CPU
    assert find_extractor(str(spec), Execution("auto")).what_ran["runtime"].startswith("torch ")


def test_people_of_one_picture_decide_nothing(spec, people):
    with pytest.raises(InputError, match="two pictures or more"):
        certify(str(spec), people("faces", 5, 1), [("onnx", "fp32")])


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
