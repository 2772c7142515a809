"""What executes an extractor; each runtime is imported when its first extractor is opened."""

from __future__ import annotations

from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec


def open_extractor(spec: ExtractorSpec, *, threads: int = 0) -> FixedBatchExtractor:
    """Return the extractor of a spec: by torch where it names an architecture, else by ONNX Runtime."""
    if spec.architecture is not None:
        from facecure.extractors.runtimes.torch import TorchExtractor

        return TorchExtractor(spec, threads=threads)
    from facecure.extractors.runtimes.onnx import OnnxExtractor

    return OnnxExtractor(spec, threads=threads)
