"""The certificates in a folder of exports, and which of them a runtime may be chosen by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from facecure.certificates.certificate import Certificate, from_json, processor
from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.runtimes import RUNTIMES, runtime_class
from facecure.runs.environment import environment
from facecure.runs.folder import RunFolder


class Certificates:
    """The certificates of the extractor called `extractor`, one per runtime, precision and kind of device."""

    def __init__(self, folder: RunFolder, extractor: str) -> None:
        self._folder, self._extractor = folder, extractor

    def put(self, certificate: Certificate) -> Path:
        """Return the file of a certificate, written."""
        name = _name(certificate.runtime, certificate.precision, certificate.device)
        self._folder.put(name, certificate.to_json())
        return self._folder.path / name

    def trusted(
        self, device: str, export_sha256: Callable[[str, Precision], str | None]
    ) -> tuple[list[Certificate], list[str]]:
        """Return the certificates of the present exports on a kind of device, the fastest first, and remarks on others.

        What was slower than the reference (the default runtime in float32, measured beside it) is left out. A
        certificate that is not trusted has a remark that says why, and how to certify again: it is of another version,
        was changed, or, on a CPU, is of another kind of processor (other vector instructions, or bfloat16).
        `export_sha256` returns the digest of the present export of a runtime and precision.
        """
        here = processor(environment())
        trusted, remarks = [], []
        for runtime in RUNTIMES:
            for precision in runtime_class(runtime).precisions:
                name = _name(runtime, precision, device)
                if not (self._folder.path / name).is_file():
                    continue
                certificate = self._read(name)
                if certificate is None:
                    why = "has a certificate of another version of facecure, or one that was changed"
                elif not certificate.certified or certificate.export_sha256 != export_sha256(runtime, precision):
                    continue
                elif device == "cpu" and certificate.processor != here:
                    why = f"was certified on another kind of processor ({certificate.processor}; here {here})"
                else:
                    trusted.append(certificate)
                    continue
                there = "" if device == "cpu" else f" --device {device}"
                remarks.append(
                    f"{runtime} {precision} {why}: certify again with facecure certify {self._extractor} --faces DIR "
                    f"--runtimes {runtime}:{precision}{there}"
                )
        fastest = sorted(trusted, key=lambda certificate: -certificate.speed.gain)
        return [certificate for certificate in fastest if certificate.speed.gain > 1], remarks

    def _read(self, name: str) -> Certificate | None:
        """Return a certificate that this version wrote; None for any other."""
        text = self._folder.get(name)
        try:
            return None if text is None else from_json(text.decode())
        except InputError:
            return None


def _name(runtime: str, precision: Precision, device: str) -> str:
    return f"certificate-{runtime}-{precision}-{device}.json"
