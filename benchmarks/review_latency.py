"""How long a decision takes: on the disk, and shown, with 100 000 candidates.

Run it with::

    python benchmarks/review_latency.py --cells 100000
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from fociquant.review import ReviewSession


def make_results(folder: Path, number: int) -> Path:
    """What a session reads of a results folder."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 20_000, (number, 2)).round(2)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    disc = 6 * np.column_stack([np.sin(turn), np.cos(turn)])
    pd.DataFrame({
        "section": "s1", "cell": np.arange(1, number + 1), "y_um": places[:, 0],
        "x_um": places[:, 1], "positive": rng.random(number) < 0.3, "flags": "",
        "score": rng.normal(size=number),
        "outline": [(place + disc).astype(np.float32).ravel() for place in places],
    }).to_parquet(folder / "cells.parquet")  # fmt: skip
    (folder / "sections" / "s1").mkdir(parents=True)
    (folder / "sections" / "s1" / "section.json").write_text(json.dumps({"key": "k" * 64}))
    (folder / "run.json").write_text(json.dumps({"sections": [{"name": "s1"}]}))
    return folder


def main() -> None:
    """Print milliseconds per kind of decision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results = make_results(Path(name), arguments.cells)
        began = time.perf_counter()
        session = ReviewSession.open(results, "s1", "bench")
        print(f"open       {1000 * (time.perf_counter() - began):7.0f} ms")
        square = np.array([(0, 0), (0, 9), (9, 9), (9, 0)], float)
        acts = {
            "reject 1": lambda i: session.reject(i + 1),
            "reject 100": lambda i: session.reject(range(100 * i + 1, 100 * i + 101)),
            "add": lambda i: session.add(square + 20 * i),
            "exclude": lambda i: session.exclude(square * 100 + 50 * i, reason="fold"),
            "merge": lambda i: session.merge([i + 1, i + 2]),
            "undo": lambda i: session.undo(),
            "sign off": lambda i: session.sign_off(),
        }
        for what, act in acts.items():
            times = []
            for i in range(arguments.repeats):
                began = time.perf_counter()
                act(i)
                times.append(1000 * (time.perf_counter() - began))
            print(f"{what:10} {np.median(times):7.1f} ms, worst {max(times):.1f} ms")
        session.close()


if __name__ == "__main__":
    main()
