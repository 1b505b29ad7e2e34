"""Training: it learns, it resumes, its augmentation is geometry, it ignores what it must."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant import atomic
from fociquant.errors import ModelError, SettingsError
from fociquant.segment.compact import CompactSegmenter, is_compact, load_compact, save_weights
from fociquant.segment.late import file_sha256
from fociquant.segment.network import CompactNet
from fociquant.segment.training import (
    ImagePool,
    ScenePool,
    TrainingImage,
    TrainingPlan,
    train,
    training_image,
)
from fociquant.segment.training.augment import (
    Augmentation,
    _importance,
    _own_gain,
    random_crop,
)
from fociquant.segment.training.images import flow_targets
from fociquant.segment.training.loop import draw_batch, loss_terms

WIDTHS = (8, 12, 12, 12)
PLAN = TrainingPlan(
    steps=30, batch=4, crop_px=128, rate=8e-3, warmup_steps=3, average=0.8, save_every=1000,
    augmentation=Augmentation(diameter_log_sd=0.1),
)  # fmt: skip


def cells(seed: int = 0, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A grey image of separate bright ellipses, and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] + 0.5
    labels = np.zeros((size, size), np.int32)
    for row in range(20, size - 10, 36):
        for column in range(20, size - 10, 36):
            cy, cx = row + rng.uniform(-3, 3), column + rng.uniform(-3, 3)
            a, b, t = rng.uniform(8, 13), rng.uniform(8, 13), rng.uniform(0, np.pi)
            u = (y - cy) * np.cos(t) + (x - cx) * np.sin(t)
            v = (x - cx) * np.cos(t) - (y - cy) * np.sin(t)
            labels[(u / a) ** 2 + (v / b) ** 2 <= 1] = labels.max() + 1
    grey = (labels > 0) * 0.8 + 0.1 + 0.02 * rng.standard_normal(labels.shape)
    return np.stack([grey, np.zeros_like(grey)]), labels


@pytest.fixture(scope="module")
def image() -> TrainingImage:
    planes, labels = cells()
    return training_image(planes, labels, diameter_px=24.0)


def network(seed: int = 0) -> CompactNet:
    torch.manual_seed(seed)
    return CompactNet(WIDTHS)


def loss_of(net: CompactNet, image: TrainingImage) -> float:
    """Loss over crops that are the same every time."""
    planes, flows, cell, weight = draw_batch([(1.0, ImagePool([image]))], PLAN, 10_000)
    with torch.inference_mode():
        return float(sum(loss_terms(net.eval()(planes), flows, cell, weight)))


def test_it_learns(image: TrainingImage, tmp_path: Path) -> None:
    before = loss_of(network(), image)
    seen: list[float] = []

    def note(step: int, losses: Mapping[str, float]) -> None:
        seen.append(sum(losses.values()))
        assert step == len(seen)

    net = train(network(), [(1.0, ImagePool([image]))], PLAN, folder=tmp_path, on_step=note)
    after = loss_of(net, image)
    assert len(seen) == 30
    assert seen[-1] < seen[0]
    assert after < 0.75 * before  # an untrained network is as good as predicting nothing
    assert not net.training
    # What is written is what was learned.
    sha256 = save_weights(net, tmp_path / "w.pt", notes={"data": "ellipses"})
    assert sha256 == file_sha256(tmp_path / "w.pt")
    assert is_compact(tmp_path / "w.pt")
    assert loss_of(load_compact(tmp_path / "w.pt"), image) == pytest.approx(after, rel=0.02)
    segmenter = CompactSegmenter(tmp_path / "w.pt", torch.device("cpu"))
    assert segmenter.flows(np.zeros((1, 2, 64, 64), np.float32)).shape == (1, 3, 64, 64)


def test_continued_is_as_uninterrupted(image: TrainingImage, tmp_path: Path) -> None:
    """To the bit on one thread; 1e-5 leaves room for another number of threads."""
    plan = replace(PLAN, steps=8)
    sources = [(1.0, ImagePool([image]))]
    whole = train(network(), sources, plan, folder=tmp_path / "whole")
    steps: list[int] = []

    def stop(step: int, _: Mapping[str, float]) -> bool:
        steps.append(step)
        return step == 3

    train(network(), sources, plan, folder=tmp_path / "parts", on_step=stop)
    assert steps == [1, 2, 3]
    # Other starting weights do not matter any more: everything is in the checkpoint.
    parts = train(network(9), sources, plan, folder=tmp_path / "parts", on_step=stop)
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, rtol=1e-5, atol=1e-5)
    again = train(network(), sources, plan, folder=tmp_path / "parts", on_step=stop)
    assert len(steps) == 8
    torch.testing.assert_close(again.head.weight, parts.head.weight, rtol=0, atol=0)


def test_checkpoints_that_do_not_fit(image: TrainingImage, tmp_path: Path) -> None:
    sources, plan = [(1.0, ImagePool([image]))], replace(PLAN, steps=1)
    train(network(), sources, plan, folder=tmp_path)
    with pytest.raises(ModelError, match=r"checkpoint\.pt is not a checkpoint of this network"):
        train(CompactNet((8, 8, 8, 8)), sources, plan, folder=tmp_path)
    path = tmp_path / "checkpoint.pt"
    for content in (path.read_bytes()[:2000], b"", b"not a checkpoint at all"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="damaged"):
            train(network(), sources, plan, folder=tmp_path)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_flows_turn_with_the_image(seed: int) -> None:
    planes, labels = cells(seed % 5)
    image = training_image(planes, labels, diameter_px=24.0)
    crop = random_crop(image, np.random.default_rng(seed), size=160, ranges=Augmentation())
    parts, n = ndimage.label(crop.cell > 0)
    cut = set(np.unique(parts[ndimage.binary_dilation(crop.weight == 0)]))
    cut |= {*parts[0], *parts[-1], *parts[:, 0], *parts[:, -1]}
    expected = flow_targets(parts).astype(np.float32)
    cosine = (expected * crop.flows).sum(axis=0)
    length = np.linalg.norm(crop.flows, axis=0)
    assert np.allclose(length[crop.cell > 0], 1.0, atol=0.02)
    assert not length[crop.cell == 0].any()
    for name in set(range(1, n + 1)) - cut:
        inside = parts == name
        if inside.sum() >= 60:
            assert cosine[inside].mean() > 0.9
            assert np.median(cosine[inside]) > 0.95


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_crops_are_finite_and_aligned(seed: int) -> None:
    planes, labels = cells(1)
    image = training_image(planes, labels, diameter_px=24.0)
    crop = random_crop(image, np.random.default_rng(seed), size=96, ranges=Augmentation())
    assert {crop.planes.shape, crop.flows.shape} == {(2, 96, 96)}
    assert all(np.isfinite(part).all() for part in (crop.planes, crop.flows))
    assert not crop.planes[1].any()  # no nuclei in, none out
    seen = crop.weight > 0
    bright, dark = crop.planes[0][seen & (crop.cell > 0)], crop.planes[0][seen & (crop.cell == 0)]
    if bright.size > 50 and dark.size > 50:
        assert np.median(bright) > np.median(dark)


def test_same_seed_same_crop(image: TrainingImage) -> None:
    one, two = (
        random_crop(image, np.random.default_rng(5), size=64, ranges=Augmentation())
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.planes, two.planes)
    np.testing.assert_array_equal(one.flows, two.flows)


def test_ignored_pixels_have_no_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    output = torch.randn((2, 3, 8, 8), generator=rng, requires_grad=True)
    flows = torch.randn((2, 2, 8, 8), generator=rng)
    weight = torch.ones((2, 8, 8))
    weight[0, :4] = 0.0
    cell = (flows[:, 0] > 0).float()
    sum(loss_terms(output, flows, cell, weight)).backward()
    assert output.grad is not None
    assert not output.grad[0, :, :4].any()
    assert bool((output.grad[0, :, 4:] != 0).all())
    assert bool((output.grad[1] != 0).all())
    nothing = loss_terms(output, flows, cell, torch.zeros_like(weight))
    assert [float(term.detach()) for term in nothing] == [0.0, 0.0]


def test_ignored_and_outside_weigh_nothing() -> None:
    planes, labels = cells()
    image = training_image(planes, labels, ignore=labels == 3, diameter_px=24.0)
    everything = training_image(planes, labels, ignore=labels >= 0, diameter_px=24.0)
    counted = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        crop = random_crop(image, rng, size=256, ranges=Augmentation())
        counted.append(crop.weight.mean())
        hidden = random_crop(everything, np.random.default_rng(seed), size=256,
                             ranges=Augmentation())  # fmt: skip
        assert not hidden.weight.any()
    assert 0.0 < min(counted) < 1.0


def test_small_objects_and_narrow_gaps_count_more() -> None:
    labels = np.zeros((64, 64), np.float32)
    labels[5:35, 5:35] = 1  # 30 px
    labels[5:35, 37:60] = 2  # 2 px beside it
    labels[50:55, 10:15] = 3  # 5 px, alone
    ranges = Augmentation(diameter_px=24.0, small_weight=4.0, gap_weight=2.0)
    weight = _importance(labels, ranges)
    assert weight[20, 20] == 1.0 and weight[45, 40] == 1.0
    assert weight[20, 36] == 3.0, "between two objects"
    assert weight[20, 4] == 1.0, "beside one only"
    expected = np.sqrt(0.25 * np.pi * 24**2 / 25)
    assert expected > weight[52, 12] == 4.0
    assert weight[49, 12] == weight[52, 12], "its surroundings too"
    assert (_importance(np.zeros((8, 8), np.float32), ranges) == 1.0).all()


def test_objects_get_a_gain_of_their_own() -> None:
    planes, labels = cells()
    floor = planes[0][labels == 0].mean()
    turned = _own_gain(planes.astype(np.float32), labels, np.random.default_rng(2))
    np.testing.assert_allclose(np.median(turned[0][labels == 0]), floor, atol=0.02)
    inner = ndimage.binary_erosion(labels > 0, iterations=4)
    levels = ndimage.mean(turned[0], np.where(inner, labels, 0), np.arange(1, labels.max() + 1))
    assert np.std(np.log(levels - floor)) > 0.1, "alike before"


def test_images_without_objects_and_with_gaps() -> None:
    planes, labels = cells()
    empty = training_image(planes, np.zeros_like(labels), diameter_px=17.0)
    assert empty.diameter_px == 17.0
    assert not empty.flows.any()
    crop = random_crop(empty, np.random.default_rng(0), size=64, ranges=Augmentation())
    assert not crop.cell.any()
    gaps = training_image(planes, labels * 7, diameter_px=17.0)
    full = training_image(planes, labels, diameter_px=17.0)
    np.testing.assert_array_equal(gaps.flows, full.flows)
    assert gaps.diameter_px == full.diameter_px == pytest.approx(21.0, abs=3.0)


def test_pools(image: TrainingImage) -> None:
    planes, labels = cells(1, size=40)
    small = training_image(planes, labels, diameter_px=24.0)
    pool = ImagePool([image, small])
    rng = np.random.default_rng(0)
    share = np.mean([pool.draw(rng) is image for _ in range(2000)])
    assert share == pytest.approx(0.8, abs=0.03)  # edges of 160 and 40 px
    made: list[float] = []

    def make(rng: np.random.Generator) -> TrainingImage:
        made.append(rng.random())
        return replace(small, diameter_px=made[-1])

    pools = [ScenePool(make, seed=seed, size=4) for seed in (3, 3, 4)]
    drawn = [[pool.draw(np.random.default_rng(i)).diameter_px for i in range(40)] for pool in pools]
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) & set(drawn[2])
    assert len(made) == len(set(drawn[0])) * 3 == 12


class _Net:
    """Stands for Cellpose's network."""


@pytest.fixture
def cellpose_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict]:
    """Cellpose's training replaced by one that writes down how it was called."""
    from cellpose import models
    from cellpose import train as cellpose_train

    calls: list[dict] = []

    class Model:
        def __init__(self, **options: object) -> None:
            calls.append(options)
            self.net = _Net()

    def train_seg(net: object, **options: object) -> tuple[Path, list, list]:
        calls.append({"net": net, **options})
        cellpose_train.train_logger.info("0, train_loss=1.0")
        saved = Path(str(options["save_path"])) / "models" / str(options["model_name"])
        saved.parent.mkdir(exist_ok=True)
        saved.write_bytes(b"weights")
        return saved, [1.0], [0.0]

    monkeypatch.setattr(models, "MODEL_DIR", tmp_path / "nothing_downloaded")
    monkeypatch.setattr(models, "CellposeModel", Model)
    monkeypatch.setattr(cellpose_train, "train_seg", train_seg)
    return calls


def test_cellpose_is_called_with_everything_said(
    image: TrainingImage, tmp_path: Path, cellpose_calls: list[dict]
) -> None:
    from fociquant.segment.training.cellpose_models import fine_tune_cellpose

    said: list[str] = []
    out = tmp_path / "new" / "ours.pt"
    sha256 = fine_tune_cellpose(
        "cpsam_v2", [image, image], out=out, folder=tmp_path / "work",
        device=torch.device("cpu"), steps=100, seed=1, say=said.append,
    )  # fmt: skip
    assert out.read_bytes() == b"weights"
    assert sha256 == file_sha256(out)
    assert cellpose_calls[0]["pretrained_model"] == "cpsam_v2"
    assert cellpose_calls[0]["use_bfloat16"] is False
    call = cellpose_calls[1]
    assert isinstance(call["net"], _Net)
    assert call["normalize"] == {"normalize": False}
    assert (call["n_epochs"], call["nimg_per_epoch"], call["rescale"]) == (50, 2, True)
    assert call["train_data"][0].shape == (3, 160, 160)
    assert not call["train_data"][0][2].any()
    assert any("non-commercial" in line for line in said)
    assert "0, train_loss=1.0" in said


def test_fine_tuned_weights_that_a_scanner_looks_at_are_waited_for(
    image: TrainingImage, tmp_path: Path, cellpose_calls: list[dict], monkeypatch
) -> None:
    from fociquant.segment.training.cellpose_models import fine_tune_cellpose

    refusals, renamed = [], Path.replace

    def scanned(path: Path, target: Path) -> Path:
        if len(refusals) < 2:
            refusals.append(PermissionError(13, "Access is denied", str(path)))
            refusals[-1].winerror = 5
            raise refusals[-1]
        return renamed(path, target)

    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    monkeypatch.setattr(Path, "replace", scanned)
    fine_tune_cellpose("cpsam", [image], out=tmp_path / "o.pt", folder=tmp_path / "w",
                       device=torch.device("cpu"), steps=5, seed=0)  # fmt: skip
    assert (tmp_path / "o.pt").read_bytes() == b"weights" and len(refusals) == 2


def test_cellpose_says_what_it_cannot(
    image: TrainingImage, tmp_path: Path, cellpose_calls: list[dict], monkeypatch
) -> None:
    from cellpose import models

    from fociquant.segment.training.cellpose_models import fine_tune_cellpose

    def go(*images: TrainingImage) -> None:
        fine_tune_cellpose("cpsam", images, out=tmp_path / "o.pt", folder=tmp_path / "w",
                           device=torch.device("cpu"), steps=5, seed=0)  # fmt: skip

    with pytest.raises(SettingsError, match="unknown parts"):
        go(replace(image, ignore=np.ones_like(image.ignore)))
    with pytest.raises(SettingsError, match="no training image has an object"):
        go(replace(image, labels=np.zeros_like(image.labels)))
    assert not cellpose_calls

    def no_internet(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models, "CellposeModel", no_internet)
    with pytest.raises(ModelError, match=r"no route to host.*CC-BY-NC.*--from compact"):
        go(image)
    shutil.rmtree(tmp_path / "w", ignore_errors=True)
