"""fociquant evaluate: labels against labels, counts against simulated truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from fociquant.cli import main
from fociquant.errors import InputError
from fociquant.run.count_evaluation import evaluate_results
from fociquant.run.evaluation import evaluate_labels, pair_labels
from fociquant.run.image_files import file_key


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    output = capsys.readouterr()
    return int(left.value.code or 0), output.out, output.err


def squares(n: int, *, shift: int = 0, size: int = 64) -> np.ndarray:
    """`n` squares of 8 px in a row."""
    labels = np.zeros((size, size), np.uint16)
    for k in range(n):
        labels[10 + shift : 18 + shift, 2 + 12 * k : 10 + 12 * k] = k + 1
    return labels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found, true = tmp_path / "found", tmp_path / "true"
    found.mkdir()
    true.mkdir()
    for name, n_found, n_true, shift in (("a", 4, 5, 0), ("b", 3, 3, 2), ("empty", 0, 0, 0)):
        tifffile.imwrite(found / f"{name}.tif", squares(n_found, shift=shift))
        tifffile.imwrite(true / f"{name}_masks.ome.tif", squares(n_true))
    return found, true


def test_folders_of_labels(folders: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    code, printed, _ = run(capsys, "evaluate", *folders, "--out", out, "--iou", "0.3", "--json")
    assert code == 0
    overall = json.loads(printed)
    assert (overall["images"], overall["images_without_objects"]) == (3, 1)
    pooled, mean = overall["pooled"], overall["image_mean"]
    # Squares moved by 2 of 8 px have an IoU of 6/10.
    assert (pooled["tp_50"], pooled["fp_50"], pooled["fn_50"]) == (7, 0, 1)
    assert pooled["f1_50"] == pytest.approx(14 / 15)
    assert pooled["pq_50"] == pytest.approx((4 + 3 * 0.6) / 7.5)
    assert (pooled["ap_65"], pooled["count_error"]) == (pytest.approx(4 / 11), -1)
    assert pooled["count_error_pct"] == pytest.approx(-12.5)
    assert mean["ap_50"] == pytest.approx((4 / 5 + 1) / 2)
    assert mean["ap_65"] == pytest.approx((4 / 5 + 0) / 2)
    assert mean["ap_mean_50_95"] == pytest.approx((0.8 + 0.3) / 2)
    images = pd.read_csv(out / "images.csv").set_index("image")
    assert images.index.tolist() == ["a", "b", "empty"]
    assert images.loc["a", ["objects", "objects_true"]].tolist() == [4, 5]
    assert images.loc["empty", ["f1_50", "ap_50", "ap_30", "count_error_pct"]].isna().all()
    assert len(pd.read_csv(out / "thresholds.csv")) == 11
    for name in ("evaluation.png", "evaluation.svg", "evaluation.json"):
        assert (out / name).stat().st_size > 500
    assert "mathdefault" not in (out / "evaluation.svg").read_text()


def test_plain_text_and_single_files(folders: tuple[Path, Path], capsys) -> None:
    code, printed, _ = run(capsys, "evaluate", folders[0] / "a.tif", folders[1] / "b_masks.ome.tif")
    assert code == 0
    assert "1 images, 0 without any object" in printed
    code, printed, _ = run(
        capsys, "evaluate", folders[0] / "empty.tif", folders[1] / "empty_masks.ome.tif"
    )
    assert code == 0
    assert "undefined" in printed


def test_files_without_partner_are_listed(folders: tuple[Path, Path], capsys) -> None:
    (folders[1] / "b_masks.ome.tif").unlink()
    tifffile.imwrite(folders[1] / "c.tif", squares(1))
    code, _, errors = run(capsys, "evaluate", *folders)
    assert code == 2
    assert "b.tif" in errors
    assert "c.tif" in errors
    assert "a.tif" not in errors


def test_labels_beside_their_images(tmp_path: Path) -> None:
    for name in ("x.tif", "x_cp_masks.tif", "y.tif"):
        tifffile.imwrite(tmp_path / name, squares(2))
    pairs = {p.name: p.true.name for p in pair_labels(tmp_path, tmp_path)}
    assert pairs == {"x": "x_cp_masks.tif", "y": "y.tif"}
    tifffile.imwrite(tmp_path / "x_labels.tif", squares(2))
    with pytest.raises(InputError, match=r"several files for one image.*x_cp_masks"):
        pair_labels(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "key"),
    [("a.tif", "a"), ("a.ome.tif", "a"), ("a_masks.ome.tiff", "a"), ("m3_LABELS.tif", "m3"),
     ("_masks.tif", "_masks"), ("a.b_gt.tif", "a.b"), ("labels.ome.zarr", "labels")],
)  # fmt: skip
def test_keys(name: str, key: str) -> None:
    assert file_key(Path(name)) == key


def test_bad_label_images(tmp_path: Path, capsys) -> None:
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    tifffile.imwrite(good, squares(2))
    tifffile.imwrite(bad, squares(2)[:, :40])
    code, _, errors = run(capsys, "evaluate", bad, good)
    assert code == 2
    assert "64 × 40 px" in errors
    tifffile.imwrite(bad, squares(2).astype(np.float32) + 0.25)
    code, _, errors = run(capsys, "evaluate", bad, good)
    assert code == 2
    assert "fractions" in errors
    tifffile.imwrite(bad, np.zeros((3, 64, 64), np.uint8), photometric="minisblack")
    code, _, errors = run(capsys, "evaluate", bad, good)
    assert code == 2
    assert "3 channels" in errors
    bad.write_bytes(good.read_bytes()[:150])
    code, _, errors = run(capsys, "evaluate", bad, good)
    assert code == 2
    assert "bad.tif" in errors
    assert run(capsys, "evaluate", good, tmp_path)[0] == 2
    assert run(capsys, "evaluate", good, good, "--iou", "1.5")[0] == 2


def test_unknown_parts_of_truth_are_left_out(tmp_path: Path) -> None:
    true = squares(3).astype(np.int32)
    true[:, 26:] = -1
    tifffile.imwrite(tmp_path / "t.tif", true)
    tifffile.imwrite(tmp_path / "f.tif", squares(4))
    pooled = evaluate_labels(pair_labels(tmp_path / "f.tif", tmp_path / "t.tif")).overall["pooled"]
    assert (pooled["tp_50"], pooled["fp_50"], pooled["fn_50"]) == (2, 0, 0)


def study(tmp_path: Path) -> tuple[Path, Path]:
    """Results and truth of four sections: found, missed, invented, failed."""
    truth, results = tmp_path / "study" / "truth", tmp_path / "results"
    truth.mkdir(parents=True)
    results.mkdir()
    area = np.pi * 36.0  # radius 6 µm
    cells = [("s1", 100.0, 100.0, 1, "solitary"), ("s1", 300.0, 300.0, 2, "solitary"),
             ("s1", 500.0, 500.0, 3, "cluster"), ("s1", 500.0, 512.0, 3, "cluster"),
             ("s4", 10.0, 10.0, 1, "solitary")]  # fmt: skip
    table = pd.DataFrame(cells, columns=["section", "y_um", "x_um", "focus", "class"])
    table.assign(cell=range(1, 6), area_um2=area).to_csv(truth / "cells.csv", index=False)
    foci = table.drop_duplicates(["section", "focus"])[["section", "focus", "class"]]
    foci.to_csv(truth / "foci.csv", index=False)
    names = ["s1", "s2", "s3", "s4"]
    sections = pd.DataFrame(
        {"section": names, "mouse": ["007", "007", "1E5", "1E5"], "group": ["PBS"] * 4,
         "dpi": [3, 3, 3, 3], "control": "", "tissue_mm2": [2.0, 2.0, 4.0, 1.0]}
    )  # fmt: skip
    sections.to_csv(truth / "sections.csv", index=False)
    status = ["done", "done", "done", "failed"]
    sections[["section", "mouse"]].assign(status=status, reason="").to_csv(
        results / "sections.csv", index=False
    )
    found = [("s1", 104.0, 104.0, True), ("s1", 300.0, 307.0, True), ("s1", 500.0, 506.0, True),
             ("s1", 500.0, 500.0, False), ("s3", 5.0, 5.0, True)]  # fmt: skip
    pd.DataFrame(found, columns=["section", "y_um", "x_um", "positive"]).to_parquet(
        results / "cells.parquet"
    )
    pd.DataFrame({"section": ["s1"], "mouse": ["007"], "class": ["solitary"]}).to_csv(
        results / "foci.csv", index=False
    )
    (results / "run.json").write_text("{}")
    return results, truth


def test_counts_against_truth(tmp_path: Path) -> None:
    results, truth = study(tmp_path)
    outcome = evaluate_results(results, truth.parent)
    rows = outcome.rows.set_index("section")
    assert rows.index.tolist() == ["s1", "s2", "s3"]
    # 5.7 µm off is within 6 µm, 7 µm is not; one found cell serves one of two true ones.
    first = rows.loc["s1"]
    assert (first["matched"], first["missed"], first["false_positives"]) == (2, 2, 1)
    assert (first["solitary_true"], first["solitary_matched"]) == (2, 1)
    assert first["false_positives_per_mm2"] == 0.5
    assert rows.loc["s2", ["precision", "recall", "solitary_recall"]].isna().all()
    assert rows.loc["s3", "precision"] == 0.0
    assert np.isnan(rows.loc["s3", "recall"])
    mice = outcome.curve.set_index("mouse")
    assert mice.index.tolist() == ["007", "1E5"]
    assert mice["within_tolerance"].tolist() == [True, True]
    assert mice["sections_failed"].tolist() == [0, 1]
    assert (mice.loc["007", "solitary"], mice.loc["007", "solitary_true"]) == (1, 2)
    overall = outcome.overall
    assert (overall["cells"], overall["cells_true"], overall["sections_failed"]) == (4, 4, 1)
    assert overall["solitary_recall"] == 0.5
    assert overall["false_positives_per_mm2"] == pytest.approx(2 / 8)
    assert overall["false_positives_per_mm2_without_cells"] == pytest.approx(1 / 6)


def test_counts_on_the_command_line(tmp_path: Path, capsys) -> None:
    results, truth = study(tmp_path)
    out = tmp_path / "out"
    code, printed, _ = run(capsys, "evaluate", results, truth, "--out", out)
    assert code == 0
    assert "within_tolerance" in printed
    assert pd.read_csv(out / "mice.csv", dtype=str)["mouse"].tolist() == ["007", "1E5"]
    assert (out / "evaluation.png").exists()
    code, _, errors = run(capsys, "evaluate", results, tmp_path)
    assert code == 2
    assert "fociquant simulate" in errors
    sheet = pd.read_csv(truth / "sections.csv", dtype=str)
    sheet.assign(section=["s1", "s2", "s3", "other"]).to_csv(truth / "sections.csv", index=False)
    code, _, errors = run(capsys, "evaluate", results, truth)
    assert code == 2
    assert "s4" in errors
    assert "other" in errors
