"""Counting a few cells with the embedded network needs no torch, and changes no bit."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.errors import ModelError
from fociquant.segment import decode as decode_module
from fociquant.segment import embedded, few_points, registry
from fociquant.segment.compact import CompactSegmenter, load_compact, random_net, save_weights
from fociquant.segment.decode import decode
from fociquant.segment.devices import computes_in_int8, single_threaded
from fociquant.segment.dynamics import _field, _moved, end_points
from fociquant.segment.embedded import EmbeddedSegmenter, fused
from fociquant.segment.late import embedded_on_cpu, embedded_weights
from fociquant.segment.network import fuse_batch_norm
from fociquant.segment.torch_file import read_torch_file

CPU = torch.device("cpu")

fused_kernels = pytest.mark.skipif(
    not few_points.rounds_as_torch(), reason="torch rounds otherwise on this processor"
)
whole_numbers = pytest.mark.skipif(
    embedded_on_cpu(chosen=True) is None or not computes_in_int8(CPU),
    reason="this processor does not compute in 8-bit numbers",
)


@pytest.fixture(autouse=True)
def one_thread():
    single_threaded()


def _basins(shape, seed, *, grain=12.0, share=0.5):
    """Flows uphill of a smooth surface, and a foreground."""
    rng = np.random.default_rng(seed)
    surface = ndimage.gaussian_filter(rng.normal(size=shape), grain / 3, mode="reflect")
    slope = np.stack(np.gradient(surface))
    slope *= 5.0 / np.maximum(np.hypot(*slope), 1e-12)
    foreground = ndimage.gaussian_filter(rng.normal(size=shape), 2.0)
    foreground = foreground >= np.quantile(foreground, 1.0 - share)
    return slope.astype(np.float32), foreground


def _by_torch(flow, foreground, steps):
    with torch.inference_mode():
        return end_points(flow, foreground, steps, CPU).numpy()


@fused_kernels
@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    steps=st.integers(0, 120),
    seed=st.integers(0, 2**32 - 1),
    grain=st.floats(2.0, 60.0),
    share=st.floats(0.01, 1.0),
)
@settings(max_examples=40, deadline=None)
def test_pixels_end_where_torch_lets_them(height, width, steps, seed, grain, share):
    flow, foreground = _basins((height, width), seed, grain=grain, share=share)
    found = few_points.end_points(flow, foreground, steps)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, _by_torch(flow, foreground, steps))


@fused_kernels
@given(
    height=st.integers(2, 1300),
    width=st.integers(2, 1300),
    seed=st.integers(0, 2**32 - 1),
    length=st.floats(0.0, 30.0),
)
@settings(max_examples=25, deadline=None)
def test_every_step_is_rounded_as_torch_rounds_it(height, width, seed, length):
    rng = np.random.default_rng(seed)
    flow = rng.normal(scale=length, size=(2, height, width)).astype(np.float32)
    foreground = rng.random((height, width)) < 0.8
    points = rng.uniform(-1.0, 1.0, (2, 2000)).astype(np.float32)
    points[:, :4] = [[-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]]
    found = few_points._Field(flow, foreground).moved(points, 3)
    with torch.inference_mode():
        field = _field(flow, foreground, [width - 1.0, height - 1.0])
        expected = _moved(field, torch.from_numpy(points.T.copy()), 3).numpy().T
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


@given(
    one=st.floats(-4.0, 4.0, width=32),
    other=st.floats(-4.0, 4.0, width=32),
    more=st.floats(-4.0, 4.0, width=32),
)
def test_a_sum_of_a_product_is_rounded_once(one, other, more):
    _check_rounding(one, other, more)


def test_also_where_the_sum_of_doubles_ends_in_the_middle():
    # 1 + 2**-24 lies in the middle between two floats; what is added is too little for a double.
    below = np.nextafter(np.float32(1.0), np.float32(0.0))
    for sign in (1.0, -1.0):
        _check_rounding(sign * 2.0**-30, 2.0**-30, 1.0 + 2.0**-23)
        _check_rounding(1.0 + 2.0**-23, 2.0**-24, sign)
        _check_rounding(float(below), 2.0**-24, sign)
    one, other = np.float32([1.0 + 2.0**-12]), np.float32([2.0**-24 * (1.0 + 2.0**-23)])
    _check_rounding(float(one[0]), float(other[0]), 1.0)


def _check_rounding(one, other, more):
    found = few_points._multiply_add(*(np.float32([value]) for value in (one, other, more)))[0]
    exact = Fraction(one) * Fraction(other) + Fraction(more)
    if 0 < abs(exact) < Fraction(2) ** -120:
        return  # of denormal numbers there is no middle
    beside = [np.nextafter(found, np.float32(end)) for end in (-np.inf, np.inf)]
    best = min(abs(Fraction(float(value)) - exact) for value in beside)
    error = abs(Fraction(float(found)) - exact)
    even = int(found.view(np.int32)) % 2 == 0
    assert error < best or (error == best and even)


@fused_kernels
@pytest.mark.parametrize("shape", [(9, 300), (150, 210)])
@pytest.mark.parametrize("why", ["many pixels", "torch is loaded"])
def test_torch_gives_the_labels_that_few_pixels_give_without_it(monkeypatch, shape, why):
    flow, foreground = _basins(shape, 7)
    output = np.concatenate([flow, np.where(foreground, 4.0, -4.0)[None]]).astype(np.float32)
    options = {"cellprob_threshold": 0.0, "flow_threshold": 0.0, "min_area_px": 15, "steps": 100}
    asked, followed = [], few_points.end_points
    monkeypatch.setattr(few_points, "end_points", lambda *a: asked.append(1) or followed(*a))
    monkeypatch.setattr(decode_module, "_torch_is_loaded", lambda: False)
    few = decode(output, **options)
    assert few.max() > 3 and len(asked) == 1
    if why == "many pixels":
        monkeypatch.setattr(few_points, "MOST_POINTS", 0)
    else:
        monkeypatch.setattr(decode_module, "_torch_is_loaded", lambda: True)
    np.testing.assert_array_equal(decode(output, **options), few)
    assert len(asked) == 1


def test_on_unknown_processors_torch_is_asked(monkeypatch):
    for flags, known in ((frozenset({"sse2", "fma"}), False), (frozenset({"avx2", "fma"}), True)):
        few_points.rounds_as_torch.cache_clear()
        monkeypatch.setattr(few_points, "processor_flags", lambda flags=flags: flags)
        monkeypatch.setattr(few_points.sys, "platform", "linux")
        monkeypatch.setattr(few_points.platform, "machine", lambda: "x86_64")
        assert few_points.rounds_as_torch() is known
    few_points.rounds_as_torch.cache_clear()


def test_weights_are_those_that_torch_reads():
    found = read_torch_file(embedded_weights())
    expected = torch.load(embedded_weights(), weights_only=True)
    assert found.keys() == expected.keys()
    assert {name: found[name] for name in found if name != "state"} == {
        name: value for name, value in expected.items() if name != "state"
    }
    assert list(found["state"]) == list(expected["state"])
    for name, tensor in expected["state"].items():
        wide = tensor.float() if tensor.dtype == torch.half else tensor
        np.testing.assert_array_equal(found["state"][name], wide.numpy(), strict=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_batch_norms_are_folded_in_as_torch_does(unquiet, tmp_path, seed):
    save_weights(unquiet(random_net(seed)), tmp_path / "w.pt")
    expected = fuse_batch_norm(load_compact(tmp_path / "w.pt")).state_dict()
    found = fused(read_torch_file(tmp_path / "w.pt")["state"])
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


class _Bomb:
    def __reduce__(self):
        return os.system, ("echo bomb",)


@pytest.mark.parametrize("content", [_Bomb(), {"state": _Bomb()}, [1, 2]])
def test_what_is_no_weights_file_is_refused(tmp_path, capfd, content):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps(content, protocol=2))
    with pytest.raises(ModelError, match=r"w\.pt are damaged.*Install fociquant again"):
        read_torch_file(tmp_path / "w.pt")
    assert "bomb" not in capfd.readouterr().out


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_file_that_breaks_off_is_refused(tmp_path, kept):
    whole = embedded_weights().read_bytes()
    (tmp_path / "w.pt").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ModelError, match=r"w\.pt are damaged"):
        read_torch_file(tmp_path / "w.pt")


def test_tensors_that_are_not_laid_out_row_by_row_are_refused(tmp_path):
    torch.save({"state": {"a": torch.arange(6.0).reshape(2, 3).T}}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="row by row"):
        read_torch_file(tmp_path / "w.pt")


@whole_numbers
def test_the_network_computes_what_it_computes_beside_torch():
    pytest.importorskip("openvino")
    info = embedded_on_cpu(chosen=True)
    windows = np.random.default_rng(0).random((2, 2, 64, 96)).astype(np.float32)
    beside = CompactSegmenter(embedded_weights(), CPU)
    assert info == beside.info
    np.testing.assert_array_equal(EmbeddedSegmenter(info).flows(windows), beside.flows(windows))


@whole_numbers
def test_where_openvino_is_missing_torch_is_asked(monkeypatch):
    def missing(*args, **options):
        raise ImportError("DLL load failed")

    monkeypatch.setattr(embedded, "Int8Net", missing)
    assert isinstance(registry._embedded(embedded_on_cpu(chosen=True), "cpu"), CompactSegmenter)


@whole_numbers
@fused_kernels
def test_a_process_that_counts_a_few_cells_does_not_load_torch():
    pytest.importorskip("openvino")
    code = """
import sys
import numpy as np
from fociquant.segment import load_segmenter
from fociquant.segment.decode import decode
from fociquant.segment.scaling import compress

y, x = np.mgrid[:160, :160]
noise = 0.03 * np.random.default_rng(0).standard_normal(y.shape)
disc = (1.0 / (1.0 + np.exp(np.hypot(y - 80, x - 80) - 11.0)) + noise).astype(np.float32)
window = compress(np.stack([disc, np.zeros_like(disc)]))[None]
flows = load_segmenter("compact", device="cpu").flows(window)
labels = decode(flows[0], cellprob_threshold=0.0, flow_threshold=0.0, min_area_px=15, steps=200)
print(labels.max(), sorted({"torch", "cellpose"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["1", "[]"]
