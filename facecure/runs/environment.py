"""What ran: versions, processor, build; for reports and `facecure info`."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from facecure import _core
from facecure.kernels.bf16 import has_bf16
from facecure.threads import thread_budget

EXTRAS = {
    "cpu": ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "safetensors", "faiss-cpu"),
    "gpu": ("torch", "onnx", "onnxscript", "onnxruntime-gpu", "safetensors", "faiss-gpu"),
    "tensorrt": ("tensorrt",),
    "report": ("pandas",),
    "convert": ("h5py",),
    "linear": ("scikit-learn",),
    "heif": ("pillow-heif",),
    "parquet": ("pyarrow",),
}
# Variables by which the libraries below, and the kernels, are held to less than the processor has.
_MASKS = (
    "FACECURE_SIMD", "ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE"
)  # fmt: skip
_BASE = ("facecure", "numpy", "pillow", "opencv-python-headless")


def version_of(package: str) -> str | None:
    """Return the installed version of a distribution, None where it is not installed. Imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Return the versions, processor and build that a report states."""
    build = _core.build_info()
    budget = thread_budget()
    packages = (*_BASE, *dict.fromkeys(p for group in EXTRAS.values() for p in group))
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_info("model name") or platform.processor() or "unknown",
        "cpu_simd": _simd(build),
        "cpu_bf16": has_bf16(),
        "cpu_masks": {name: os.environ[name] for name in _MASKS if os.environ.get(name, "auto") not in ("", "auto")},
        "cpu_flags": _cpu_flags(),
        "threads": budget.threads,
        "threads_by": budget.why,
        "openmp": build["openmp"],
        "cuda_built": build["cuda"],  # the devices are `info`'s to ask for: that starts the driver
        "commit": build["commit"] or "unknown",
        "versions": {package: found for package in packages if (found := version_of(package))},
    }


def _simd(build: dict[str, Any]) -> str:
    """Return the instruction sets of the kernels and of the scan, and who chose where it is not simply the best one."""
    chosen = "" if build["simd_asked"] == "auto" else f" (FACECURE_SIMD={build['simd_asked']})"
    return f"{build['simd']}, scan in {build['scan']}{chosen}"


def _cpu_flags() -> tuple[str, ...]:
    """Return the vector instruction sets that the processor reports."""
    return tuple(flag for flag in _cpu_info("flags").split() if flag.startswith(("sse4", "avx", "fma", "f16c", "amx")))


def _cpu_info(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
