"""bfloat16 is told from what the processor reports and from what oneDNN and we are told to do without."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecure.kernels import bf16

ZEN3, ZEN5, SAPPHIRE = "fma avx avx2", "avx2 avx512f avx512_vnni avx512_bf16", "avx512f amx_bf16 amx_int8"


@pytest.mark.parametrize(("cpuinfo", "simd", "limit", "has"), [
    (f"processor : 0\nflags\t\t: {ZEN3}\n", "avx2", "", False),
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx512", "", True),
    (f"processor : 0\nflags\t\t: {SAPPHIRE}\n", "avx512", "", True),
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx2", "", False),  # as FACECURE_SIMD=avx2 has it
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx512", "AVX2", False),
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx512", "avx512_core_vnni", False),
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx512", "AVX512_CORE_BF16", True),
    (f"processor : 0\nflags\t\t: {ZEN5}\n", "avx512", "DEFAULT", True),
    ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", "scalar", "", True),
    ("processor\t: 0\nFeatures\t: fp asimd\n", "scalar", "", False),
    ("", "scalar", "", False),
])  # fmt: skip
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_has_bf16(monkeypatch, cpuinfo, simd, limit, has, variable):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, limit)
    monkeypatch.setattr(Path, "read_text", lambda self: cpuinfo)
    monkeypatch.setattr(bf16._core, "build_info", lambda: {"simd": simd})
    assert bf16.has_bf16() is has


def test_without_cpuinfo_nothing_is_promised(monkeypatch):
    def absent(self):
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", absent)
    assert not bf16.has_bf16()
