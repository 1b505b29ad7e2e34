"""Loading networks: names, devices, damaged and hostile weights, and what the contract asks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from fociquant.errors import ModelError, SettingsError
from fociquant.segment import check_model_name, late, load_segmenter, registry
from fociquant.segment.compact import CompactSegmenter, is_compact, load_compact, save_weights
from fociquant.segment.decode import decode
from fociquant.segment.devices import resolve_device, resolve_precision
from fociquant.segment.late import embedded_weights, file_sha256
from fociquant.segment.network import STRIDE, CompactNet, fuse_batch_norm
from fociquant.segment.scaling import LIMIT, compress, to_unit
from fociquant.testing.segmenters import SegmenterError, UphillSegmenter, check_segmenter, cones


@pytest.fixture(scope="module")
def compact():
    return load_segmenter("compact", device="cpu")


@pytest.fixture()
def small_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "small.pt"
    save_weights(CompactNet((4, 4, 4, 4)), path, notes={"data": "none"})
    return path


@pytest.mark.parametrize("name", ["cyto3", "", "Compact", "cpsam2", "nuclei", "/nowhere/w.pt"])
def test_an_unknown_model_is_refused_with_the_names_there_are(name):
    known = "Known: compact, cpdino, cpdino-vitb, cpsam, cpsam_v2; or the path"
    with pytest.raises(SettingsError, match=f"unknown model '{name}'. {known}"):
        check_model_name(name)
    with pytest.raises(SettingsError, match="unknown model"):
        load_segmenter(name, device="cpu")


def test_a_windows_without_the_runtime_of_microsoft_is_told_what_to_install(monkeypatch):
    def missing(_):
        raise OSError(None, 'The specified module could not be found. Error loading "c10.dll".')

    monkeypatch.setattr(registry, "import_module", missing)
    with pytest.raises(ModelError, match=r"c10\.dll.*install the Microsoft Visual C\+\+"):
        load_segmenter("cpsam_v2", device="cpu")


@pytest.mark.parametrize("name", ["compact", "cpsam", "cpsam_v2", "cpdino", "cpdino-vitb"])
def test_known_models_pass_without_being_loaded(name):
    check_model_name(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu0"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(SettingsError, match=r"--device.*(Write auto, cpu, cuda)"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(SettingsError, match=r"this machine has none. Write --device auto"):
        resolve_device(name)


def test_auto_is_a_device_of_this_machine():
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    assert resolve_precision(torch.device("cpu")) in (torch.float32, torch.bfloat16)


def test_the_compact_segmenter_keeps_the_contract(compact):
    check_segmenter(compact, windows=3)
    assert compact.info.sha256 == file_sha256(embedded_weights())


def test_the_uphill_segmenter_keeps_the_contract():
    check_segmenter(UphillSegmenter(window_core_px=64))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda out, windows: out[:, :2], "shape"),
        (lambda out, windows: out.astype(np.float64), "dtype float64"),
        (lambda out, windows: out * np.nan, "not finite"),
        (lambda out, windows: out + windows.mean(), "other bits in a"),
        (lambda out, windows: out + np.random.default_rng().random(), "the second time"),
        (lambda out, windows: (windows.__setitem__(0, 0), out)[1], "input was changed"),
    ],
)
def test_the_conformance_suite_finds_what_is_wrong(change, match):
    class Wrong(UphillSegmenter):
        def flows(self, windows):
            return change(super().flows(windows), windows)

    with pytest.raises(SegmenterError, match=match):
        check_segmenter(Wrong(window_core_px=32))


def test_fused_and_unfused_networks_agree(small_weights):
    x = torch.rand(2, 2, 3 * STRIDE, 4 * STRIDE)
    with torch.inference_mode():
        plain = load_compact(small_weights)(x)
        fused = fuse_batch_norm(load_compact(small_weights))(x)
    assert plain.shape == (2, 3, 48, 64)
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fuse_batch_norm(
        load_compact(small_weights)).modules())  # fmt: skip


def test_the_embedded_network_is_fused_without_harm():
    x = torch.rand(1, 2, 64, 64)
    with torch.inference_mode():
        plain = load_compact(embedded_weights())(x)
        fused = fuse_batch_norm(load_compact(embedded_weights()))(x)
    torch.testing.assert_close(fused, plain, rtol=1e-3, atol=1e-3)


def test_own_weights_are_loaded_by_path(small_weights):
    assert is_compact(small_weights)
    segmenter = load_segmenter(str(small_weights), device="cpu")
    assert isinstance(segmenter, CompactSegmenter)
    assert segmenter.info.name == "small.pt"
    assert segmenter.info.sha256 == file_sha256(small_weights)
    assert segmenter.flows(np.zeros((2, 2, 32, 48), np.float32)).shape == (2, 3, 32, 48)


def test_the_same_weights_are_the_same_file(tmp_path, small_weights):
    net = load_compact(small_weights)
    assert save_weights(net, tmp_path / "a" / "w.pt") == save_weights(net, tmp_path / "a" / "w.pt")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["w.pt"]


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("owned"),)


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_weights_with_code_are_refused_and_not_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    content = {"format": "fociquant-compact-1", "state": Payload()}
    if kind == "pickle":
        (tmp_path / "w.pt").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt is not a weights file that can be loaded safely"):
        load_segmenter(str(tmp_path / "w.pt"), device="cpu")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_damaged_weights_are_refused(tmp_path, small_weights, share):
    content = small_weights.read_bytes()
    path = tmp_path / "w.pt"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"w\.pt is not a weights file"):
        load_segmenter(str(path), device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [8, 8, 8, 8]},
        {"widths": "many"},
        {"state": {}},
        {"state": 3},
        {"widths": None},
    ],
)
def test_weights_of_another_shape_are_refused(tmp_path, small_weights, change):
    content = torch.load(small_weights, weights_only=True) | change
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt does not fit the compact network"):
        load_segmenter(str(tmp_path / "w.pt"), device="cpu")


def test_a_file_without_weights_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"w\.pt holds no weights"):
        load_segmenter(str(tmp_path / "w.pt"), device="cpu")
    with pytest.raises(ModelError, match=r"absent\.pt cannot be read: .*\. Give a readable file"):
        file_sha256(tmp_path / "absent.pt")


def test_weights_that_the_package_lost_are_told_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(late, "embedded_weights", lambda: tmp_path / "compact.pt")
    with pytest.raises(ModelError, match=r"compact\.pt cannot be read: .*\. Install fociquant"):
        file_sha256(tmp_path / "compact.pt")


def test_compression_is_odd_increasing_and_fixed_at_0_and_1():
    x = np.linspace(-3, 3, 601).astype(np.float32)
    y = compress(x)
    assert (np.diff(y) > 0).all() and y.dtype == np.float32
    np.testing.assert_allclose(y, -compress(-x), atol=1e-6)
    np.testing.assert_allclose(compress(np.float32([0, 1])), [0, 1], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_the_scale_is_linear_in_every_dtype(dtype):
    out = to_unit(np.array([10, 30, 110], dtype), 10, 110)
    np.testing.assert_allclose(out, [0, 0.2, 1.0], atol=1e-6)
    assert out.dtype == np.float32


def test_no_value_leaves_the_range_that_a_network_takes():
    wild = np.array([np.nan, np.inf, -np.inf, 1e38, -1e300, 5.0])
    out = to_unit(wild, 0.0, 1e-6)
    assert out[0] == 0 and np.abs(out).max() <= LIMIT and np.isfinite(compress(out)).all()


def decoded(image: np.ndarray, **changes) -> np.ndarray:
    output = UphillSegmenter().flows(compress(to_unit(np.stack([image] * 2), 100, 2600))[None])[0]
    options = {"cellprob_threshold": 0.0, "flow_threshold": 0.0, "min_area_px": 9, "steps": 100}
    return decode(output, **options | changes)


def test_decoding_numbers_objects_without_gaps():
    image = cones((90, 120), [(20, 20), (20, 60), (60, 40), (70, 100)], 20)
    labels = decoded(image)
    assert labels.dtype == np.int32 and labels.shape == image.shape
    np.testing.assert_array_equal(np.unique(labels), range(5))
    np.testing.assert_array_equal(labels > 0, image > 1000)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (15, 17), (40, 40)])
@pytest.mark.parametrize("value", [100, 2600])
def test_decoding_takes_any_shape(shape, value):
    labels = decoded(np.full(shape, value, np.uint16))
    assert labels.shape == shape
    assert value == 2600 or not labels.any()


def test_small_objects_are_dropped():
    image = cones((60, 60), [(15, 15)], 6) + cones((60, 60), [(40, 40)], 20) - 100
    assert len(np.unique(decoded(image))) == 3
    assert len(np.unique(decoded(image, min_area_px=60))) == 2


def test_flows_that_no_cell_has_are_dropped_if_asked():
    image = cones((60, 60), [(30, 30)], 24)
    scaled = compress(to_unit(np.stack([image] * 2), 100, 2600))
    output = UphillSegmenter().flows(scaled[None])[0]
    output[:2] = np.random.default_rng(0).normal(size=(2, 60, 60)) * 5
    strict = decode(output, cellprob_threshold=0, flow_threshold=0.4, min_area_px=9, steps=100)
    assert not strict.any()
    assert decoded(image, flow_threshold=0.4).max() == 1


def test_the_same_flows_are_the_same_labels():
    image = cones((200, 200), np.random.default_rng(0).uniform(10, 190, (60, 2)), 18)
    np.testing.assert_array_equal(decoded(image), decoded(image))
