"""fociquant train: data, validation, resume, model card; with a network of toy size."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st

from fociquant.cli import main
from fociquant.errors import InputError, SettingsError
from fociquant.run import training, training_data
from fociquant.run.endings import ENDINGS
from fociquant.run.training import fine_tune, fine_tuning_plan
from fociquant.run.training_data import (
    TrainingRequest,
    hold_out,
    labelled_images,
    load_labelled,
)
from fociquant.segment.compact import load_compact, save_weights
from fociquant.segment.late import file_sha256
from fociquant.segment.network import CompactNet
from fociquant.segment.training import loop
from fociquant.segment.training.card import SHOWN, card_text

NAMES = tuple(f"field{number}" for number in range(6))


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    output = capsys.readouterr()
    return int(left.value.code or 0), output.out, output.err


def field(seed: int, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a dim ground, uint16, and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.uint16)
    for k, (cy, cx) in enumerate(((20, 22), (24, 66), (64, 26), (70, 70)), start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= rng.uniform(80, 140)] = k
    return (rng.normal(100, 5, labels.shape) + 900 * (labels > 0)).astype(np.uint16), labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "fields"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        image, labels = field(seed)
        tifffile.imwrite(folder / f"{name}.tif", image)
        tifffile.imwrite(folder / f"{name}_masks.tif", labels)
    torch.manual_seed(0)
    save_weights(CompactNet((8, 8, 8, 8)), tmp_path / "toy.pt")
    return folder


@pytest.fixture
def request_(data: Path, tmp_path: Path) -> TrainingRequest:
    plan = replace(fine_tuning_plan(steps=4, seed=0), batch=2, crop_px=64)
    return TrainingRequest(
        (data,), "_masks", tmp_path / "ours.pt", str(tmp_path / "toy.pt"), plan, diameter_px=22.0,
        device="cpu",
    )  # fmt: skip


def command(data: Path, *more: str | Path) -> list[str | Path]:
    toy, out = data.parent / "toy.pt", data.parent / "ours.pt"
    return ["train", data, "--labels", "_masks", "--out", out, "--from", toy, "--steps", "2",
            "--diameter", "22", "--device", "cpu", *more]  # fmt: skip


def test_the_whole_of_it(data: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def spy(item: training_data.LabelledImage, request: TrainingRequest) -> object:
        loaded.append(item.name)
        return load_labelled(item, request)

    monkeypatch.setattr(training, "load_labelled", spy)
    code, printed, told = run(capsys, *command(data, "--json"))
    assert code == 0
    card = json.loads(printed)
    out = data.parent / "ours.pt"
    assert card["sha256"] == file_sha256(out)
    load_compact(out)
    assert json.loads(out.with_suffix(".json").read_text()) == card
    # Never trained on: the images held out were not even made into training images.
    assert card["held_out"]
    assert sorted(loaded) == sorted(set(NAMES) - set(card["held_out"]))
    assert sorted(card["training"]["images"]) == sorted(loaded)
    assert card["training"]["objects"] == 4 * len(loaded)
    for when in ("before", "after"):
        assert card["validation"][when]["images"] == len(card["held_out"])
        assert card["validation"][when]["pooled"]["objects_true"] == 4 * len(card["held_out"])
        labels = out.with_name("ours.pt.training") / f"validation_{when}"
        assert {path.stem for path in labels.iterdir()} == set(card["held_out"])
    text = out.with_suffix(".md").read_text()
    assert card["sha256"] in text
    assert "| F1 at IoU 0.5 |" in text
    assert "step 2/2  loss" in told
    assert "steps/s, 0 s left" in told


def test_same_command_other_command(data: Path, capsys) -> None:
    assert run(capsys, *command(data, "--resume"))[0] == 2
    assert run(capsys, *command(data))[0] == 0
    sha256 = file_sha256(data.parent / "ours.pt")
    code, _, told = run(capsys, *command(data, "--resume"))
    assert code == 0
    assert file_sha256(data.parent / "ours.pt") == sha256
    code, _, told = run(capsys, *command(data, "--seed", "3"))
    assert code == 2
    assert "begun with other plan" in told
    assert "--fresh" in told
    tifffile.imwrite(data / "field1_masks.tif", field(9)[1])
    code, _, told = run(capsys, *command(data))
    assert code == 2
    assert "begun with other images" in told
    assert run(capsys, *command(data, "--fresh", "--seed", "3"))[0] == 0
    assert file_sha256(data.parent / "ours.pt") != sha256
    assert run(capsys, *command(data, "--fresh", "--resume"))[0] == 2


def test_files_of_others_stay(data: Path, capsys) -> None:
    out, folder = data.parent / "ours.pt", data.parent / "ours.pt.training"
    out.write_bytes(b"somebody's weights")
    code, _, told = run(capsys, *command(data))
    assert code == 2
    assert "is there already" in told
    out.unlink()
    folder.mkdir()
    (folder / "diary.txt").write_text("dear")
    assert run(capsys, *command(data, "--fresh"))[0] == 2
    assert (folder / "diary.txt").exists()
    assert run(capsys, *command(data, "--out", data.parent / "toy.pt"))[0] == 2


def test_a_process_ends_without_a_word_of_the_libraries_below(data: Path) -> None:
    line = [sys.executable, "-m", "fociquant", *command(data)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "validation after training" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_signal_to_end_keeps_the_checkpoint(
    data: Path, capsys, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    batch, asked = loop.draw_batch, []

    def interrupting(sources: object, plan: object, step: int) -> object:
        if step == 1 and not asked:
            asked.append(step)
            signal.raise_signal(ending)
        return batch(sources, plan, step)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "draw_batch", interrupting)
    before = signal.getsignal(ending)
    code, _, told = run(capsys, *command(data, "--steps", "6"))
    assert code == 130
    assert "the same command again continues" in told
    assert signal.getsignal(ending) is before
    assert not (data.parent / "ours.pt").exists()
    assert (data.parent / "ours.pt.training" / "checkpoint.pt").exists()
    code, _, told = run(capsys, *command(data, "--steps", "6"))
    assert code == 0
    assert "continued after step" in told


def test_interrupted_is_as_uninterrupted(request_: TrainingRequest) -> None:
    fine_tune(request_, say=lambda _: None)
    stopped = replace(request_, out=request_.out.with_name("parts.pt"))
    answers = iter([False, True, False, False])
    done = fine_tune(stopped, say=lambda _: None, stop=nullcontext(lambda: next(answers)))
    assert done.interrupted
    assert not fine_tune(stopped, say=lambda _: None, must_resume=True).interrupted
    whole, parts = load_compact(request_.out).state_dict(), load_compact(stopped.out).state_dict()
    for key, value in whole.items():
        torch.testing.assert_close(parts[key].float(), value.float(), rtol=2e-3, atol=1e-4)


def test_scaled_as_a_run_would(request_: TrainingRequest) -> None:
    item = labelled_images(request_)[0]
    image = load_labelled(item, request_)
    raw = tifffile.imread(item.image).astype(float)
    low, high = np.percentile(raw, (2.0, 99.8))
    np.testing.assert_allclose(image.planes[0], (raw - low) / (high - low), atol=2e-3)
    assert not image.planes[1].any()
    assert not image.ignore.any()


def test_unknown_parts_and_odd_labels(data: Path, request_: TrainingRequest) -> None:
    labels = field(0)[1].astype(np.int64) * 1_000_000_007
    labels[:, 80:] = -1
    tifffile.imwrite(data / "field0_masks.tif", labels.astype(np.float64))
    image = load_labelled(labelled_images(request_)[0], request_)
    assert np.unique(image.labels).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(image.ignore, labels < 0)


def test_labels_from_a_folder(data: Path, tmp_path: Path, request_: TrainingRequest) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for path in sorted(data.glob("*_masks.tif")):
        path.rename(folder / path.name)
    items = labelled_images(replace(request_, labels=str(folder)))
    assert [item.name for item in items] == list(NAMES)
    assert all(item.labels.parent == folder for item in items)
    (folder / "field2_masks.tif").unlink()
    (folder / "field4_masks.tif").unlink()
    with pytest.raises(InputError, match=r"(?s)no labels in .*field2\.tif.*field4\.tif"):
        labelled_images(replace(request_, labels=str(folder)))


def test_what_does_not_fit_is_listed(data: Path, request_: TrainingRequest) -> None:
    for name in ("field1", "field3"):
        tifffile.imwrite(data / f"{name}_masks.tif", field(0)[1][:50])
    with pytest.raises(InputError, match=r"(?s)field1\.tif is 96 × 96 px.*field3"):
        labelled_images(request_)
    with pytest.raises(InputError, match="no labels ending in '_gt'"):
        labelled_images(replace(request_, labels="_gt"))
    with pytest.raises(InputError, match="does not exist"):
        labelled_images(replace(request_, images=(data / "absent.tif",)))
    with pytest.raises(InputError, match="another image has the same name"):
        labelled_images(replace(request_, images=(data, data)))
    with pytest.raises(InputError, match=r"end in \.pt"):
        fine_tune(replace(request_, out=data / "weights"), say=lambda _: None)
    with pytest.raises(SettingsError, match="unknown model"):
        fine_tune(replace(request_, start="cpsam_v9"), say=lambda _: None)
    with pytest.raises(SettingsError, match="--simulate"):
        fine_tune(
            replace(request_, start="cpsam_v2", simulate=1.0, images=(data / "field0.tif",)),
            say=lambda _: None,
        )


def test_held_out_by_pattern(request_: TrainingRequest) -> None:
    items = labelled_images(replace(request_, validation="field[25]"))
    assert [item.name for item in items if item.held_out] == ["field2", "field5"]
    with pytest.raises(InputError, match="fits no image"):
        labelled_images(replace(request_, validation="mouse*"))
    with pytest.raises(InputError, match="none is left"):
        labelled_images(replace(request_, validation="*"))


@given(st.sets(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=1, max_size=60))
def test_the_name_decides_who_is_held_out(names: set[str]) -> None:
    own = {name: name for name in names}
    chosen = hold_out(own, None)
    assert chosen <= names
    assert len(chosen) < len(names)
    assert bool(chosen) == (len(names) > 1)
    if len(chosen) > 1:  # by the hash alone, not for want of any
        assert chosen <= hold_out(own | {"another one": "x", "and one": "y"}, None)
    copies = {f"{name}{copy}": name for name in names for copy in "xy"}
    doubled = hold_out(copies, None)
    assert {copies[name] for name in doubled if name.endswith("x")} == {
        copies[name] for name in doubled if name.endswith("y")
    }


def test_about_one_in_ten_is_held_out() -> None:
    names = {f"image_{number:04d}": str(number) for number in range(1000)}
    assert 70 < len(hold_out(names, None)) < 130


def test_simulated_scenes_are_mixed_in(data: Path, capsys) -> None:
    code, printed, _ = run(capsys, *command(data, "--simulate", "1", "--steps", "1", "--json"))
    assert code == 0
    assert json.loads(printed)["simulated_weight"] == 1.0


@pytest.mark.parametrize(
    ("start", "nucleus", "told"), [("compact", None, True), ("compact", "1", False),
                                   ("toy.pt", None, False)],
)  # fmt: skip
def test_a_lost_second_look_is_told(start: str, nucleus: str | None, told: bool) -> None:
    metrics = {"image_mean": dict.fromkeys(SHOWN, 0.5)}
    card = {
        "weights": "ours.pt", "started_from": start, "fociquant": "1", "date": "", "licence": "",
        "sha256": "", "training": {"images": [], "objects": 0, "megapixels": 0}, "held_out": ["a"],
        "simulated_weight": 0, "plan": {"steps": 1}, "channels": {"nucleus": nucleus},
        "validation": {"before": metrics, "after": metrics},
    }  # fmt: skip
    assert ("second time" in card_text(card, took="1 s")) is told


def test_from_scratch_begins_with_random_weights(data: Path, capsys) -> None:
    out = data.parent / "new.pt"
    code, printed, _ = run(
        capsys, "train", data, "--labels", "_masks", "--out", out, "--from", "scratch",
        "--steps", "1", "--diameter", "22", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    card = json.loads(printed)
    assert card["started_from"] == "scratch"
    assert card["validation"]["before"] is None
    assert card["plan"]["rate"] == loop.TrainingPlan(steps=1).rate
    assert load_compact(out).widths == CompactNet().widths
