"""The documents say what is so: references resolve, examples run, command lines parse."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer

import facecure as fc
from facecure.cli import app
from facecure.extractors.spec import parse_spec

from .test_floors import FLOORS

ROOT = Path(__file__).parents[1]
PROTOCOL = ROOT / "docs" / "protocol.md"
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
CODE = sorted(
    file
    for folder in ("facecure", "csrc", "tests", "bench")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in (".py", ".pyi", ".h", ".cpp", ".cu", ".toml") and file != Path(__file__)
)
FOREIGN = re.compile(r"arXiv|Higham|Nocedal")  # a section of a paper or book that the line names


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def inline_code(begins: str) -> list[str]:
    return [" ".join(code.split()) for code in re.findall(rf"(?<!`)`({begins}[^`]*)`(?!`)", README)]


def cited(pattern: str) -> dict[str, str]:
    """Return what the code cites, and one place of each."""
    places: dict[str, str] = {}
    for file in CODE:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not FOREIGN.search(line):
                places |= {name: f"{file.relative_to(ROOT)}:{number}" for name in re.findall(pattern, line)}
    return places


@pytest.mark.parametrize(
    ("cite", "define"), [(r"§(\d+(?:\.\d+)?)", r"^#+ (\d+(?:\.\d+)?) "), (r"\b(Q\d{1,2})\b", r"^\| (Q\d+) \|")]
)
def test_what_code_cites_is_in_the_protocol(cite, define):
    places, defined = cited(cite), set(re.findall(define, PROTOCOL.read_text(encoding="utf-8"), re.MULTILINE))
    assert places
    assert {name: place for name, place in places.items() if name not in defined} == {}


def test_code_cites_documents_that_are_here():
    """Other projects' documents are cited with their path there."""
    documents = cited(r"(?<![\w/])(docs/[\w.-]+\.md|design\.md|[Ss]pecification §)")
    assert {name: place for name, place in documents.items() if not (ROOT / name).is_file()} == {}


def test_the_protocol_has_all_quirks_and_its_own_references_resolve():
    text = PROTOCOL.read_text(encoding="utf-8")
    assert re.findall(r"^\| (Q\d+) \|", text, re.MULTILINE) == [f"Q{n}" for n in range(1, 34)]
    headings = re.findall(r"^#+ (\d+(?:\.\d+)?) ", text, re.MULTILINE)
    assert {s for s in re.findall(r"§(\d+(?:\.\d+)?)", text) if s not in headings} == set()


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text)
    for path, anchor in links:
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


def test_the_architecture_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))))
    assert {room for rooms in FLOORS for room in rooms} - {"_core"} - named == set()


def test_python_blocks_run(people, make_spec, tmp_path, monkeypatch, capsys):
    """The zoo's weights are not here, so a small extractor stands in for them."""
    pytest.importorskip("pandas")
    make_spec("sface-opencv").parent.rename(tmp_path / "specs")
    make_spec("my_extractor")
    (tmp_path / "extractors").rename(tmp_path / "own")
    people("photos", 4, 6)
    people("cloaked", 1, 6, suffix="_cloaked", shift=0.5)
    monkeypatch.chdir(tmp_path)
    stand_ins = {
        '"sface-opencv"': '"specs/sface-opencv.toml"', '"my_extractor.toml"': '"own/my_extractor.toml"',
        'detector="yunet",': "",
    }  # fmt: skip
    found = blocks("python")
    assert found
    for block in found:
        for name, stand_in in stand_ins.items():
            block = block.replace(name, stand_in)
        exec(compile(block, "README.md", "exec"), {})
    assert "fawkes-v1.0 sface-opencv" in capsys.readouterr().out


@pytest.mark.parametrize("code", inline_code(r"fc\."))
def test_inline_python_fits_the_signatures(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id == "fc"
            assert node.attr in fc.__all__
        called_from_fc = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if called_from_fc and isinstance(node.func.value, ast.Name):
            called = inspect.signature(getattr(fc, node.func.attr))
            given = called.bind(*node.args, **{word.arg: word.value for word in node.keywords})
            assert set(given.arguments) <= set(called.parameters)


def command_lines() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    lines += [line.split(" && ")[-1] for line in lines if " && facecure" in line]
    return [line for line in [*lines, *inline_code("facecure ")] if line.startswith("facecure ")]


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line):
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "COMMAND":
        return
    if "…" in words:  # stands for what the line above it has
        place = words.index("…")
        words[place : place + 1] = ["--clean", "photos/", "--cloaked", "fawkes=cloaks/manifest.csv"]
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.callback is not None, f"{words[0]} is not a command"
    assert command.make_context(line, words).command is command


def test_the_toml_block_is_a_spec(tmp_path):
    (block,) = blocks("toml")
    table = tomllib.loads(block.replace('sha256 = "…"', f'sha256 = "{"0" * 64}"'))
    spec = parse_spec(table, tmp_path)
    assert (spec.name, spec.geometry.mode, spec.embedding_size) == ("my_extractor", "align", 512)


PACKAGE = Path(fc.__file__).parent
EXAMPLES = [file for file in sorted(PACKAGE.rglob("*.py")) if ">>>" in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_docstring_examples_run(file):
    name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    failed, tried = doctest.testmod(import_module(name))
    assert tried
    assert not failed
