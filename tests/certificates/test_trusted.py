"""The fastest certificate that fits what is here is chosen by; of those not trusted it is said how to certify again."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("openvino")

from facecure.certificates.certificate import Speed
from facecure.certificates.trusted import Certificates
from facecure.runs.folder import RunFolder

from .examples import CERTIFICATE, with_differences


@pytest.fixture
def folder(tmp_path):
    with RunFolder(tmp_path, {"extractor": "plain"}, what="exports") as run:
        yield run


def present(runtime, precision):
    """The SHA-256 of the export of CERTIFICATE, whatever the runtime."""
    return CERTIFICATE.export_sha256


def of(runtime, gain, **changes):
    return replace(CERTIFICATE, runtime=runtime, speed=Speed(100.0, 100.0 * gain, 8), **changes)


def test_the_fastest_comes_first_and_the_slow_not_at_all(folder):
    certificates = Certificates(folder, "plain")
    given = [of("openvino", 2.0), of("onnx", 3.0), of("torch", 1.0), of("openvino", 0.5, precision="int8")]
    for certificate in given:
        assert certificates.put(certificate).is_file()
    assert certificates.trusted("cpu", present) == ([given[1], given[0]], [])
    assert certificates.trusted("cuda", present) == ([], [])


@pytest.mark.parametrize("other", [with_differences(changed=3), replace(CERTIFICATE, export_sha256="1" * 64)])
def test_what_is_refused_or_of_another_export_is_not_chosen(folder, other):
    certificates = Certificates(folder, "plain")
    certificates.put(other)
    assert certificates.trusted("cpu", present) == ([], [])


@pytest.mark.parametrize("environment", [{"cpu_simd": "sse2"}, {"cpu_bf16": None}, {"cpu_simd": None}])
def test_another_kind_of_processor_is_named(folder, environment):
    here = CERTIFICATE.environment | {"cpu_bf16": True}
    certificates = Certificates(folder, "plain")
    certificates.put(replace(CERTIFICATE, environment=here | environment))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("facecure.certificates.trusted.environment", lambda: here)
        trusted, (remark,) = certificates.trusted("cpu", present)
    assert trusted == []
    assert remark.startswith("openvino fp32 was certified on another kind of processor (")
    assert here["cpu_simd"] in remark
    assert remark.endswith("certify again with facecure certify plain --faces DIR --runtimes openvino:fp32")


@pytest.mark.parametrize("text", ["{", '{"certified": true}', "changed"])
def test_certificates_of_another_version_or_changed_ones_are_not_trusted_and_named(folder, text):
    certificates = Certificates(folder, "plain")
    file = certificates.put(CERTIFICATE)
    if text == "changed":
        file.write_text(file.read_text().replace('"changed": 2', '"changed": 0'))
    else:
        folder.put(file.name, text)
    trusted, (remark,) = certificates.trusted("cpu", present)
    assert trusted == []
    assert remark.startswith("openvino fp32 has a certificate of another version of facecure, or one that was changed")
    assert "certify again with facecure certify plain --faces DIR --runtimes openvino:fp32" in remark


def test_a_certificate_that_was_not_put_here_is_not_trusted(folder):
    file = Certificates(folder, "plain").put(CERTIFICATE)
    folder.path.joinpath("SHA256SUMS").unlink()
    again = RunFolder(folder.path, {"extractor": "plain"}, what="exports")
    assert file.is_file()
    trusted, remarks = Certificates(again, "plain").trusted("cpu", present)
    assert (trusted, len(remarks)) == ([], 1)
