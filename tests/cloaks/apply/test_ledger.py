"""A ledger knows what is done, whatever an interruption left behind."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from facecure.cloaks.apply.ledger import Ledger
from facecure.errors import InputError
from facecure.runs.folder import RunFolder

COLUMNS = ["identity", "path", "key", "source_sha256", "sha256", "value"]


def opened(folder: Path, columns=COLUMNS, **parameters) -> Ledger:
    """Return the ledger of a folder whose lock is given back at once, as of a process that is killed."""
    with RunFolder(folder, parameters, what="cloak") as run:
        return Ledger(run, columns)


def entered(ledger: Ledger, key: str, data: bytes = b"picture") -> None:
    path = Path("cloaked", "Ann", f"{key}.png")
    ledger.write(path, data)
    digest = hashlib.sha256(data).hexdigest()
    ledger.add({"identity": "Ann", "path": path, "key": key, "source_sha256": "s", "sha256": digest, "value": 0.5})


def test_what_was_entered_is_done(tmp_path):
    ledger = opened(tmp_path, seed=0)
    entered(ledger, "1")
    for same in (ledger, opened(tmp_path, seed=0)):
        assert same.is_done("Ann", "1", "s")
        assert not same.is_done("Ann", "1", "other source")
        assert not same.is_done("Ann", "2", "s")
        assert not same.is_done("Bob", "1", "s")


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"pict")])
def test_a_missing_or_damaged_picture_is_not_done(tmp_path, damage):
    ledger = opened(tmp_path)
    entered(ledger, "1")
    damage(tmp_path / "cloaked" / "Ann" / "1.png")
    assert not ledger.is_done("Ann", "1", "s")


def test_a_picture_of_another_source_than_its_row_says_is_not_done(tmp_path):
    ledger = opened(tmp_path)
    entered(ledger, "1")
    ledger.write(Path("cloaked", "Ann", "1.png"), b"of another source, and killed before its row")
    assert not opened(tmp_path).is_done("Ann", "1", "s")


def test_the_clean_face_belongs_to_what_is_done(tmp_path):
    with RunFolder(tmp_path, {}, what="cloak") as run:
        ledger = Ledger(run, [*COLUMNS, "clean"])
        for path in (Path("clean.png"), Path("cloaked.png")):
            ledger.write(path, b"x")
        digest = hashlib.sha256(b"x").hexdigest()
        ledger.add(
            {"identity": "Ann", "key": "1", "path": "cloaked.png", "source_sha256": "s", "sha256": digest,
             "clean": "clean.png"}
        )  # fmt: skip
        assert ledger.is_done("Ann", "1", "s")
        (tmp_path / "clean.png").write_bytes(b"y")
        assert not ledger.is_done("Ann", "1", "s")
        assert run.damaged == [tmp_path / "clean.png"]


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_row_cut_short_counts_for_nothing(tmp_path, cut):
    ledger = opened(tmp_path)
    entered(ledger, "1")
    entered(ledger, "2")
    file = tmp_path / "manifest.csv"
    file.write_bytes(file.read_bytes()[: -len("\r\n") - cut])
    again = opened(tmp_path)
    assert again.is_done("Ann", "1", "s")
    entered(again, "2")
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == ["1", "2"]
    assert all(set(row) == set(COLUMNS) and None not in row.values() for row in rows)


def test_names_with_commas_quotes_and_line_ends_survive(tmp_path):
    ledger = opened(tmp_path)
    key = 'a,"b"\nc'
    entered(ledger, key)
    assert opened(tmp_path).is_done("Ann", key, "s")


def test_finish_sorts_and_states_what_was_left_out(tmp_path):
    ledger = opened(tmp_path, seed=3)
    for key in ("2", "10", "1"):
        entered(ledger, key)
    ledger.finish([{"path": "x.jpg", "reason": "unreadable"}], {"python": "3"})
    with (tmp_path / "manifest.csv").open(newline="") as stream:
        assert [row["key"] for row in csv.DictReader(stream)] == ["1", "10", "2"]
    stated = json.loads((tmp_path / "cloak.json").read_text())
    assert (stated["seed"], stated["environment"]) == (3, {"python": "3"})
    assert stated["excluded"] == [{"path": "x.jpg", "reason": "unreadable"}]
    assert not list(tmp_path.rglob("*.unfinished"))


def test_names_that_are_not_utf_8_are_kept_as_text(tmp_path):
    ledger = opened(tmp_path, [*COLUMNS, "source"], targets="caf\udce9")
    ledger.add({"identity": "Ann", "key": "1", "path": "x", "source_sha256": "s", "sha256": "d", "source": "caf\udce9"})
    ledger.finish([{"path": "caf\udce9", "reason": "unreadable"}], {})
    again = opened(tmp_path, [*COLUMNS, "source"], targets="caf\udce9")
    assert again.rows["Ann", "1"]["source"] == "caf\\xe9"
    assert json.loads((tmp_path / "cloak.json").read_text(encoding="utf-8"))["excluded"][0]["path"] == "caf\udce9"


def test_rows_of_earlier_versions_with_fewer_columns_count(tmp_path):
    entered(opened(tmp_path), "1")
    later = opened(tmp_path, [*COLUMNS, "note"])
    assert later.is_done("Ann", "1", "s")
    assert later.rows["Ann", "1"]["note"] == ""


def test_a_folder_that_cannot_be_written_to_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        opened(tmp_path / "file" / "run")
