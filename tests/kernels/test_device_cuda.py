"""Which device runs what: counted when asked, launched where the arrays are, refused where they do not fit."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure import _core  # noqa: E402
from facecure.cloaks import loop  # noqa: E402
from facecure.cloaks.steps.dssim import native_device  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.kernels import cloak_steps_cuda  # noqa: E402
from facecure.kernels.device import NoDevice, full_float32, refusal, require_device, view  # noqa: E402
from facecure.kernels.warp_cuda import warp_faces_cuda  # noqa: E402
from facecure.runs.environment import environment  # noqa: E402
from facecure.types import FaceGeometry  # noqa: E402

from .stand_ins import Exported, interfaced  # noqa: E402

PICTURES, OUT = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)
MATRICES = np.zeros((2, 2, 3))
ODD = "the driver is too old"


def on(number: int):
    """Return what is asked of a tensor on a CUDA device."""
    return SimpleNamespace(
        dtype=torch.float32, device=torch.device("cuda", number), is_cuda=True, shape=(3, 20, 20),
        is_contiguous=lambda: True, data_ptr=lambda: 4096,
    )  # fmt: skip


class TestCounting:
    def test_the_driver_is_not_started_for_what_a_report_says(self, monkeypatch):
        assert "cuda_devices" not in _core.build_info()
        monkeypatch.setattr(_core, "cuda_devices", lambda: pytest.fail("the driver was asked"))
        assert "cuda_built" in environment()

    def test_none_has_a_reason(self):
        count, reason = _core.cuda_devices()
        assert (count == 0) == bool(reason)

    def test_the_reason_is_what_the_error_says(self, monkeypatch):
        monkeypatch.setattr(_core, "cuda_devices", lambda: (0, ODD))
        assert refusal(0) == ODD
        for number in (None, 0):
            with pytest.raises(NoDevice, match=ODD):
                require_device(number)

    def test_a_device_that_is_not_there_or_cannot_run_is_refused(self, two_devices, monkeypatch):
        assert refusal(1) == ""
        assert "sees 2 CUDA devices, none of number 2" in refusal(2)
        monkeypatch.setattr(_core, "cuda_refusal", lambda device: f"no code for device {device}")
        require_device()
        with pytest.raises(NoDevice, match="no code for device 1"):
            require_device(1)

    def test_info_shows_count_and_reason(self, monkeypatch):
        from typer.testing import CliRunner

        from facecure.cli import app

        monkeypatch.setattr(_core, "cuda_devices", lambda: (0, ODD))
        assert f"0: {ODD}" in CliRunner().invoke(app, ["info"]).stdout


class TestPath:
    def test_native_kernels_run_where_the_extension_does(self, two_devices):
        assert native_device(torch.zeros(3)) == "cpu"
        assert native_device(torch.zeros(3).double()) is None
        assert native_device(on(1)) == "cuda"
        assert loop.can_be_captured(SimpleNamespace(surrogates=[on(1)]))

    def test_elsewhere_torch_does_and_the_reason_is_said(self, monkeypatch):
        monkeypatch.setattr(_core, "cuda_devices", lambda: (0, ODD))
        with pytest.warns(UserWarning, match=f"without their CUDA kernels on cuda:1: {ODD}"):
            assert native_device(on(1)) is None
        assert not loop.can_be_captured(SimpleNamespace(surrogates=[on(1)]))
        assert not loop.can_be_captured(SimpleNamespace(surrogates=[SimpleNamespace(device=torch.device("cpu"))]))

    def test_a_graph_is_captured_on_the_surrogates_device(self, monkeypatch):
        entered = []
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: "graph")
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: ("stream", device))
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(entered.append(device)))
        monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: nullcontext(entered.append(stream)))
        monkeypatch.setattr(loop, "iterate", lambda cloak, state: entered.append("iteration"))
        device = torch.device("cuda", 1)
        loop.Iteration(SimpleNamespace(surrogates=[on(1)]), SimpleNamespace())
        assert entered == [device, ("stream", device), "iteration"]


class TestSteps:
    def test_launches_name_the_device_and_its_stream(self, monkeypatch):
        asked = []
        stream = lambda device: asked.append(device) or SimpleNamespace(cuda_stream=77)  # noqa: E731
        monkeypatch.setattr(torch.cuda, "current_stream", stream)
        place = cloak_steps_cuda._place(on(1))
        assert (place["device"], place["stream"]) == (1, 77)
        assert asked == [torch.device("cuda", 1)]

    def test_tensors_of_two_devices_are_refused(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))
        locate = cloak_steps_cuda._place(on(1))["locate"]
        assert locate(on(1), (3, 20, 20), "float32") == 4096
        for tensor, shape, dtype in (
            (on(0), (3, 20, 20), "float32"), (on(1), (3, 20), "float32"), (on(1), (3, 20, 20), "float64"),
            (torch.zeros(3, 20, 20), (3, 20, 20), "float32"),
        ):  # fmt: skip
            with pytest.raises(InputError, match="on cuda:1 is needed"):
                locate(tensor, shape, dtype)


class TestArrays:
    def test_the_number_of_the_device_is_told(self, two_devices):
        assert view(Exported(PICTURES, 1), 0).device == 1
        assert view(interfaced((2, 3), "<f4", (1 << 20) + 64), 0).device == 1
        assert view(interfaced((0, 3), "<f4", 0), 0).device is None

    @pytest.mark.parametrize(
        "array", [PICTURES, torch.zeros(2), torch.zeros(2, requires_grad=True), Exported(PICTURES, kind=1)], ids=type
    )
    def test_arrays_of_the_host_are_refused_before_they_are_exported(self, array):
        with pytest.raises(InputError, match="in host memory"):
            view(array, 0)
        assert not getattr(array, "streams", [])

    def test_what_its_library_does_not_export_is_refused(self):
        with pytest.raises(InputError, match="require gradient"):
            view(Exported(PICTURES, error=BufferError("tensors that require gradient")), 0)

    def test_the_default_stream_has_a_name_in_dlpack(self):
        array = Exported(PICTURES)
        for stream in (0, 7):
            view(array, stream)
        assert array.streams == [1, 7]

    @pytest.mark.parametrize(
        ("producer", "consumer", "ordered"),
        [(None, 7, False), (7, 7, False), (1, 0, False), (5, 7, True), (5, 0, True), (1, 7, True), (2, 0, True)],
    )
    def test_work_on_another_stream_comes_first(self, two_devices, producer, consumer, ordered):
        view(interfaced((2, 3), "<f4", (1 << 20) + 64, stream=producer), consumer)
        asked = [("cuda_order", {"device": 1, "before": producer, "after": consumer})]
        assert two_devices == (asked if ordered else [])

    def test_masks_and_addresses_of_the_host_are_refused(self, two_devices):
        with pytest.raises(InputError, match="has a mask"):
            view(interfaced((2, 3), "<f4", mask=object()), 0)
        with pytest.raises(InputError, match="is not a CUDA array"):
            view(interfaced((2, 3), "<f4", 4097), 0)

    def test_faces_are_warped_where_the_arrays_are(self, two_devices):
        warp_faces_cuda(*(Exported(array, 1) for array in (PICTURES, MATRICES, OUT)), stream=9)
        ((name, given),) = two_devices
        assert (name, given["device"], given["stream"]) == ("warp_faces_cuda", 1, 9)

    def test_arrays_of_two_devices_are_refused(self, two_devices):
        with pytest.raises(InputError, match="CUDA devices 0, 1; they must share one"):
            warp_faces_cuda(Exported(PICTURES), Exported(MATRICES, 1), Exported(OUT), stream=0)

    def test_a_host_array_among_them_is_refused(self, two_devices):
        for given in ((PICTURES, Exported(MATRICES), Exported(OUT)), (Exported(PICTURES), Exported(MATRICES), OUT)):
            with pytest.raises(InputError, match="in host memory"):
                warp_faces_cuda(*given, stream=0)
        assert two_devices == []


class TestFloat32:
    KINDS = (
        torch.backends.cudnn.conv,
        torch.backends.cuda.matmul,
        torch.backends.mkldnn.conv,
        torch.backends.mkldnn.matmul,
    )

    def precisions(self):
        return [kind.fp32_precision for kind in self.KINDS]

    def test_it_is_whole_inside_and_as_before_outside(self):
        before = self.precisions()
        with full_float32():
            assert self.precisions() == ["ieee"] * 4
        with pytest.raises(KeyError), full_float32():
            raise KeyError
        assert self.precisions() == before

    def test_a_surrogate_computes_both_ways_in_it(self):
        from facecure.cloaks.surrogate import Preprocess, Surrogate

        seen = []

        class Watched(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                seen.append(("forward", *self.precisions()))
                return x.flatten(1)

            @staticmethod
            def backward(context, gradient):
                seen.append(("backward", *self.precisions()))
                return gradient.reshape(-1, 3, 4, 4)

        network = torch.nn.Module()
        network.forward = Watched.apply
        surrogate = Surrogate(network, Preprocess(FaceGeometry(4, 4), [0] * 3, [1] * 3))
        surrogate.loss_and_grad(torch.ones(2, 3, 4, 4), torch.zeros(2, 48), lambda e, r: (e - r).square().sum(1))
        assert seen == [(way, *["ieee"] * 4) for way in ("forward", "backward")]
