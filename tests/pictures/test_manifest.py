"""Folders and manifests become samples; whatever is left out is named."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from facecure.errors import InputError, MissingDependency
from facecure.pictures.manifest import read_samples, read_sets


@pytest.fixture
def touch(tmp_path):
    """Return a function that makes empty files below a folder of `tmp_path` and returns that folder."""

    def make(folder: str, *files: str) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for file in files:
            path = tmp_path / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return make


def listed(samples):
    return [(s.identity, s.key) for s in samples]


def left_out(exclusions, root: Path) -> dict[str, str]:
    """Return the first word of the reason per excluded file."""
    return {e.path.relative_to(root).as_posix(): e.reason.split(":")[0] for e in exclusions}


LAYOUTS = {
    "identity_folders": ["Bea/y.png", "Adam/x10.jpg", "Adam/x2.jpg"],
    "facescrub_face_folders": ["Bea/face/y.png", "Adam/face/x10.jpg", "Adam/face/x2.jpg"],
    "mixed": ["Bea/face/y.png", "Adam/x10.jpg", "Adam/x2.jpg"],
    "any_extension": ["Bea/y", "Adam/x10.WEBP", "Adam/x2.None"],
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("role", ["clean", "cloaked", "unprotected", "distractor"])
def test_folders_give_samples_in_order_of_identity_and_name(files, role, touch):
    samples, excluded, warnings = read_samples(touch("people", *files), role, "fawkes")
    assert listed(samples) == [("Adam", "x10"), ("Adam", "x2"), ("Bea", "y")]
    assert {(s.role, s.cloak) for s in samples} == {(role, "fawkes")}
    assert all(s.path.is_file() for s in samples)
    assert (excluded, warnings) == ([], [])


@pytest.mark.parametrize(
    ("role", "suffix"),
    [
        ("clean", ""),
        ("distractor", ""),
        ("cloaked", ""),
        ("cloaked", "_cloaked"),
        ("cloaked", "_high_cloaked"),
        ("cloaked", "_attacked"),
        ("unprotected", "_small"),
    ],
)
def test_flat_facescrub_names_carry_the_identity(role, suffix, touch):
    stems = [f"{name}{suffix}" for name in ("Adam_Sandler_12_10", "Adam_Sandler_1_1", "Bea_3_4")]
    samples, excluded, _ = read_samples(touch("flat", *(f"{stem}.jpeg" for stem in stems)), role, "c")
    assert sorted(listed(samples)) == sorted(zip(["Adam_Sandler", "Adam_Sandler", "Bea"], stems, strict=True))
    assert excluded == []


def test_stray_files_and_sub_folders_are_excluded_by_name(touch):
    root = touch("people", "Adam/x.jpg", "Adam/old/x.jpg", "Bea/face/y.jpg", "Bea/face/deep/y.jpg", "readme.txt",
                 "Adam_1_1_cloaked.png")  # fmt: skip
    samples, excluded, _ = read_samples(root)
    assert listed(samples) == [("Adam", "x"), ("Bea", "y")]
    assert left_out(excluded, root) == {
        "Adam/old": "folder",
        "Bea/face/deep": "folder",
        "readme.txt": "no identity",
        "Adam_1_1_cloaked.png": "no identity",
    }


def test_hidden_files_and_folders_are_no_pictures(touch):
    root = touch("people", "Adam/x.jpg", "Adam/.x.jpg", "Adam/._x.jpg", ".DS_Store", ".git/y.jpg", ".a_1_1.jpg")
    samples, excluded, warnings = read_samples(root)
    assert listed(samples) == [("Adam", "x")]
    assert (excluded, warnings) == ([], [])


def test_full_pictures_beside_face_are_counted_in_a_warning(touch):
    root = touch("people", "Adam/face/x.jpg", "Adam/x.jpg", "Adam/y.jpg", "Adam/.hidden")
    samples, _, warnings = read_samples(root)
    assert [s.path for s in samples] == [root / "Adam/face/x.jpg"]
    assert len(warnings) == 1
    assert str(root / "Adam") in warnings[0]
    assert "2 " in warnings[0]


def test_a_folder_beside_face_is_not_passed_over_in_silence(touch):
    root = touch("people", "Adam/face/x.jpg", "Adam/more/y.jpg")
    _, excluded, warnings = read_samples(root)
    assert any("more" in note for note in [*warnings, *(str(e.path) for e in excluded)])


@pytest.mark.parametrize("files", [[], [".hidden"], ["Adam/.hidden"], ["Adam/deep/x.jpg"], ["readme.txt"]], ids=str)
def test_a_folder_without_pictures_is_an_error(files, touch):
    root = touch("empty", *files)
    with pytest.raises(InputError, match="empty holds no"):
        read_samples(root)


def test_a_source_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder or manifest"):
        read_samples(tmp_path / "nowhere")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms_are_one_spelling(form, touch):
    name, picture = "Stellan_Skarsgård", "été"
    root = touch("people", unicodedata.normalize(form, f"{name}/{picture}.jpg"))
    flat = touch("flat", unicodedata.normalize(form, f"{name}_1_2.jpg"))
    assert listed(read_samples(root)[0]) == [(name, picture)]
    assert listed(read_samples(flat)[0]) == [(name, f"{name}_1_2")]


def test_row_order_does_not_depend_on_the_unicode_form(touch):
    files = ["Åsa/zebra.jpg", "Åsa/été.jpg", "Åsa/ete.jpg", "Zoe/x.jpg"]
    roots = [touch(form, *(unicodedata.normalize(form, file) for file in files)) for form in ("NFC", "NFD")]
    composed, decomposed = (listed(read_samples(root)[0]) for root in roots)
    assert composed == decomposed


@pytest.mark.parametrize(("clean", "cloaked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_pair(clean, cloaked, touch):
    file = "Skarsgård/été"
    sets = read_sets(
        touch("clean", unicodedata.normalize(clean, f"{file}.jpg")),
        {"f": touch("cloaked", unicodedata.normalize(cloaked, f"{file}_cloaked.png"))},
        {},
        [],
    )
    assert [(s.role, s.identity, s.key) for s in sets.samples] == [
        ("clean", "Skarsgård", "été"),
        ("cloaked", "Skarsgård", "été"),
    ]


def write(folder: Path, header: list[str], rows: list[list], suffix: str = ".csv") -> Path:
    file = folder / f"people{suffix}"
    if suffix == ".parquet":
        columns = zip(*rows, strict=True) if rows else [[] for _ in header]
        parquet.write_table(pa.table({name: list(c) for name, c in zip(header, columns, strict=True)}), file)
    else:
        file.write_text("".join(",".join(map(str, row)) + "\n" for row in [header, *rows]), encoding="utf-8")
    return file


TABLES = pytest.mark.parametrize("suffix", [".csv", ".parquet"])


@TABLES
def test_manifest_paths_are_relative_to_it_and_keys_default_to_stems(suffix, tmp_path):
    rows = [["Bea", "b/y.png", ""], ["Adam", "x.jpg", "first"], ["Adam", str(tmp_path / "a.b.jpg"), ""]]
    samples, excluded, warnings = read_samples(write(tmp_path, ["identity", "path", "key"], rows, suffix), "clean")
    assert [(s.identity, s.path, s.key) for s in samples] == [
        ("Adam", tmp_path / "a.b.jpg", "a.b"),
        ("Adam", tmp_path / "x.jpg", "first"),
        ("Bea", tmp_path / "b" / "y.png", "y"),
    ]
    assert (excluded, warnings) == ([], [])


@TABLES
def test_manifest_columns_may_come_in_any_order_with_others_beside(suffix, tmp_path):
    file = write(tmp_path, ["split", "path", "identity"], [["train", "x.jpg", "Adam"]], suffix)
    assert listed(read_samples(file)[0]) == [("Adam", "x")]


def test_csv_may_have_a_byte_order_mark_quotes_and_windows_lines(tmp_path):
    file = tmp_path / "people.csv"
    file.write_bytes('\ufeffidentity,path\r\n"Downey, Robert",x.jpg\r\nÅsa,y.jpg\r\n'.encode())
    assert listed(read_samples(file)[0]) == [("Downey, Robert", "x"), ("Åsa", "y")]


def test_manifest_names_are_normalised(tmp_path):
    rows = [[unicodedata.normalize("NFD", "Åsa"), unicodedata.normalize("NFD", "été.jpg")]]
    assert listed(read_samples(write(tmp_path, ["identity", "path"], rows))[0]) == [("Åsa", "été")]


def test_numbers_are_identities_too(tmp_path):
    rows = [[10575, "x.jpg"], [0, "y.jpg"]]
    for suffix in (".csv", ".parquet"):
        samples = read_samples(write(tmp_path, ["identity", "path"], rows, suffix))[0]
        assert listed(samples) == [("0", "y"), ("10575", "x")], suffix


@pytest.mark.parametrize(
    ("header", "rows", "csv_row"),
    [
        (["identity", "path"], [["Adam", "x.jpg"], ["", "y.jpg"]], 3),
        (["identity", "path"], [["Adam", "x.jpg"], ["Adam", "y.jpg"], ["Adam", ""]], 4),
    ],
)
@TABLES
def test_missing_values_are_an_error_that_names_file_and_row(header, rows, csv_row, suffix, tmp_path):
    file = write(tmp_path, header, rows, suffix)
    row = csv_row if suffix == ".csv" else csv_row - 1
    with pytest.raises(InputError, match=rf"people{suffix}, row {row}: .*identity and path"):
        read_samples(file)


@pytest.mark.parametrize("header", [["name", "path"], ["identity", "file"], ["Identity", "Path"]])
@TABLES
def test_missing_columns_are_an_error_that_names_those_found(header, suffix, tmp_path):
    file = write(tmp_path, header, [["Adam", "x.jpg"]], suffix)
    with pytest.raises(InputError, match=rf"people{suffix} has the columns {', '.join(header)}; a"):
        read_samples(file)


def test_another_separator_is_seen_in_the_columns_found(tmp_path):
    (tmp_path / "people.csv").write_text("identity;path\nAdam;x.jpg\n")
    with pytest.raises(InputError, match=r"has the columns identity;path; .* separated by commas"):
        read_samples(tmp_path / "people.csv")


def test_the_row_named_is_the_line_of_the_file(tmp_path):
    (tmp_path / "people.csv").write_text("identity,path\nAdam,x.jpg\n\nAdam\n")
    with pytest.raises(InputError, match="row 4"):
        read_samples(tmp_path / "people.csv")


@TABLES
def test_a_manifest_without_rows_is_an_error(suffix, tmp_path):
    file = write(tmp_path, ["identity", "path"], [], suffix)
    with pytest.raises(InputError, match=rf"people{suffix} has no rows"):
        read_samples(file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("latin.csv", "identity,path\nÅsa,x.jpg\n".encode("latin-1")),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("empty.parquet", b""),
        ("text.parquet", b"identity,path\nAdam,x.jpg\n"),
    ],
)
def test_a_file_that_is_no_manifest_is_an_error_naming_it(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_samples(tmp_path / name)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    file = write(tmp_path, ["identity", "path"], [["Adam", "x.jpg"]], ".parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r"facecure\[parquet\]"):
        read_samples(file)


def test_a_missing_file_stays_a_sample_until_it_is_opened(tmp_path):
    file = write(tmp_path, ["identity", "path"], [["Adam", "not/there.jpg"]])
    assert [s.path for s in read_samples(file)[0]] == [tmp_path / "not" / "there.jpg"]


def test_sets_hold_all_roles_and_what_was_left_out(touch):
    clean = touch("clean", "Adam/x.jpg", "Adam/y.jpg", "Bea/z.jpg", "stray.txt")
    small = touch("small", "Adam/x_small.png")
    attacked = touch("attacked", "Adam/x_attacked.png", "Bea/other_attacked.png")
    sets = read_sets(clean, {"lowkey": attacked}, {"lowkey": small}, [touch("more", "Carl/x.jpg", "Bea/z.jpg")])
    assert [(s.role, s.cloak, s.identity, s.key) for s in sets.samples] == [
        ("clean", "", "Adam", "x"),
        ("clean", "", "Adam", "y"),
        ("clean", "", "Bea", "z"),
        ("unprotected", "lowkey", "Adam", "x"),
        ("cloaked", "lowkey", "Adam", "x"),
        ("distractor", "", "Carl", "x"),
    ]
    assert left_out(sets.excluded, clean.parent) == {
        "clean/stray.txt": "no identity",
        "attacked/Bea/other_attacked.png": "unpaired",
        "more/Bea/z.jpg": "distractor",
    }
    assert sets.warnings == ()


def test_a_distractor_in_another_unicode_form_is_still_the_clean_identity(touch):
    clean = touch("clean", unicodedata.normalize("NFC", "Åsa/x.jpg"))
    more = touch("more", unicodedata.normalize("NFD", "Åsa/y.jpg"), "Bea/y.jpg")
    sets = read_sets(clean, {}, {}, [more])
    assert [(s.role, s.identity) for s in sets.samples] == [("clean", "Åsa"), ("distractor", "Bea")]
    assert [e.reason.split(":")[0] for e in sets.excluded] == ["distractor"]


def test_warnings_of_every_source_are_kept(touch):
    clean = touch("clean", "Adam/face/x.jpg", "Adam/x.jpg")
    more = touch("more", "Bea/face/x.jpg", "Bea/x.jpg")
    assert [w.split(":")[0] for w in read_sets(clean, {}, {}, [more]).warnings] == [
        str(clean / "Adam"),
        str(more / "Bea"),
    ]


def test_unprotected_without_its_cloak_is_an_error(touch):
    clean = touch("clean", "Adam/x.jpg")
    with pytest.raises(InputError, match="unprotected has 'lowkey', which cloaked has not"):
        read_sets(clean, {"fawkes": clean}, {"lowkey": clean}, [])


def test_a_cloak_folder_that_pairs_with_nothing_is_an_error_with_its_own_reasons(touch):
    clean = touch("clean", "Adam/x.jpg", "stray1.txt", "stray2.txt", "stray3.txt")
    with pytest.raises(InputError, match=r"cloaked pairs with one of .*unpaired: 'Adam' has no clean picture"):
        read_sets(clean, {"fawkes": touch("cloaked", "Adam/y_cloaked.png")}, {}, [])


def test_an_unprotected_folder_that_pairs_with_nothing_is_an_error(touch):
    clean, cloaked = touch("clean", "Adam/x.jpg"), touch("cloaked", "Adam/x_attacked.png")
    with pytest.raises(InputError, match="small"):
        read_sets(clean, {"lowkey": cloaked}, {"lowkey": touch("small", "Adam/y_small.png")}, [])


@pytest.mark.parametrize("part", ["clean", "cloaked", "unprotected", "distractors"])
def test_an_empty_part_is_an_error(part, touch):
    full, empty = touch("full", "Adam/x.jpg"), touch("empty")
    parts = {"clean": full, "cloaked": {"c": full}, "unprotected": {"c": full}, "distractors": [full]}
    parts[part] = empty if part == "clean" else [empty] if part == "distractors" else {"c": empty}
    with pytest.raises(InputError, match="empty holds no"):
        read_sets(**parts)


def refuse(monkeypatch, *folders: Path) -> None:
    """Let folders be listed no more, as for somebody who may not; these tests may run as root, who may."""
    real = Path.iterdir

    def iterdir(self):
        if self in folders:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)


@pytest.mark.parametrize("inner", ["Bea", "Bea/face"])
def test_a_folder_that_may_not_be_read_is_listed(inner, touch, monkeypatch):
    root = touch("people", "Adam/x.jpg", f"{inner}/y.jpg", "Carl/z.jpg")
    before = [s for s in read_samples(root)[0] if s.identity != "Bea"]
    refuse(monkeypatch, root / inner)
    samples, excluded, _ = read_samples(root)
    assert samples == before
    assert [(e.path, e.reason) for e in excluded] == [(root / "Bea", "unreadable: Permission denied")]


def test_a_source_that_may_not_be_read_is_an_error_naming_it(touch, monkeypatch):
    root = touch("people", "Adam/x.jpg")
    refuse(monkeypatch, root / "Adam")
    with pytest.raises(InputError, match=r"people holds no .*Adam: unreadable: Permission denied"):
        read_samples(root)
    refuse(monkeypatch, root)
    with pytest.raises(InputError, match="people: Permission denied; give access to it"):
        read_samples(root)


def test_a_manifest_that_may_not_be_read_is_an_error_naming_it(touch, monkeypatch):
    def refused(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    file = touch("lists", "people.csv") / "people.csv"
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"people.csv: Permission denied"):
        read_samples(file)


def test_names_that_are_not_utf_8_become_text_that_pairs(tmp_path):
    clean, cloaked = tmp_path / "clean", tmp_path / "cloaked"
    for folder, name in ((clean, b"caf\xe9.jpg"), (cloaked, b"caf\xe9_cloaked.png")):
        person = Path(os.fsdecode(os.fsencode(folder) + b"/Zo\xeb"))
        person.mkdir(parents=True)
        Path(os.fsdecode(os.fsencode(person) + b"/" + name)).touch()
    sets = read_sets(clean, {"f": cloaked}, {}, [])
    assert [(s.role, s.identity, s.key) for s in sets.samples] == [
        ("clean", "Zo\\xeb", "caf\\xe9"),
        ("cloaked", "Zo\\xeb", "caf\\xe9"),
    ]
    assert all(s.path.is_file() for s in sets.samples)
