"""A ledger knows what is done, whatever an interruption left behind."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from facecure.cloaks.apply.ledger import Ledger
from facecure.errors import InputError

COLUMNS = ["identity", "path", "key", "source_sha256", "sha256", "value"]


def entered(ledger: Ledger, key: str, data: bytes = b"picture") -> None:
    path = Path("cloaked", "Ann", f"{key}.png")
    ledger.write(ledger.folder / path, data)
    digest = hashlib.sha256(data).hexdigest()
    ledger.add({"identity": "Ann", "path": path, "key": key, "source_sha256": "s", "sha256": digest, "value": 0.5})


def test_what_was_entered_is_done(tmp_path):
    ledger = Ledger(tmp_path, {"seed": 0}, COLUMNS)
    entered(ledger, "1")
    for same in (ledger, Ledger(tmp_path, {"seed": 0}, COLUMNS)):
        assert same.is_done("Ann", "1", "s")
        assert not same.is_done("Ann", "1", "other source")
        assert not same.is_done("Ann", "2", "s")
        assert not same.is_done("Bob", "1", "s")


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"pict")])
def test_a_missing_or_damaged_picture_is_not_done(tmp_path, damage):
    ledger = Ledger(tmp_path, {}, COLUMNS)
    entered(ledger, "1")
    damage(tmp_path / "cloaked" / "Ann" / "1.png")
    assert not ledger.is_done("Ann", "1", "s")


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_row_cut_short_counts_for_nothing(tmp_path, cut):
    ledger = Ledger(tmp_path, {}, COLUMNS)
    entered(ledger, "1")
    entered(ledger, "2")
    file = tmp_path / "manifest.csv"
    file.write_bytes(file.read_bytes()[: -len("\r\n") - cut])
    again = Ledger(tmp_path, {}, COLUMNS)
    assert again.is_done("Ann", "1", "s")
    entered(again, "2")
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == ["1", "2"]
    assert all(set(row) == set(COLUMNS) and None not in row.values() for row in rows)


def test_names_with_commas_quotes_and_line_ends_survive(tmp_path):
    ledger = Ledger(tmp_path, {}, COLUMNS)
    key = 'a,"b"\nc'
    entered(ledger, key)
    assert Ledger(tmp_path, {}, COLUMNS).is_done("Ann", key, "s")


def test_finish_sorts_and_states_what_was_left_out(tmp_path):
    ledger = Ledger(tmp_path, {"seed": 3}, COLUMNS)
    for key in ("2", "10", "1"):
        entered(ledger, key)
    ledger.finish([{"path": "x.jpg", "reason": "unreadable"}], {"python": "3"})
    with (tmp_path / "manifest.csv").open(newline="") as stream:
        assert [row["key"] for row in csv.DictReader(stream)] == ["1", "10", "2"]
    stated = json.loads((tmp_path / "cloak.json").read_text())
    assert (stated["seed"], stated["environment"]) == (3, {"python": "3"})
    assert stated["excluded"] == [{"path": "x.jpg", "reason": "unreadable"}]
    assert not list(tmp_path.rglob("*.unfinished"))


def test_other_parameters_are_refused_by_name(tmp_path):
    Ledger(tmp_path, {"seed": 0, "protocol": "a"}, COLUMNS)
    with pytest.raises(InputError, match="another seed"):
        Ledger(tmp_path, {"seed": 1, "protocol": "a"}, COLUMNS)
    (tmp_path / "cloak.json").write_text("{ half")
    with pytest.raises(InputError, match="damaged"):
        Ledger(tmp_path, {"seed": 0, "protocol": "a"}, COLUMNS)


def test_names_that_are_not_utf_8_are_kept_as_text(tmp_path):
    ledger = Ledger(tmp_path, {"targets": "caf\udce9"}, [*COLUMNS, "source"])
    ledger.add({"identity": "Ann", "key": "1", "path": "x", "source_sha256": "s", "sha256": "d", "source": "caf\udce9"})
    ledger.finish([{"path": "caf\udce9", "reason": "unreadable"}], {})
    again = Ledger(tmp_path, {"targets": "caf\udce9"}, [*COLUMNS, "source"])
    assert again.rows["Ann", "1"]["source"] == "caf\\xe9"
    assert json.loads((tmp_path / "cloak.json").read_text(encoding="utf-8"))["excluded"][0]["path"] == "caf\udce9"


def test_rows_of_earlier_versions_with_fewer_columns_count(tmp_path):
    entered(Ledger(tmp_path, {}, COLUMNS), "1")
    later = Ledger(tmp_path, {}, [*COLUMNS, "note"])
    assert later.is_done("Ann", "1", "s")
    assert later.rows["Ann", "1"]["note"] == ""


def test_a_folder_that_cannot_be_written_to_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        Ledger(tmp_path / "file" / "run", {}, COLUMNS)
