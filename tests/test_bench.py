"""Benchmarks: where their results go, and that README's speed table is what these say."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import load_script

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def table():
    return load_script(BENCH / "table.py")


def test_readme_has_the_table_that_the_results_give(table):
    readme = table.README.read_text(encoding="utf-8")
    assert table.with_table(readme) == readme, "run python bench/table.py"


def test_every_result_that_is_not_a_table_of_its_own_is_in_it(table):
    shown = {name for name, *_ in table.LINES} | {"adaptive", "faces.avx2"}
    assert shown == {file.name.removesuffix(".json") for file in (BENCH / "results").glob("*.json")}


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.471e-4, "547 µs"), (0.0130531, "13.1 ms"), (0.19, "190 ms"), (0.4255, "0.43 s"), (1344.97, "1,345 s")],
)
def test_times_have_three_digits(table, value, text):
    assert table.seconds(value) == text


@pytest.mark.parametrize(
    ("masks", "name"),
    [({}, "faces.json"), ({"FACECURE_SIMD": "avx2", "DNNL_MAX_CPU_ISA": "AVX2"}, "faces.avx2.json"),
     ({"DNNL_MAX_CPU_ISA": "AVX2"}, "faces.masked.json")],
)  # fmt: skip
def test_results_under_a_mask_have_a_file_of_their_own(masks, name):
    assert load_script(BENCH / "run.py").results_file("faces", masks).name == name
