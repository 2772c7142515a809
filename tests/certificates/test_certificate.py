"""A certificate says the same after JSON, allows what its bounds allow, and is read by its own version alone."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan

import pytest

from facecure.certificates.certificate import MOST_ERROR, SCHEMA, Bounds, from_json
from facecure.certificates.compare import Shift
from facecure.errors import InputError

from .examples import CERTIFICATE, with_differences


def test_json_gives_the_same_back():
    assert from_json(CERTIFICATE.to_json()) == CERTIFICATE
    stated = json.loads(CERTIFICATE.to_json())
    assert (stated["schema"], stated["certified"]) == (SCHEMA, True)
    assert stated["differences"]["protected"]["lowkey"] == {"probes": 40, "reference": 10, "here": 12}


@pytest.mark.parametrize(("bounds", "changed", "error", "certified"), [
    (Bounds(), 0, 0.0, True),
    (Bounds(), 1, 0.0, False),
    (Bounds(1), 1, 1.0, True),
    (Bounds(0, 1e-4), 0, 1e-4, True),
    (Bounds(0, 1e-4), 0, 1.01e-4, False),
    (Bounds(0, 1e-4), 0, float("nan"), False),
    (Bounds(9, 0.0), 0, 1e-9, False),
])  # fmt: skip
def test_no_more_than_the_bounds_may_change(bounds, changed, error, certified):
    certificate = with_differences(changed=changed, error={"1.0": error})
    assert replace(certificate, bounds=bounds).certified is certified


def test_a_precision_has_its_own_bound_unless_one_is_asked_for():
    for precision, most in MOST_ERROR.items():
        assert Bounds(3).of(precision) == Bounds(3, most)
        assert Bounds(3, 0.5).of(precision) == Bounds(3, 0.5)
    assert MOST_ERROR["int8"] > MOST_ERROR["fp32"]


def test_rates_and_shifts_come_from_counts():
    assert (Shift(40, 10, 12).rate, Shift(40, 10, 12).shift) == (0.25, 0.05)
    assert isnan(Shift(0, 0, 0).rate)
    assert isnan(Shift(0, 0, 0).shift)
    assert CERTIFICATE.speed.gain == 2.5


def changed(**changes) -> str:
    return json.dumps(json.loads(CERTIFICATE.to_json()) | changes)


@pytest.mark.parametrize(("text", "says"), [
    ("", "is not a certificate"),
    ("[]", "is not a certificate"),
    ("{}", "has the schema None"),
    (changed(schema="facecure.certificate/2"), "has the schema 'facecure.certificate/2', this version reads"),
    (changed(differences={}), "is not a certificate"),
    (changed(faces=None), "is not a certificate"),
    (changed(more=1), "is not a certificate: TypeError"),
])  # fmt: skip
def test_what_is_not_a_certificate_of_this_version_is_an_error(text, says):
    with pytest.raises(InputError, match=says):
        from_json(text)
