"""The command line: what it writes, what it prints, and how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facecure.cli import app, main
from facecure.errors import InputError
from facecure.extractors.packaged import packaged_specs
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.report.markdown import markdown
from facecure.report.provenance import PictureCounts
from facecure.report.records import to_csv
from facecure.report.schema import read_report
from facecure.runs.environment import EXTRAS

SCRIPT = shutil.which("facecure", path=str(Path(sys.executable).parent))
WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}


@pytest.fixture(autouse=True)
def _no_detector(monkeypatch):
    monkeypatch.delenv("FACECURE_DETECTOR", raising=False)


@pytest.fixture
def scene(people, make_spec, tmp_path):
    """The arguments of an evaluation of four small people whose cloaks look half like somebody else."""
    clean, cloaked = people("clean", 4, 6), people("cloaked", 4, 6, suffix="_cloaked", shift=0.5)
    return [
        "evaluate",
        "--clean",
        clean,
        "--cloaked",
        f"fawkes={cloaked}",
        "-e",
        make_spec(),
        "--out",
        tmp_path / "run",
    ]


def run(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)), env=WIDE)


def script(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    assert SCRIPT, f"no facecure beside {sys.executable}"
    return subprocess.run(
        [SCRIPT, *map(str, arguments)], capture_output=True, text=True, env=os.environ | WIDE | environment, check=False
    )


@pytest.mark.parametrize("command", ["certify", "cloak", "demo", "embed", "evaluate", "info"])
def test_help_shows_an_example(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert re.search(rf"Examples?\s[\s\S]*facecure {command}", done.output)


@pytest.mark.parametrize("command", ["evaluate", "embed", "cloak", "certify"])
def test_help_says_how_pictures_lie(command):
    """Outside of code quotes Markdown would take `<identity>` for a tag and leave it out."""
    assert "<identity>/" in run(command, "--help").stdout


def test_help_lists_the_commands():
    done = run("--help")
    assert done.exit_code == 0
    for command in ("certify", "cloak", "demo", "embed", "evaluate", "info", "models"):
        assert re.search(rf"\b{command}\b", done.output)


def test_evaluate_writes_both_reports_and_prints_the_table(scene, tmp_path):
    done = script(*scene, "--repeats", 3, "--seed", 5)
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "run" / "report.json")
    (cell,) = report.cells
    assert (cell.cloak, cell.extractor, cell.protocol, cell.probes) == ("fawkes", "blocks", "corrected", 4 * 3)
    assert (report.protocol.splits, report.protocol.seed) == (3, 5)
    assert (tmp_path / "run" / "report.md").read_text(encoding="utf-8") == markdown(report)
    assert (tmp_path / "run" / "report.csv").read_text(encoding="utf-8") == to_csv(report)
    rate = f"{100 * cell.protection_rate:.1f} %"
    low, high = (f"{100 * bound:.1f}" for bound in cell.interval)
    (line,) = [line for line in done.stdout.splitlines() if f"{cell.identified} of 12" in line]
    for shown in ("fawkes", "blocks", rate, f"{low}-{high} %", f"{100 * cell.clean_error:.1f} %"):
        assert shown in line
    assert str(tmp_path / "run" / "report.md") in done.stdout


@pytest.mark.parametrize(
    ("options", "protocol", "splits"),
    [
        ([], "corrected", 10),
        (["--protocol", "facecure-2021"], "facecure-2021", 1),
        (["--repeats", "2"], "corrected", 2),
    ],
)
def test_options_reach_the_report(scene, people, tmp_path, options, protocol, splits):
    others = people("others", 2, 3, names="stranger_{:02d}", seed=9)
    more = people("more", 2, 2, names="newcomer_{:02d}", seed=8)
    done = run(*scene, *options, "--distractors", others, "--distractors", more, "--threads", 1)
    assert done.exit_code == 0, done.output
    report = read_report(tmp_path / "run" / "report.json")
    assert (report.protocol.name, report.protocol.splits) == (protocol, splits)
    assert report.pictures["distractor"] == PictureCounts(4, 10, 10)
    assert report.environment.extractors[0]["threads"] == 1


def test_several_cloaks_extractors_and_their_unprotected_pictures(scene, make_spec, tmp_path):
    shutil.copytree(tmp_path / "clean", tmp_path / "with=sign")
    done = run(
        *scene, "--cloaked", f"lowkey={tmp_path / 'cloaked'}", "--unprotected", f"lowkey={tmp_path / 'with=sign'}",
        "-e", make_spec("second"), "--repeats", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    report = read_report(tmp_path / "run" / "report.json")
    assert [(c.cloak, c.extractor) for c in report.cells] == [
        (c, e) for c in ("fawkes", "lowkey") for e in ("blocks", "second")
    ]
    assert report.pictures["unprotected lowkey"].pictures == 24


def test_a_second_run_embeds_nothing_and_says_the_same(scene, tmp_path, monkeypatch):
    assert run(*scene).exit_code == 0
    first = read_report(tmp_path / "run" / "report.json")
    monkeypatch.setattr(OnnxExtractor, "embed", lambda self, faces: pytest.fail("embedded again"))
    done = run(*scene)
    assert done.exit_code == 0, done.output
    assert read_report(tmp_path / "run" / "report.json").cells == first.cells


def test_a_run_that_measured_nothing_does_not_succeed(scene, people, tmp_path):
    others = people("others", 2, 3, names="stranger_{:02d}", seed=9)
    for file in (tmp_path / "clean").rglob("*.png"):
        file.write_text("no picture")
    done = run(*scene, "--distractors", others)
    assert done.exit_code != 0
    assert isinstance(done.exception, InputError)
    assert re.search(r"nothing was measured: .*48 pictures are excluded, .*report\.md says why", str(done.exception))
    report = read_report(tmp_path / "run" / "report.json")  # with every reason, all the same
    assert report.cells[0].probes == 0
    assert len(report.excluded) == 48


MISTAKES = {
    # option and value added to the arguments, what the one line on standard error must hold
    "no equals sign": (["--cloaked", "lowkey"], "--cloaked takes NAME=DIR, .*'lowkey'"),
    "no name": (["--cloaked", "=dir"], "--cloaked takes NAME=DIR, .*'=dir'"),
    "no folder": (["--cloaked", "lowkey="], "--cloaked takes NAME=DIR, .*'lowkey='"),
    "a cloak twice": (["--cloaked", "fawkes=dir"], "--cloaked fawkes=… is given twice"),
    "unprotected without name": (["--unprotected", "dir"], "--unprotected takes NAME=DIR, .*'dir'"),
    "unprotected of nobody": (["--unprotected", "lowkey=dir"], "unprotected has 'lowkey', which cloaked has not"),
    "a folder that is not there": (["--cloaked", "lowkey=/no/[where]"], r"/no/\[where\]: no such folder"),
    "a spec that is not there": (["-e", "nowhere.toml"], r"extractor spec nowhere\.toml: No such file"),
    "a detector that is not there": (["--detector", "nowhere.onnx"], r"detector nowhere\.onnx: no such file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error_of_the_packages_own_kind(scene, mistake):
    options, message = MISTAKES[mistake]
    done = run(*scene, *options)
    assert isinstance(done.exception, InputError)
    assert re.search(message, str(done.exception))


@pytest.mark.parametrize("mistake", ["no equals sign", "a folder that is not there", "a spec that is not there"])
def test_a_mistake_ends_with_status_2_and_one_line(scene, mistake):
    options, message = MISTAKES[mistake]
    done = script(*scene, *options)
    assert done.returncode == 2
    assert re.fullmatch(f"error: .*{message}.*", done.stderr.strip())  # no dot matches a line break
    assert done.stdout.strip() == ""


def test_an_extractor_that_aligns_names_option_and_variable(scene, make_spec):
    text = Path(scene[6]).read_text()
    aligned = make_spec("aligned", text.replace('"blocks"', '"aligned"') + (
        '[face]\nmode = "align"\ncanvas = [16, 16]\ntemplate = [[5, 5], [11, 5], [8, 8], [5, 11], [11, 11]]\n'
    ))  # fmt: skip
    done = script(*scene, "-e", aligned)
    assert done.returncode == 2
    assert re.fullmatch(r"error: aligned .*yunet.*FACECURE_DETECTOR \(--detector\)", done.stderr.strip())
    named = script(*scene, "-e", aligned, FACECURE_DETECTOR="/nowhere.onnx")
    assert named.returncode == 2
    assert "detector /nowhere.onnx: no such file" in named.stderr


@pytest.mark.parametrize("command", ["evaluate", "embed"])
def test_an_output_folder_that_is_a_file_is_named(scene, tmp_path, command):
    (tmp_path / "run").write_text("a file")
    arguments = scene if command == "evaluate" else ["embed", tmp_path / "clean", *scene[5:]]
    done = script(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.fullmatch(f"error: .*{re.escape(str(tmp_path / 'run'))}.*", done.stderr.strip())


def test_an_interrupted_run_says_how_to_go_on(scene, monkeypatch, capsys):
    def interrupt(self, faces):
        raise KeyboardInterrupt

    monkeypatch.setattr(OnnxExtractor, "embed", interrupt)
    monkeypatch.setattr(sys, "argv", ["facecure", *map(str, scene)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "interrupted; the same command continues" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_as_ctrl_c_does_and_keeps_what_is_done(scene, monkeypatch, capsys, tmp_path, number):
    real, calls = OnnxExtractor.embed, []

    def ended_at_the_second(self, faces):
        calls.append(len(faces.pixels))
        if len(calls) == 2:
            signal.raise_signal(number)
        return real(self, faces)

    monkeypatch.setattr(OnnxExtractor, "embed", ended_at_the_second)
    monkeypatch.setattr(sys, "argv", ["facecure", *map(str, scene)])
    before = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGHUP)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        for each, handler in before:
            signal.signal(each, handler)
    assert ended.value.code == 128 + number
    assert "interrupted; the same command continues" in capsys.readouterr().err
    (shard,) = (tmp_path / "run" / "embeddings").glob("blocks-*/*.npz")
    with np.load(shard) as kept:
        assert len(kept["vectors"]) == calls[0]


def test_names_are_printed_as_they_are_and_commands_quoted(people, surrogate, tmp_path):
    photos = people("photos [bold] $x", 1, 2, names="a[{}")
    (photos / "a[0" / "b]k\x1b[31m.png").write_text("no picture")
    out = tmp_path / "x [final]"
    done = script("cloak", photos, "--cloak", "fawkes-v1.0:low", "-s", surrogate, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "b]k\\x1b[31m.png: unreadable" in done.stdout
    assert "\x1b" not in done.stdout
    assert str(out / "manifest.csv") in done.stdout
    words = shlex.split(done.stdout.split("Next:")[1])
    assert words[words.index("--clean") + 1] == str(photos)
    assert f"cloak={out / 'manifest.csv'}" in words


def test_a_terminal_may_know_less_than_the_text_holds(scene):
    done = script(*scene, "--repeats", 1, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert "fawkes" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["evaluate"], ["evaluate", "--protocol", "2021"], ["embed", "x", "--threads", "-1"], ["nothing"], ["info", "x"]],
    ids=" ".join,
)
def test_wrong_usage_has_status_2_too(arguments):
    assert run(*arguments).exit_code == 2


def test_embed_writes_the_documented_arrays(make_spec, tmp_path):
    rng = np.random.default_rng(0)
    files, faces = [], []
    for name, count in (("ann", 2), ("bob", 8)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(count):
            faces.append(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))  # the input size: nothing to resize
            files.append(tmp_path / "pictures" / name / f"{k}.png")
            Image.fromarray(faces[-1]).save(files[-1])
    (tmp_path / "pictures" / "bob" / "broken.png").write_text("no picture")
    done = run("embed", tmp_path / "pictures", "-e", make_spec(), "-e", make_spec("second"), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "10 pictures embedded, 1 excluded" in done.output

    planes = ((np.array(faces, np.float64) - 127.5) / 128).transpose(0, 3, 1, 2)
    wanted = planes.reshape(10, 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(10, 48)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    what = json.loads((tmp_path / "out" / "embed.json").read_text(encoding="utf-8"))
    assert [Path(entry["path"]).name for entry in what["excluded"]] == ["broken.png"]
    assert what["excluded"][0]["reason"].startswith("unreadable: ")
    assert "versions" in what["environment"]
    for number, name in enumerate(("blocks", "second")):
        with np.load(tmp_path / "out" / f"{name}.npz", allow_pickle=False) as kept:
            assert sorted(kept) == ["extractor", "identities", "paths", "sha256", "vectors"]
            assert kept["vectors"].dtype == np.float32
            np.testing.assert_allclose(kept["vectors"], wanted, rtol=0, atol=1e-6)
            assert kept["identities"].tolist() == ["ann"] * 2 + ["bob"] * 8
            assert kept["paths"].tolist() == list(map(str, files))
            assert kept["sha256"].tolist() == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
            assert kept["extractor"].item() == what["extractors"][number]["digest"]


def test_embed_refuses_two_extractors_of_one_name(people, make_spec, tmp_path):
    spec = make_spec()
    shutil.copyfile(spec, spec.with_name("again.toml"))
    done = run("embed", people(), "-e", spec, "-e", spec.with_name("again.toml"), "--out", tmp_path / "out")
    assert isinstance(done.exception, InputError), "the second would overwrite the first one's file"
    assert "blocks" in str(done.exception)


def test_embed_says_what_it_left_unused(people, make_spec, tmp_path):
    folder = people(identities=1, pictures=2)
    (folder / "person_00" / "face").mkdir()
    for path in folder.glob("person_00/*.png"):
        shutil.copyfile(path, path.parent / "face" / path.name)
    done = run("embed", folder, "-e", make_spec(), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 beside face/ are not used" in " ".join(done.output.split())


def test_info_lists_versions_and_every_extra():
    done = script("info", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    for extra in ("cpu", "gpu", "tensorrt", "report", "convert", "parquet"):
        assert re.search(rf"extra {extra}\b", done.stdout)
    assert f"numpy {np.__version__}" in done.stdout
    assert re.search(r"threads +1 \(\d+ CPUs?.*, OMP_NUM_THREADS=1\)", done.stdout)
    assert re.search(r"cpu simd\s+(avx512|avx2|scalar)", done.stdout)
    assert re.search(r"openmp\s+(yes|no: the kernels run on one thread)", done.stdout)


def test_the_extras_are_those_of_the_project_file():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = project["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        assert list(packages) == [re.match(r"[\w-]+", entry)[0] for entry in promised[extra]]
    assert promised.keys() - EXTRAS.keys() == {"test", "dev"}


@pytest.fixture
def surrogate(tmp_path):
    """A spec file of a packaged extractor with its torch weights."""
    spec = packaged_specs()[1]
    text = spec.read_text().replace(f'"{spec.stem}.onnx"', f'"{spec.with_suffix(".pt")}"')
    text = re.sub("sha256 = .*", f'architecture = "tiny-{spec.stem}"', text)
    file = tmp_path / "surrogate.toml"
    file.write_text(text)
    return file


def test_cloak_writes_faces_and_says_what_to_do_next(people, surrogate, tmp_path):
    photos, out = people("photos", 2, 2), tmp_path / "cloaks"
    done = script("cloak", photos, "--cloak", "fawkes-v1.0:low", "-s", surrogate, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "4 pictures cloaked, 0 were before, 0 excluded" in done.stdout
    assert "DSSIM" in done.stdout
    assert f"--cloaked cloak={out / 'manifest.csv'}" in done.stdout
    assert len(list((out / "cloaked").glob("*/*_cloaked.png"))) == 4
    again = run("cloak", photos, "--cloak", "fawkes-v1.0:low", "-s", surrogate, "--out", out)
    assert "0 pictures cloaked, 4 were before" in again.output


@pytest.mark.slow
def test_a_killed_cloak_continues_without_a_trace(people, surrogate, tmp_path):
    photos = people("photos", 3, 3)
    command = ["cloak", photos, "--cloak", "fawkes-v1.0:mid", "-s", surrogate, "--batch", 1]
    assert SCRIPT
    manifest = tmp_path / "killed" / "manifest.csv"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([SCRIPT, *map(str, command), "--out", str(tmp_path / "killed")], **quiet) as process:
        while process.poll() is None and not (manifest.exists() and len(manifest.read_text().splitlines()) > 2):
            time.sleep(0.01)
        process.kill()
    finished = len(manifest.read_text().splitlines()) - 1
    assert finished >= 2
    again = run(*command, "--out", tmp_path / "killed")
    assert again.exit_code == 0, again.output
    run(*command, "--out", tmp_path / "whole")
    killed, whole = (
        {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in (tmp_path / name).rglob("*.png")}
        for name in ("killed", "whole")
    )
    assert killed == whole
    assert manifest.read_text() == (tmp_path / "whole" / "manifest.csv").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cloak", "fawkes-v1.0:hihg"], "low, mid, high"),
        (["--cloak", "fawkes-v0.3:low"], "as targets (--targets)"),
        (["--cloak", "lowkey"], "lpips none (--lpips)"),
        (["--cloak", "lowkey", "--lpips", "none", "--penalty", "3"], "lowkey takes no penalty"),
    ],
)
def test_cloak_says_what_is_missing(people, surrogate, tmp_path, options, says):
    done = script("cloak", people("photos", 1, 1), *options, "-s", surrogate, "--out", tmp_path / "cloaks")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_identification_elsewhere_is_an_error_where_there_is_nothing(scene):
    done = script(*scene, "--device", "nowhere")
    assert done.returncode == 2
    assert "'nowhere' cannot be used" in done.stderr
