"""A run folder agrees on parameters, keeps files whole with their digests, and survives whatever interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.runs.folder import SUMS, RunFolder

PARAMETERS = {"seed": 0, "protocol": "corrected", "cloak": [{"name": "lowkey", "share": 1.0}], "epochs": 10}


def opened(path: Path, *, free=(), **changes) -> RunFolder:
    return RunFolder(path, PARAMETERS | changes, what="cloak", free=free)


def test_what_was_put_is_found_again(tmp_path):
    names = ["a", "cloaked/Ann/1.png", 'with, "quotes"', "two\nlines\r", "back\\slash\\n", "字é", "caf\udce9"]
    with opened(tmp_path) as run:
        assert [run.get(name) for name in names] == [None] * len(names)
        for number, name in enumerate(names):
            run.put(name, bytes([number]) * number)
    for again in (run, opened(tmp_path)):
        assert [again.get(name) for name in names] == [bytes([i]) * i for i in range(len(names))]
        assert again.done("a")
        assert not again.done("b")
        assert again.damaged == []
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=tmp_path, check=True)
    assert not list(tmp_path.rglob("*.unfinished"))


def test_state_is_kept(tmp_path):
    with opened(tmp_path) as run:
        run.state["losses"] = [0.5]
        run.save()
        assert opened(tmp_path).state == {"losses": [0.5]}  # whoever reads needs no lock
        run.state["path"] = "caf\udce9"
    written = json.loads((tmp_path / "cloak.json").read_text(encoding="utf-8"))
    assert written == written | PARAMETERS | {"losses": [0.5], "path": "caf\udce9"}
    with suppress(KeyError), opened(tmp_path) as run:
        run.state["losses"].append(0.25)
        raise KeyError
    assert opened(tmp_path).state["losses"] == [0.5, 0.25]


@pytest.mark.parametrize(("changes", "named"), [
    ({"seed": 1}, "seed"),
    ({"protocol": "facecure-2021", "seed": None}, "seed, protocol"),
    ({"cloak": [{"name": "lowkey", "share": 0.5}]}, "cloak"),
    ({"epochs": 11}, "epochs"),
    ({"new": 1}, "new"),
])  # fmt: skip
def test_other_parameters_are_refused_by_name(tmp_path, changes, named):
    with opened(tmp_path) as run:
        run.put("a", b"a")
    with pytest.raises(InputError) as refused:
        opened(tmp_path, **changes)
    assert str(refused.value) == f"{tmp_path}/cloak.json is of a run with another {named}; name another folder"
    assert opened(tmp_path).get("a") == b"a"


def test_parameters_that_are_no_more_are_another_set(tmp_path):
    with opened(tmp_path):
        pass
    with pytest.raises(InputError, match="with another set of parameters"):
        RunFolder(tmp_path, {"seed": 0}, what="cloak")


def test_free_parameters_may_differ(tmp_path):
    with opened(tmp_path, free=["epochs"]):
        pass
    with opened(tmp_path, free=["epochs"], epochs=(20,)) as run:  # a tuple is read back as a list
        assert run.state == {}
    assert json.loads((tmp_path / "cloak.json").read_text())["epochs"] == [20]
    with pytest.raises(InputError, match="with another seed;"):
        opened(tmp_path, free=["epochs"], epochs=10, seed=1)


@pytest.mark.parametrize("damage", ["{ half", "", "[]", "\xff"])
def test_a_damaged_state_file_is_an_error_naming_it(tmp_path, damage):
    with opened(tmp_path):
        pass
    (tmp_path / "cloak.json").write_bytes(damage.encode("latin-1"))
    with pytest.raises(InputError, match=r"cloak\.json is damaged \(.*\); delete it, or name another folder"):
        opened(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"cont", b"content+", b"Content"])
def test_a_damaged_file_counts_as_nothing_and_is_told(tmp_path, damage):
    with opened(tmp_path) as run:
        run.put("a", b"content")
        (tmp_path / "a").write_bytes(damage)
        assert run.get("a") is None
        assert run.damaged == [tmp_path / "a"]
        run.put("a", b"content")
        assert run.done("a")


def test_what_is_deleted_or_of_somebody_else_is_not_done(tmp_path):
    with opened(tmp_path) as run:
        run.put("a", b"a")
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_bytes(b"b")
    again = opened(tmp_path)
    assert [again.get("a"), again.get("b"), again.damaged] == [None, None, []]


def test_reading_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    assert opened(folder).get("a") is None
    assert not folder.exists()


@pytest.mark.parametrize("cut", [1, 5, 60, 67])
def test_a_line_cut_short_counts_for_nothing(tmp_path, cut):
    with opened(tmp_path) as run:
        run.put("a", b"a")
        run.put("b", b"b")
    sums = tmp_path / SUMS
    sums.write_bytes(sums.read_bytes()[:-cut])
    with opened(tmp_path) as run:
        assert (run.done("a"), run.done("b")) == (True, False)
        run.put("b", b"b")
    assert opened(tmp_path).done("b")


@pytest.mark.parametrize("point", ["before the file", "after the file", "after the digests"])
@pytest.mark.parametrize("before", [None, b"before"])
def test_wherever_a_put_is_interrupted_there_is_the_old_or_the_new(tmp_path, monkeypatch, before, point):
    replace = Path.replace

    def interrupted(self, target):
        if point == "before the file":
            raise KeyboardInterrupt
        replace(self, target)
        if target.name == ("a" if point == "after the file" else SUMS):
            raise KeyboardInterrupt

    with opened(tmp_path) as run:
        if before is not None:
            run.put("a", before)
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(Path, "replace", interrupted)
            run.put("a", b"after")
    with opened(tmp_path) as again:
        assert again.get("a") == (before if point == "before the file" else b"after")
        assert again.damaged == []
        again.put("a", b"later")
    assert opened(tmp_path).get("a") == b"later"
    assert (tmp_path / SUMS).read_bytes().count(b"\n") == 1


def test_a_killed_process_leaves_a_usable_folder(tmp_path):
    code = (
        "import sys, itertools, pathlib, facecure.runs.folder as f\n"
        "with f.RunFolder(pathlib.Path(sys.argv[1]), {}, what='count') as run:\n"
        "    for i in itertools.count():\n"
        "        run.put('same', b'%d;' % i * 5000)\n"
        "        run.put(f'own/{i}', b'%d' % i)\n"
        "        run.state['i'] = i\n"
        "        run.save()\n"
    )
    for more in range(1, 4):
        process = subprocess.Popen([sys.executable, "-P", "-c", code, str(tmp_path)])
        while not (tmp_path / "own" / str(7 * more)).exists():
            time.sleep(0.01)
        with pytest.raises(InputError, match="another process is writing to"), RunFolder(tmp_path, {}, what="count"):
            pass
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with RunFolder(tmp_path, {}, what="count") as run:
            number, _, rest = (run.get("same") or b"").partition(b";")
            assert rest == b"%s;" % number * 4999
            assert int(number) >= run.state["i"] >= 7 * more - 1
            assert all(run.get(f"own/{i}") == b"%d" % i for i in range(int(number)))
            assert run.damaged == []


def test_one_process_at_a_time_is_in_a_folder(tmp_path):
    with opened(tmp_path):
        with pytest.raises(InputError, match=f"another process is writing to {tmp_path}"), opened(tmp_path):
            pass
        assert opened(tmp_path).state == {}
    with opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_to_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/run"), opened(tmp_path / "file" / "run"):
        pass
