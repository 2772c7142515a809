"""Device arrays are found where they lie; the CUDA twin has the bits of the CPU kernel; without a device it says so."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import _core
from facecure.errors import InputError
from facecure.kernels import Normalise, warp_faces_numpy
from facecure.kernels.device import NoDevice, view
from facecure.kernels.warp_cuda import warp_faces_cuda

from .stand_ins import interfaced

DEVICES = _core.cuda_devices()[0]
CPU = 1  # DLPack's number
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 23, 31, 3), np.uint8)
MATRICES = np.array(
    [[[0.9, -0.3, 4.0], [0.3, 0.9, 2.0]], [[1, 0, 0.5], [0, 1, 0.5]], [[9e299, 0, 0], [0, 9e299, 0]],
     [[1e-300, 0, 11.25], [0, 1e-300, 9.75]], [[-1, 0, 31], [0, 1, -1e9]]]
)  # fmt: skip
NORMALISE = Normalise([123.7, 116.3, 103.5], [58.4, -57.1, 57.4], "BGR")


class TestView:
    @pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
    @pytest.mark.parametrize("shape", [(0, 3), (1,), (2, 3, 4)], ids=str)
    def test_by_dlpack(self, shape, kind):
        array = np.zeros(shape, kind)
        found = view(array, 0, CPU)
        assert (found.shape, found.kind) == (shape, kind)
        assert not array.size or found.address == array.ctypes.data

    def test_an_offset_counts(self):
        array = np.zeros((4, 3), np.float32)
        assert view(array[2:], 0, CPU).address == array.ctypes.data + 24

    def test_bfloat16(self):
        torch = pytest.importorskip("torch")
        tensor = torch.zeros((2, 3), dtype=torch.bfloat16)
        assert (view(tensor, 0, CPU).address, view(tensor, 0, CPU).kind) == (tensor.data_ptr(), "bfloat16")

    def test_by_interface(self, two_devices):
        found = view(interfaced((2, 3), "<f4", strides=(12, 4)), 7)
        assert (found.address, found.shape, found.kind, found.readonly) == (4096, (2, 3), "float32", False)
        assert view(interfaced((2, 3), "<f4", data=(4096, True)), 7).readonly

    @pytest.mark.parametrize(
        ("array", "says"),
        [
            (np.zeros((4, 6), np.float32)[:, ::2], "not contiguous"),
            (np.zeros((4, 6), np.float32).T, "not contiguous"),
            (np.zeros(3, np.int16), "16 bits"),
            ([1, 2], "not a device array"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, array, says):
        with pytest.raises(InputError, match=says):
            view(array, 0, CPU)

    def test_a_used_capsule_is_refused(self):
        capsule = np.zeros(3).__dlpack__()
        assert _core.dlpack_view(capsule)[1] == [3]
        with pytest.raises((ValueError, TypeError)):
            _core.dlpack_view(object())


@pytest.mark.skipif(DEVICES > 0, reason="there is a CUDA device")
def test_without_a_device_there_is_no_silent_fallback():
    with pytest.raises(NoDevice):
        warp_faces_cuda(PICTURES, MATRICES, PICTURES, stream=0)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICES == 0, reason="no CUDA device is visible, or built without CUDA")
@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize("size", [(1, 1), (33, 21), (112, 112)], ids=str)
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "bfloat16"])
def test_the_device_has_the_twins_bits(kind, layout, several, size, border):
    torch = pytest.importorskip("torch")
    options = {} if kind == "uint8" else {"normalise": NORMALISE}
    dtype = {"dtype": kind} if kind == "bfloat16" else {}
    pictures = PICTURES if several else PICTURES[0]
    expected = warp_faces_numpy(pictures, MATRICES, size, border=border, layout=layout, **options, **dtype)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        out = torch.zeros(expected.shape, dtype=getattr(torch, kind), device="cuda")
        given = torch.from_numpy(pictures).cuda(), torch.from_numpy(MATRICES).cuda()
        warp_faces_cuda(*given, out, stream=stream.cuda_stream, border=border, layout=layout, **options)
    stream.synchronize()
    found = (out.view(torch.int16) if kind == "bfloat16" else out).cpu().numpy()
    np.testing.assert_array_equal(found.view(expected.dtype), expected)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICES == 0, reason="no CUDA device is visible, or built without CUDA")
def test_what_does_not_fit_is_refused():
    torch = pytest.importorskip("torch")
    pictures, matrices = torch.from_numpy(PICTURES).cuda(), torch.from_numpy(MATRICES).cuda()
    out = torch.zeros((5, 8, 8, 3), dtype=torch.uint8, device="cuda")
    for given in (
        (pictures[:4], matrices, out),
        (pictures, matrices[:4], out),
        (pictures.float(), matrices, out),
        (pictures, matrices, out.float()),
        (pictures, matrices, out[..., :2].contiguous()),
        (pictures, matrices, out.cpu()),
    ):
        with pytest.raises(InputError):
            warp_faces_cuda(*given, stream=0)
