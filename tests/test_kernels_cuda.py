"""The CUDA twin has the bits of the CPU kernel; without a device it says so."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import _core
from facecure.kernels import warp_faces_numpy
from facecure.kernels.warp_cuda import NoDevice, warp_faces_cuda

DEVICES = _core.build_info()["cuda_devices"]
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 23, 31, 3), np.uint8)
MATRICES = np.array(
    [[[0.9, -0.3, 4.0], [0.3, 0.9, 2.0]], [[1, 0, 0.5], [0, 1, 0.5]], [[9e299, 0, 0], [0, 9e299, 0]],
     [[1e-300, 0, 11.25], [0, 1e-300, 9.75]], [[-1, 0, 31], [0, 1, -1e9]]]
)  # fmt: skip


@pytest.mark.skipif(DEVICES > 0, reason="there is a CUDA device")
def test_without_a_device_there_is_no_silent_fallback():
    with pytest.raises(NoDevice):
        warp_faces_cuda(PICTURES, MATRICES, PICTURES, stream=0)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICES == 0, reason="no CUDA device is visible, or built without CUDA")
@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize("size", [(1, 1), (33, 21), (112, 112)], ids=str)
@pytest.mark.parametrize("several", [False, True])
def test_the_device_has_the_twins_bits(several, size, border):
    torch = pytest.importorskip("torch")
    pictures = PICTURES if several else PICTURES[0]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        out = torch.zeros((5, size[1], size[0], 3), dtype=torch.uint8, device="cuda")
        given = torch.from_numpy(pictures).cuda(), torch.from_numpy(MATRICES).cuda()
        warp_faces_cuda(*given, out, stream=stream.cuda_stream, border=border)
    stream.synchronize()
    np.testing.assert_array_equal(out.cpu().numpy(), warp_faces_numpy(pictures, MATRICES, size, border=border))
