"""The cloaks' steps on a CUDA device have the bits of those on the CPU; without a device they say so."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure import _core  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.kernels import LowKeyPlanes, dssim_planes, fawkes_step, lowkey_step  # noqa: E402
from facecure.kernels.cloak_steps_cuda import (  # noqa: E402
    DssimSums,
    dssim_planes_cuda,
    fawkes_step_cuda,
    lowkey_step_cuda,
)
from facecure.kernels.device import NoDevice  # noqa: E402

from . import test_fawkes, test_lowkey  # noqa: E402
from .conftest import made  # noqa: E402

DEVICES = _core.cuda_devices()[0]
ON_DEVICE = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICES == 0, reason="no CUDA device is visible, or built without CUDA"),
]
SHAPES = [(0, 20, 20), (1, 11, 11), (7, 45, 70), (2, 112, 112)]


def on_device(job):
    """Return a dataclass of arrays with tensors on the device instead."""
    arrays = {f.name: getattr(job, f.name) for f in fields(job)}
    return replace(job, **{k: torch.from_numpy(v).cuda() for k, v in arrays.items() if isinstance(v, np.ndarray)})


@pytest.mark.skipif(DEVICES > 0, reason="there is a CUDA device")
def test_without_a_device_there_is_no_silent_fallback():
    with pytest.raises(NoDevice):
        DssimSums(torch.zeros(3, 20, 20))
    kind = test_lowkey.KINDS["plain"]
    pictures, views, *_ = map(torch.from_numpy, test_lowkey.started(1, 20, 20, kind))
    with pytest.raises(NoDevice):
        lowkey_step_cuda(LowKeyPlanes(pictures, views, torch.zeros(7), kind), None)


class TestOnADevice:
    pytestmark = ON_DEVICE

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_dssim(self, shape):
        source, d = made(3 * shape[0], *shape[1:])
        value, gradient = dssim_planes(d, source)
        planes = torch.from_numpy(d).cuda()
        found, slope = dssim_planes_cuda(planes, on_device(source), DssimSums(planes))
        np.testing.assert_allclose(found.cpu(), value, rtol=1e-12)  # the order of the sum
        np.testing.assert_array_equal(slope.cpu(), gradient)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("strength", [1e-4, 0.05, 3.0, 40.0])
    @pytest.mark.parametrize("options", [{}, {"kick": 0.01, "forget": True}, {"frozen": True}], ids=str)
    def test_fawkes(self, shape, strength, options):
        planes, source, move = test_fawkes.started(*shape, strength=strength)
        move = replace(move, **options)
        device = on_device(planes)
        sums = DssimSums(device.modifier)
        for step in (None, move, move):
            value = fawkes_step(planes, source, step, 15.0, test_fawkes.EPSILON)
            found = fawkes_step_cuda(
                device, on_device(source), step and on_device(step), 15.0, test_fawkes.EPSILON, sums
            )
            np.testing.assert_allclose(found.cpu(), value, rtol=1e-12)
        for name in test_fawkes.NAMES:
            np.testing.assert_array_equal(getattr(device, name).cpu(), getattr(planes, name), name)

    @pytest.mark.parametrize("kind", test_lowkey.KINDS.values(), ids=test_lowkey.KINDS)
    @pytest.mark.parametrize("shape", [*SHAPES, (1, 4, 4)], ids=str)
    def test_lowkey(self, shape, kind):
        pictures, views, *gradients = test_lowkey.started(*shape, kind)
        planes, move = test_lowkey.planes_of(pictures, views, kind), test_lowkey.moving(*gradients)
        device = on_device(planes)
        lowkey_step(planes, move)
        lowkey_step_cuda(device, on_device(move))
        for name in ("pictures", "views"):
            np.testing.assert_array_equal(getattr(device, name).cpu(), getattr(planes, name))

    def test_what_does_not_fit_is_refused(self):
        planes, source, move = test_fawkes.started(2, 20, 24)
        device, sums = on_device(planes), DssimSums(torch.zeros(6, 20, 24).cuda())
        bad = replace(device, best=device.best.double()), replace(device, best=device.best.cpu())
        for given in (*bad, replace(device, best=device.best.transpose(1, 2))):
            with pytest.raises(InputError, match="contiguous CUDA tensor"):
                fawkes_step_cuda(given, on_device(source), on_device(move), 15.0, test_fawkes.EPSILON, sums)
