"""The embedded network is known without torch, and loaded with the first window."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from fociquant.errors import ModelError
from fociquant.segment import late
from fociquant.segment.compact import CompactSegmenter
from fociquant.segment.late import LateSegmenter, embedded_on_cpu, embedded_weights
from fociquant.segment.registry import load_segmenter
from fociquant.testing.segmenters import UphillSegmenter


def _computer(tmp_path, *, device=None, flags="fpu sse2"):
    devices, processor = tmp_path / "dev", tmp_path / "cpuinfo"
    devices.mkdir()
    (devices / "null").touch()
    if device:
        (devices / device).touch()
    processor.write_text(f"processor : 0\nflags\t\t: {flags}\nprocessor : 1\nflags\t\t: {flags}\n")
    return {"devices": devices, "processor": processor}


@pytest.fixture()
def linux(monkeypatch):
    monkeypatch.setattr(late.sys, "platform", "linux")
    monkeypatch.setattr(late.platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu sse2", "float32"),
        ("fpu avx512_bf16", "bfloat16"),
        ("amx_tile fpu", "bfloat16"),
        ("fpu avx_vnni", "int8 and float32"),
        ("avx512_vnni avx512_bf16", "int8 and bfloat16"),
        ("amx_tile amx_int8", "int8 and bfloat16"),
    ],
)
def test_the_precision_is_that_of_the_processor(tmp_path, linux, flags, precision):
    info = embedded_on_cpu(**_computer(tmp_path, flags=flags))
    assert info is not None
    assert (info.device, info.precision, info.batch) == ("cpu", precision, 1)


@pytest.mark.parametrize("device", ["nvidiactl", "nvidia0", "kfd", "dxg", "nvmap"])
def test_beside_an_accelerator_only_torch_can_tell(tmp_path, linux, device):
    computer = _computer(tmp_path, device=device)
    assert embedded_on_cpu(**computer) is None
    assert embedded_on_cpu(**computer, chosen=True) is not None


def test_on_other_systems_only_torch_can_tell(tmp_path, linux, monkeypatch):
    computer = _computer(tmp_path)
    assert embedded_on_cpu(**computer) is not None
    assert embedded_on_cpu(devices=computer["devices"], processor=tmp_path / "none") is None
    monkeypatch.setattr(late.sys, "platform", "darwin")
    assert embedded_on_cpu(**computer) is None


def test_what_is_expected_of_this_computer_is_what_torch_finds():
    expected = embedded_on_cpu()
    if expected is None:
        pytest.skip("here only torch can tell")
    at_once = CompactSegmenter(embedded_weights(), torch.device("cpu"))
    assert at_once.info == expected
    windows = np.random.default_rng(0).random((1, 2, 32, 48)).astype(np.float32)
    for device in ("auto", "cpu"):
        segmenter = load_segmenter("compact", device=device)
        assert isinstance(segmenter, LateSegmenter)
        assert np.array_equal(segmenter.flows(windows), at_once.flows(windows))


def test_threads_that_come_together_load_one_network():
    loaded = []

    def load():
        loaded.append(UphillSegmenter())
        return loaded[-1]

    segmenter = LateSegmenter(UphillSegmenter().info, load)
    assert not loaded
    windows = np.zeros((1, 2, 32, 32), np.float32)
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(segmenter.flows, [windows] * 8))
    assert len(loaded) == 1
    assert all(output.shape == (1, 3, 32, 32) for output in outputs)


def test_another_network_than_expected_is_refused():
    info = replace(UphillSegmenter().info, precision="bfloat16")
    segmenter = LateSegmenter(info, UphillSegmenter)
    with pytest.raises(ModelError, match=r"float32.*not in bfloat16.*Write --device cpu"):
        segmenter.flows(np.zeros((1, 2, 32, 32), np.float32))


def test_a_run_that_counts_nothing_needs_neither_torch_nor_other_slow_packages():
    code = (
        "import sys, fociquant.run.start, fociquant.run.study, fociquant.cli.outcome\n"
        "slow = {'torch', 'cellpose', 'distributed', 'dask', 'scipy.stats', 'skimage.measure'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
