"""The compact network in 8-bit whole numbers: the graph is the network, and labels stay."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fociquant.errors import ModelError
from fociquant.segment import compact, devices
from fociquant.segment.compact import (
    CompactSegmenter,
    load_compact,
    load_reaches,
    random_net,
    save_weights,
)
from fociquant.segment.decode import decode
from fociquant.segment.devices import computes_in_int8
from fociquant.segment.int8 import Int8Net, in_whole_numbers
from fociquant.segment.late import embedded_weights
from fociquant.segment.metrics import score_labels
from fociquant.segment.network import CompactNet, fuse_batch_norm
from fociquant.segment.scaling import compress
from fociquant.segment.training import TrainingPlan, calibrate
from fociquant.testing.segmenters import check_segmenter

CPU = torch.device("cpu")

pytest.importorskip("openvino", reason="OpenVINO is installed on x86 alone")


def _state(net):
    return {key: value.numpy() for key, value in fuse_batch_norm(net.eval()).state_dict().items()}


@pytest.mark.parametrize("widths", [(4, 4, 4, 4), (3, 5, 8), (8, 16)])
def test_without_reaches_it_is_the_network(unquiet, widths):
    torch.manual_seed(3)
    net = unquiet(CompactNet(widths)).eval()
    windows = np.random.default_rng(0).random((2, 2, 48, 80)).astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(windows)).numpy()
    assert (expected.std(axis=(2, 3)) > 0.01).all()
    found = Int8Net(_state(net), {}, bfloat16=False)(windows)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_embedded_weights_tell_the_reach_of_every_such_layer():
    layers = {
        name
        for name, layer in load_compact(embedded_weights()).named_modules()
        if isinstance(layer, torch.nn.Conv2d) and in_whole_numbers(name)
    }
    assert set(load_reaches(embedded_weights())) == layers
    assert {"head", "up.0.project", "encoder.3.second.0"} <= layers


def test_layers_in_whole_numbers_get_nothing_negative(unquiet):
    net = fuse_batch_norm(unquiet(random_net(2)).eval())
    lowest = {}
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(
                lambda _, inputs, name=name: lowest.update({name: float(inputs[0].min())})
            )
    with torch.inference_mode():
        net(torch.rand(1, 2, 64, 64) - 0.5)
    assert {name for name, low in lowest.items() if low < 0.0} == {
        name for name in lowest if not in_whole_numbers(name)
    }


def _nuclei(rng, *, size=512, radius=11.0):
    """Discs with soft borders in a grid that is not quite one."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size), np.float32)
    for cy in range(30, size - 20, 34):
        for cx in range(30, size - 20, 34):
            dy, dx = rng.uniform(-4, 4, 2)
            distance = np.hypot(y - cy - dy, (x - cx - dx) * rng.uniform(0.85, 1.15))
            np.maximum(image, 1.0 / (1.0 + np.exp(distance - radius)), out=image)
    return (image + 0.03 * rng.standard_normal(image.shape)).astype(np.float32)


def test_labels_are_those_of_full_precision():
    image = _nuclei(np.random.default_rng(5))
    windows = compress(np.stack([image, np.zeros_like(image)]))[None]
    state = _state(load_compact(embedded_weights()))
    exact = Int8Net(state, {}, bfloat16=False)(windows)[0]
    whole = Int8Net(state, load_reaches(embedded_weights()), bfloat16=False)(windows)[0]
    assert np.abs(whole - exact).max() > 0.0
    ours, theirs = (
        decode(o, cellprob_threshold=0.0, flow_threshold=0.0, min_area_px=15, steps=100)
        for o in (whole, exact)
    )
    assert theirs.max() == 196
    assert score_labels(ours, theirs, thresholds=(0.95,))[0.95].tp >= 195


def test_threads_and_neighbours_change_no_bit():
    segmenter = CompactSegmenter(embedded_weights(), CPU)
    windows = np.random.default_rng(1).random((6, 2, 96, 112)).astype(np.float32)
    together = segmenter.flows(windows)
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(lambda one: segmenter.flows(one[None])[0], windows))
    assert np.array_equal(together, np.stack(alone))
    check_segmenter(segmenter, windows=2)


def test_a_processor_without_such_instructions_takes_torch(monkeypatch, tmp_path):
    save_weights(random_net(0), tmp_path / "w.pt", reaches={"encoder.0.first.0": 2.0})
    monkeypatch.setattr(compact, "computes_in_int8", lambda device: False)
    segmenter = CompactSegmenter(tmp_path / "w.pt", CPU)
    assert segmenter.info.precision in ("float32", "bfloat16")
    monkeypatch.setattr(compact, "computes_in_int8", lambda device: True)
    segmenter = CompactSegmenter(tmp_path / "w.pt", CPU)
    assert segmenter.info.precision in ("int8 and float32", "int8 and bfloat16")


def test_where_openvino_cannot_be_loaded_torch_computes(monkeypatch):
    def missing(*args, **options):
        raise ImportError("DLL load failed")

    monkeypatch.setattr(compact, "computes_in_int8", lambda device: True)
    monkeypatch.setattr(compact, "Int8Net", missing)
    segmenter = CompactSegmenter(embedded_weights(), CPU)
    assert segmenter.info.precision in ("float32", "bfloat16")
    assert segmenter.flows(np.zeros((1, 2, 32, 32), np.float32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"avx512_vnni"}, True),
        ("AMD64", {"avx_vnni", "avx2"}, True),
        ("x86_64", {"avx2"}, False),
        ("arm64", {"avx512_vnni"}, False),
    ],
)
def test_who_computes_in_whole_numbers(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    monkeypatch.setattr(devices, "processor_flags", lambda: frozenset(flags))
    assert computes_in_int8(CPU) is expected
    assert not computes_in_int8(torch.device("cuda"))


def test_where_the_system_does_not_tell_torch_is_asked(monkeypatch):
    monkeypatch.setattr(devices.platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(devices, "processor_flags", frozenset)
    for known in (True, False):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda known=known: {"avx512_vnni": known}, raising=False
        )
        assert computes_in_int8(CPU) is known


class _Even:
    """A source that gives one image of discs."""

    def __init__(self):
        from fociquant.segment.training import training_image

        y, x = np.mgrid[:200, :200]
        near = np.hypot(y % 40 - 20, x % 40 - 20) < 12
        labels = np.where(near, 1 + y // 40 * 5 + x // 40, 0).astype(np.int32)
        self._image = training_image(
            np.stack([near, 0 * near]).astype(np.float32), labels, diameter_px=24.0
        )

    def draw(self, rng):
        return self._image


def test_reaches_cover_what_the_layers_get_and_depend_on_the_seed_alone(unquiet):
    net = unquiet(random_net(1))
    plan = TrainingPlan(steps=3, batch=2, crop_px=64, seed=4)
    found = calibrate(net, [(1.0, _Even())], plan)
    assert found == calibrate(net, [(1.0, _Even())], plan)
    assert found != calibrate(net, [(1.0, _Even())], TrainingPlan(3, batch=2, crop_px=64, seed=5))
    state = _state(net)
    windows = np.random.default_rng(2).random((1, 2, 64, 64)).astype(np.float32)
    exact = Int8Net(state, {}, bfloat16=False)(windows)
    error = np.abs(Int8Net(state, found, bfloat16=False)(windows) - exact).mean()
    coarse = {name: 20.0 * reach for name, reach in found.items()}
    worse = np.abs(Int8Net(state, coarse, bfloat16=False)(windows) - exact).mean()
    assert error < 0.1 * np.abs(exact).mean()
    assert error < 0.3 * worse


@pytest.mark.parametrize(
    "reaches", [[1, 2], {"head": None}, {"head": 0.0}, {"head": "nan"}, {"head": "x"}]
)
def test_damaged_reaches_are_refused(tmp_path, reaches):
    content = torch.load(embedded_weights(), weights_only=True) | {"reaches": reaches}
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt does not fit the compact network"):
        load_reaches(tmp_path / "w.pt")


def test_reaches_come_back_from_the_file(tmp_path):
    reaches = {"up.0.project": 3.25, "down.0.0": 0.5}
    save_weights(random_net(0), tmp_path / "w.pt", reaches=reaches)
    assert load_reaches(tmp_path / "w.pt") == reaches
    save_weights(random_net(0), tmp_path / "w.pt")
    assert load_reaches(tmp_path / "w.pt") == {}


def test_openvino_reports_to_nobody():
    code = (
        "import sys; from fociquant.segment import load_segmenter; import numpy as np\n"
        "load_segmenter('compact', device='cpu').flows(np.zeros((1, 2, 32, 32), np.float32))\n"
        "import openvino\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
    )
    if not computes_in_int8(CPU):
        pytest.skip("this processor has no 8-bit instructions")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
