"""TorchScript archives give what `torch.jit.load` would, without running what is in them."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facecure.errors import InputError  # noqa: E402
from facecure.weights import read_weights  # noqa: E402


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Parameter(torch.randn(4, 3))
        self.register_buffer("count", torch.tensor(5))
        self.scale = 2.5

    def forward(self, x):
        return x @ self.proj * self.scale


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Inner())
        self.logit_scale = nn.Parameter(torch.ones([]))

    def forward(self, x):
        return self.visual(x) * self.logit_scale


@pytest.fixture(params=["script", "trace"])
def archive(request):
    torch.manual_seed(0)
    module = Outer().half() if request.param == "script" else Outer().eval()
    module.visual[0].weight.data = module.visual[0].weight.data.T.contiguous().T  # strides of their own
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; its files are not
        made = torch.jit.script(module) if request.param == "script" else torch.jit.trace(module, torch.ones(2, 3))
        torch.jit.save(made, stream)
    return stream.getvalue(), module.state_dict()


def test_names_shapes_types_and_values(archive):
    data, expected = archive
    found = read_weights(data).tensors
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def rewritten(data: bytes, change) -> bytes:
    """Return an archive with other content under some names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(stream, "w") as after:
        for name in before.namelist():
            content = change(name, before.read(name))
            if content is not None:
                after.writestr(name, content)
    return stream.getvalue()


def test_code_in_the_pickle_is_not_run(archive, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    data = rewritten(archive[0], lambda n, c: pickle.dumps(Attack()) if n.endswith("/data.pkl") else c)
    with pytest.raises(InputError, match=r"open is not allowed"):
        read_weights(data)
    assert not (tmp_path / "written").exists()


def test_a_missing_or_short_storage_is_named(archive):
    with pytest.raises(InputError, match="or is damaged"):
        read_weights(rewritten(archive[0], lambda n, c: None if n.endswith("/data/0") else c))
    with pytest.raises(InputError, match=r"storage \d+ has \d+ values, not"):
        read_weights(rewritten(archive[0], lambda n, c: c[:8] if "/data/" in n else c))
