"""The contract's TOML becomes the right spec, every mistake in it is named, and the digest covers what matters."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest

from facecure.errors import DigestMismatch, FacecureError, InputError
from facecure.extractors.spec import ExtractorSpec, read_spec

WEIGHTS = b"not read as ONNX here"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
CONTRACT = f"""\
name = "xiaoccer_mfn"
weights = "xiaoccer_mfn.onnx"        # relative to this file
sha256 = "{SHA256}"
input = {{ width = 96, height = 112, colour = "RGB", layout = "NCHW", mean = [127.5, 127.5, 127.5], std = [128.0, 128.0, 128.0] }}
embedding = {{ size = 128, normalise = true }}
[face]                               # "crop": whole picture resized; "align": 5 points -> template
mode = "align"
canvas = [112, 112]
template = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
region = [8, 0, 104, 112]            # x0, y0, x1, y1 of the canvas
[about]
training_set = "CASIA-WebFace"
licence = "none stated"
year = 2018
"""  # noqa: E501
SHORTEST = """\
name = "short"
weights = "xiaoccer_mfn.onnx"
input = { width = 16, height = 24, mean = [1, 2, 3], std = [4, 5, 6] }
embedding = { size = 48 }
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a spec beside its weights; `old, new` pairs are replaced in it."""
    (tmp_path / "xiaoccer_mfn.onnx").write_bytes(WEIGHTS)

    def write(text: str, *swaps: tuple[str, str]):
        for old, new in swaps:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file = tmp_path / "spec.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def digest(spec: ExtractorSpec) -> str:
    return spec.digest(hashlib.sha256(spec.verified_weights()).hexdigest())


def test_the_contracts_example_has_the_contracts_values(write, tmp_path):
    spec = read_spec(write(CONTRACT))
    assert (spec.name, spec.weights, spec.sha256) == ("xiaoccer_mfn", tmp_path / "xiaoccer_mfn.onnx", SHA256)
    assert (spec.colour, spec.layout, spec.mean, spec.std) == ("RGB", "NCHW", (127.5,) * 3, (128.0,) * 3)
    assert (spec.embedding_size, spec.normalise) == (128, True)
    assert (spec.training_set, spec.licence, spec.year) == ("CASIA-WebFace", "none stated", 2018)
    face = spec.geometry
    assert (face.width, face.height, face.mode, face.canvas) == (96, 112, "align", (112, 112))
    assert face.template == (
        (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041),
    )  # fmt: skip
    assert face.region == (8, 0, 104, 112)
    assert (face.interpolation, face.border, face.padding, face.stretch) == ("bilinear", "black", 0.0, False)
    assert spec.verified_weights() == WEIGHTS


def test_what_is_left_out_has_the_contracts_defaults(write):
    spec = read_spec(write(SHORTEST))
    assert (spec.sha256, spec.colour, spec.layout, spec.normalise) == (None, "RGB", "NCHW", True)
    assert (spec.training_set, spec.licence, spec.year) == ("not stated", "not stated", None)
    face = spec.geometry
    assert (face.width, face.height, face.mode) == (16, 24, "crop")
    assert (face.canvas, face.template, face.region) == (None, None, None)
    assert (face.interpolation, face.border, face.padding, face.stretch) == ("bilinear", "black", 0.0, False)
    assert spec.verified_weights() == WEIGHTS


def test_options_are_read_at_the_top_level_and_under_face(write):
    options = 'interpolation = "bicubic"\nborder = "replicate"\npadding = 0.25\nstretch = true\n'
    above = read_spec(write(options + SHORTEST)).geometry
    below = read_spec(write(SHORTEST + "[face]\n" + options)).geometry
    assert (above.interpolation, above.border, above.padding, above.stretch) == ("bicubic", "replicate", 0.25, True)
    assert below == above


@pytest.mark.parametrize("where", ["absolute", "parent"])
def test_weights_may_lie_elsewhere(write, tmp_path, where):
    (tmp_path / "inner").mkdir()
    path = str(tmp_path / "xiaoccer_mfn.onnx") if where == "absolute" else "../xiaoccer_mfn.onnx"
    file = tmp_path / "inner" / "spec.toml"
    file.write_text(SHORTEST.replace("xiaoccer_mfn.onnx", path))
    assert read_spec(file).verified_weights() == WEIGHTS


def test_sha256_is_accepted_in_upper_case(write):
    spec = read_spec(write(CONTRACT, (SHA256, SHA256.upper())))
    assert spec.verified_weights() == WEIGHTS


MODE = 'mode = "align"'
ALIGN = CONTRACT[CONTRACT.index("[face]") : CONTRACT.index("[about]")]
MISTAKES = {
    # the text to start from, what to change in it, what the message must hold besides the file
    "unknown key": (CONTRACT, ('name = "x', 'nmae = "x'), "'nmae'.*did you mean 'name'"),
    "unknown key in a table": (CONTRACT, ("colour =", "color ="), r"'input\.color'.*did you mean 'colour'"),
    "unknown key in a section": (CONTRACT, ("training_set", "trainingset"), "about.trainingset.*training_set"),
    "unknown section": (CONTRACT, ("[about]", "[zzz]"), "'zzz'.*known are.*about"),
    "no name": (SHORTEST, ('name = "short"', ""), "'name' is missing"),
    "no weights": (SHORTEST, ('weights = "xiaoccer_mfn.onnx"', ""), "'weights' is missing"),
    "no input": (SHORTEST, ("input = {", "about = {}\n#"), "'input' is missing"),
    "no width": (SHORTEST, ("width = 16, ", ""), "width' is missing"),
    "no height": (SHORTEST, ("height = 24, ", ""), "height' is missing"),
    "no mean": (SHORTEST, ("mean = [1, 2, 3], ", ""), "mean' is missing"),
    "no std": (SHORTEST, (", std = [4, 5, 6]", ""), "std' is missing"),
    "no embedding size": (SHORTEST, ("size = 48", ""), "size' is missing"),
    "input is no table": (SHORTEST, ("embedding = { size = 48 }", "embedding = 48"), "embedding must be a table"),
    "sha256 too short": (CONTRACT, (SHA256, SHA256[1:]), "sha256"),
    "sha256 no hexadecimal": (CONTRACT, (SHA256, "g" * 64), "sha256"),
    "sha256 no text": (CONTRACT, (f'"{SHA256}"', "12"), "sha256"),
    "bad TOML": (SHORTEST, ("input = {", "input = }"), "TOML"),
    "bad colour": (CONTRACT, ('"RGB"', '"GBR"'), "colour.*'GBR'"),
    "bad layout": (CONTRACT, ('"NCHW"', '"CHWN"'), "layout.*'CHWN'"),
    "std 0": (SHORTEST, ("[4, 5, 6]", "[4, 0, 6]"), "std"),
    "two means": (SHORTEST, ("[1, 2, 3]", "[1, 2]"), "mean"),
    "mean is no list": (SHORTEST, ("[1, 2, 3]", "1"), "mean"),
    "mean not finite": (SHORTEST, ("[1, 2, 3]", "[1, nan, 3]"), "mean"),
    "width 0": (SHORTEST, ("width = 16", "width = 0"), "size must be positive"),
    "width with a fraction": (SHORTEST, ("width = 16", "width = 16.7"), "width"),
    "embedding size 0": (SHORTEST, ("size = 48", "size = 0"), "embedding size"),
    "normalise no truth value": (SHORTEST, ("size = 48", 'size = 48, normalise = "no"'), "embedding.normalise"),
    "unknown mode": (CONTRACT, (MODE, 'mode = "aligned"'), "mode.*'aligned'"),
    "align without template": (CONTRACT, ("template = ", "# "), "template"),
    "align without canvas": (CONTRACT, ("canvas = ", "# "), "canvas"),
    "four points": (CONTRACT, (", [70.7299, 92.2041]", ""), "template.*five"),
    "a point of three values": (CONTRACT, ("[70.7299, 92.2041]", "[70.7, 92.2, 0]"), "template"),
    "crop with template": (CONTRACT, (MODE, 'mode = "crop"'), "template"),
    "empty region": (CONTRACT, ("[8, 0, 104, 112]", "[8, 0, 8, 112]"), "region"),
    "region of three values": (CONTRACT, ("[8, 0, 104, 112]", "[8, 0, 104]"), "region"),
    "canvas is no list": (CONTRACT, ("canvas = [112, 112]", "canvas = 112"), "canvas"),
    "stretch with align": (CONTRACT, (MODE, MODE + "\nstretch = true"), "stretch"),
    "negative padding": (SHORTEST, ("name", "padding = -0.1\nname"), "padding"),
    "unknown interpolation": (SHORTEST, ("name", 'interpolation = "cubic"\nname'), "interpolation.*'cubic'"),
    "unknown border": (SHORTEST, ("name", 'border = "white"\nname'), "border.*'white'"),
    "a year that is none": (CONTRACT, ("2018", '"MMXVIII"'), "year"),
    "a name that is a path": (SHORTEST, ('"short"', '"../short"'), "name"),
    "an empty name": (SHORTEST, ('"short"', '""'), "name"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_and_key(write, mistake):
    text, swap, message = MISTAKES[mistake]
    file = write(text, swap)
    with pytest.raises(InputError, match=f"(?s)^extractor spec {re.escape(str(file))}.*{message}"):
        read_spec(file)


def test_a_spec_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml: No such file"):
        read_spec(tmp_path / "nowhere.toml")


def test_a_spec_that_is_no_text_is_named(tmp_path):
    file = tmp_path / "binary.toml"
    file.write_bytes(b'name = "\xff\xfe"')
    with pytest.raises(InputError, match=r"binary\.toml is not TOML"):
        read_spec(file)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (WEIGHTS + b"!", DigestMismatch, hashlib.sha256(WEIGHTS + b"!").hexdigest()),
        (b"", DigestMismatch, hashlib.sha256(b"").hexdigest()),
        (None, InputError, "No such file"),
    ],
    ids=["other content", "empty", "missing"],
)
def test_weights_that_are_not_the_promised_ones_are_refused(write, tmp_path, content, kind, message):
    spec = read_spec(write(CONTRACT))
    spec.weights.unlink()
    if content is not None:
        spec.weights.write_bytes(content)
    with pytest.raises(FacecureError) as raised:
        spec.verified_weights()
    assert type(raised.value) is kind
    assert "xiaoccer_mfn:" in str(raised.value)
    assert str(tmp_path / "xiaoccer_mfn.onnx") in str(raised.value)
    assert message in str(raised.value)


CHANGES_EMBEDDINGS = {
    "weights": (CONTRACT, (f'sha256 = "{SHA256}"', ""), b"others"),
    "width": (CONTRACT, ("width = 96", "width = 97")),
    "height": (CONTRACT, ("height = 112", "height = 113")),
    "colour": (CONTRACT, ('"RGB"', '"BGR"')),
    "layout": (CONTRACT, ('"NCHW"', '"NHWC"')),
    "mean": (CONTRACT, ("[127.5, 127.5, 127.5]", "[127.5, 127.5, 127]")),
    "std": (CONTRACT, ("[128.0, 128.0, 128.0]", "[128, 128, 127.5]")),
    "embedding size": (CONTRACT, ("size = 128", "size = 64")),
    "normalise": (CONTRACT, ("normalise = true", "normalise = false")),
    "mirror": (CONTRACT, ("normalise = true", "normalise = true, mirror = true")),
    "state": (CONTRACT, ('name = "xiaoccer_mfn"', 'name = "xiaoccer_mfn"\nstate = "ema"')),
    "canvas": (CONTRACT, ("canvas = [112, 112]", "canvas = [112, 113]")),
    "template": (CONTRACT, ("38.2946", "38.2947")),
    "region": (CONTRACT, ("[8, 0, 104, 112]", "[8, 0, 104, 111]")),
    "border": (CONTRACT, (MODE, MODE + '\nborder = "replicate"')),
    "box": (SHORTEST, ("size = 48 }", 'size = 48 }\nface = { mode = "box" }')),
    "margin": (
        SHORTEST.replace("size = 48 }", 'size = 48 }\nface = { mode = "box" }'), ('"box"', '"box", margin = 2')
    ),
    "mode": (SHORTEST, ("size = 48 }", "size = 48 }\n" + ALIGN)),
    "interpolation": (SHORTEST, ("name", 'interpolation = "bicubic"\nname')),
    "padding": (SHORTEST, ("name", "padding = 0.1\nname")),
    "stretch": (SHORTEST, ("name", "stretch = true\nname")),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES_EMBEDDINGS)
def test_digest_changes_with_whatever_changes_embeddings(write, tmp_path, field):
    text, swap, *weights = CHANGES_EMBEDDINGS[field]
    before = digest(read_spec(write(text)))
    if weights:
        (tmp_path / "xiaoccer_mfn.onnx").write_bytes(weights[0])
    assert digest(read_spec(write(text, swap))) != before


@pytest.mark.parametrize(
    "swap",
    [
        ('name = "xiaoccer_mfn"', 'name = "other"'),
        ("none stated", "MIT"),
        ("CASIA-WebFace", "MS1M"),
        ("year = 2018", ""),
        (f'sha256 = "{SHA256}"', ""),
        (SHA256, SHA256.upper()),
        ('colour = "RGB", ', ""),
        ("[127.5, 127.5, 127.5]", "[ 127.50, 127.5, 1275e-1 ]"),
        ("[128.0, 128.0, 128.0]", "[128, 128, 128]"),
        ("[8, 0, 104, 112]", "[8.0, 0.0, 104.0, 112.0]"),
        (MODE, MODE + "\npadding = 0"),
    ],
    ids=lambda swap: swap[1] or f"no {swap[0]}",
)
def test_digest_stays_with_whatever_changes_no_embedding(write, swap):
    assert digest(read_spec(write(CONTRACT, swap))) == digest(read_spec(write(CONTRACT)))


def test_a_byte_order_mark_before_it_is_no_part_of_it(write):
    file = write(CONTRACT)
    before = read_spec(file)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_spec(file) == before


def test_identity_is_of_the_network_whatever_runs_it_and_whatever_it_was_exported_to(write):
    torch = read_spec(write(CONTRACT))
    export = replace(torch, exported_from=torch.digest(SHA256))
    assert torch.identity(SHA256) == export.identity("0" * 64) == torch.digest(SHA256)
    assert torch.identity("0" * 64) != torch.identity(SHA256)
    assert torch.identity(SHA256) != torch.digest(SHA256, "bf16")


def test_digest_does_not_depend_on_where_the_files_lie(write, tmp_path):
    here = digest(read_spec(write(CONTRACT)))
    (tmp_path / "elsewhere").mkdir()
    for name in ("spec.toml", "xiaoccer_mfn.onnx"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert digest(read_spec(tmp_path / "elsewhere" / "spec.toml")) == here
