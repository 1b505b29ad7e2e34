"""How often the intervals of an audit contain the truth, by simulation.

Run it with::

    python benchmarks/audit_coverage.py --repeats 400

Each experiment has two arms of four mice. The true cells of a mouse are negative binomial
round the mean of its arm (CV 0.9 between mice). The program finds most of them, counts some
other things, and misses a few altogether; all three error rates differ between mice. An
audit is drawn and judged without mistakes, and it is noted whether the interval of each
mouse contains its true number and the interval of each arm the mean it was drawn from.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.review.audit_design import ACCEPTED, REJECTED, TISSUE, draw_audit
from fociquant.review.audit_estimate import estimate_audit

CV = 0.9
ARMS = ("PBS", "IAV")


@dataclass(frozen=True)
class Scene:
    """One row of the table: what is true, and how much is looked at."""

    name: str
    means: tuple[float, float]
    candidates: int
    precision: float
    recall: float
    missed: float
    alike: float
    sizes: tuple[int, int, int]
    mice: int = 4


SCENES = (
    Scene("good counter", (20, 800), 2000, 0.95, 0.95, 0.02, 50, (100, 100, 40)),
    Scene("rough counter", (20, 800), 2000, 0.7, 0.8, 0.05, 20, (100, 100, 40)),
    Scene("mice differ much", (20, 800), 2000, 0.8, 0.85, 0.05, 4, (100, 100, 40)),
    Scene("hardly a cell", (1, 30), 3000, 0.6, 0.9, 0.05, 20, (100, 100, 40)),
    Scene("no error at all", (20, 800), 2000, 1.0, 1.0, 0.0, 50, (100, 100, 40)),
    Scene("small sample", (20, 800), 2000, 0.8, 0.85, 0.05, 20, (25, 25, 10)),
    Scene("large sample", (20, 800), 2000, 0.8, 0.85, 0.05, 20, (400, 400, 150)),
    Scene("three mice", (20, 800), 2000, 0.8, 0.85, 0.05, 20, (100, 100, 40), 3),
)


def simulate(scene: Scene, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Objects, fields and the true number of each mouse."""
    objects, fields, truth = [], [], {}
    for arm, mean in zip(ARMS, scene.means, strict=True):
        for number in range(scene.mice):
            mouse = f"{arm}{number}"
            cells = rng.poisson(rng.gamma(1 / CV**2, mean * CV**2))
            missed = rng.binomial(cells, vary(scene.missed, scene.alike, rng))
            found = cells - missed
            counted = rng.binomial(found, vary(scene.recall, scene.alike, rng))
            precision = vary(scene.precision, scene.alike, rng)
            wrong = rng.poisson((mean + 1) * (1 - precision) / max(precision, 0.05))
            other = rng.poisson(scene.candidates)
            truth[mouse] = cells
            objects.append(pd.DataFrame({
                "mouse": mouse, "group": arm,
                "accepted": np.repeat([True, True, False, False],
                                      [counted, wrong, found - counted, other]),
                "true": np.repeat([1, 0, 1, 0], [counted, wrong, found - counted, other]),
            }))  # fmt: skip
            fields.append(scatter(mouse, arm, missed, rng))
    return pd.concat(objects), pd.concat(fields), truth


def vary(mean: float, alike: float, rng: np.random.Generator) -> float:
    """A mouse's own rate."""
    return mean if mean in (0.0, 1.0) else rng.beta(mean * alike, (1 - mean) * alike)


def scatter(mouse: str, arm: str, missed: int, rng: np.random.Generator) -> pd.DataFrame:
    """Missed cells, in clusters of about two, over the fields of 60 mm² of tissue."""
    number = 1500
    counts = np.zeros(number, int)
    while missed > 0:
        size = min(missed, 1 + rng.poisson(1.0))
        counts[rng.integers(number)] += size
        missed -= size
    return pd.DataFrame({"mouse": mouse, "group": arm, "found": counts, "area_mm2": 0.04})


def one(scene: Scene, seed: int) -> dict[str, list[float]]:
    """Whether intervals hold the truth, and how wide they are."""
    rng = np.random.default_rng(seed)
    objects, fields, truth = simulate(scene, rng)
    objects = objects.sample(frac=1, random_state=seed).reset_index(drop=True)
    objects = objects.assign(section=objects["mouse"], dpi=9.0, cell=np.arange(len(objects)) + 1,
                             y_um=np.arange(len(objects)), x_um=0.0,
                             outline=[np.empty(0)] * len(objects))  # fmt: skip
    fields = fields.reset_index(drop=True).assign(
        section=fields["mouse"].to_numpy(), dpi=9.0, x0_um=0.0, y1_um=0.0, x1_um=0.0,
        y0_um=np.arange(len(fields)),
    )  # fmt: skip
    sizes = dict(zip((ACCEPTED, REJECTED, TISSUE), scene.sizes, strict=True))
    design = draw_audit(objects, fields, keys={}, sizes=sizes, seed=seed, created="")
    verdicts = {
        item.id: int(
            fields["found"].iloc[int(item.box[0])] if item.box
            else objects["true"].iloc[item.ref.cell - 1]
        )
        for item in design.items
    }  # fmt: skip
    estimate = estimate_audit(design, verdicts)
    mice = estimate.mice.assign(true=estimate.mice["mouse"].map(truth))
    inside = mice["true"].between(mice["cells_corrected_low"].round(6) - 1e-6,
                                  mice["cells_corrected_high"])  # fmt: skip
    out: dict[str, list[float]] = {"mouse": inside.astype(float).tolist()}
    for arm, mean in zip(ARMS, scene.means, strict=True):
        own = mice[mice["group"] == arm]
        out[f"bias_{arm}"] = [(own["cells_corrected"] - own["true"]).sum() / (mean * scene.mice)]
        out[f"mouse_{arm}"] = inside[mice["group"] == arm].astype(float).tolist()
        row = estimate.groups[estimate.groups["group"] == arm].iloc[0]
        out[f"arm_{arm}"] = [float(row.mean_corrected_low <= mean <= row.mean_corrected_high)]
        out[f"width_{arm}"] = [float(row.mean_corrected_high / max(row.mean_corrected_low, 0.01))]
        width = own["cells_corrected_high"] - own["cells_corrected_low"]
        out[f"half_{arm}"] = (width / 2).tolist()
    return out


def coverage(scene: Scene, repeats: int, seed: int = 1) -> dict[str, float]:
    """Means over experiments."""
    runs = [one(scene, seed * 100_000 + number) for number in range(repeats)]
    keys = runs[0].keys()
    reduce = {key: np.median if key[:4] in ("widt", "half") else np.mean for key in keys}
    return {key: float(reduce[key](np.concatenate([run[key] for run in runs]))) for key in keys}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--scenes", default="")
    arguments = parser.parse_args()
    print("| experiment | sample per arm | mice PBS | mice IAV | ± PBS | ± IAV | arm PBS | arm IAV "
          "| bias PBS | bias IAV |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for scene in SCENES:
        if arguments.scenes and arguments.scenes not in scene.name:
            continue
        got = coverage(scene, arguments.repeats)
        print(
            f"| {scene.name} | {'/'.join(map(str, scene.sizes))} "
            f"| {got['mouse_PBS']:.1%} | {got['mouse_IAV']:.1%} "
            f"| {got['half_PBS']:.0f} | {got['half_IAV']:.0f} "
            f"| {got['arm_PBS']:.1%} | {got['arm_IAV']:.1%} "
            f"| {got['bias_PBS']:+.0%} | {got['bias_IAV']:+.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
