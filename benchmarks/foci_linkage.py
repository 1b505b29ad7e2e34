"""How long foci take, against two slower ways to the same answer.

Run ``python benchmarks/foci_linkage.py`` (``--cells 10000 100000 1000000``). Columns:
``find`` is :func:`fociquant.foci.find_foci` as a whole; ``link`` its linkage alone;
``exhaustive`` every neighbour's distance (an R-tree, no shortcut); ``brute`` the
distance of all pairs, at small n only. All must find the same foci.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fociquant.foci import find_foci
from fociquant.foci._link import LINK_TOLERANCE_UM, link, link_exhaustively
from fociquant.foci._outlines import read_outlines
from fociquant.settings import load_profile

LINK_UM = 20.0
BRUTE_UP_TO = 3_000
EXHAUSTIVE_UP_TO = 200_000


def synthetic_cells(n: int, *, seed: int, packed: bool) -> pd.DataFrame:
    """`n` cells of about 12 µm and 24 points, half alone and half in foci of 2 to 500.

    With `packed`, all in one focus: the worst case.
    """
    rng = np.random.default_rng(seed)
    centres = _packed(n) if packed else _scattered(n, rng)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = 6.0 * (1 + 0.04 * rng.standard_normal((n, 24)))
    y = centres[:, :1] + radius * np.sin(angle)
    x = centres[:, 1:] + radius * np.cos(angle)
    outlines = np.stack((y, x), axis=2).reshape(n, -1).astype(np.float32)
    return pd.DataFrame(
        {
            "cell": np.arange(1, n + 1),
            "y_um": centres[:, 0],
            "x_um": centres[:, 1],
            "positive": True,
            "outline": list(outlines),
        }
    )


def _packed(n: int) -> np.ndarray:
    side = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=2)
    return grid.reshape(-1, 2)[:n] * 12.0 + 10.0


def _scattered(n: int, rng: np.random.Generator) -> np.ndarray:
    width = 120.0 * np.sqrt(n)
    alone = rng.uniform(0, width, (n // 2, 2))
    groups = [alone]
    left = n - len(alone)
    while left > 0:
        size = min(left, int(np.exp(rng.uniform(np.log(2), np.log(500)))))
        spot = _packed(size) - 6.0 * np.sqrt(size) + rng.uniform(0, width, 2)
        groups.append(spot + rng.normal(0, 1.0, spot.shape))
        left -= size
    return np.concatenate(groups)


def brute_force(polygons: np.ndarray) -> np.ndarray:
    """Components from the distances of all pairs."""
    near = shapely.distance(polygons[:, None], polygons[None]) <= LINK_UM + LINK_TOLERANCE_UM
    return connected_components(coo_array(near), directed=False)[1]


def timed(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[float, Any]:
    """Seconds and result of one call."""
    start = time.perf_counter()
    result = function(*args, **options)
    return time.perf_counter() - start, result


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labelings group the same rows."""
    pairs = np.unique(np.column_stack((one, other)), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


def measure(n: int, *, packed: bool) -> str:
    """One row of the table, for `n` cells."""
    cells = synthetic_cells(n, seed=n, packed=packed)
    find_s, result = timed(
        find_foci, cells, link_um=LINK_UM, profile=load_profile("chia2025"), phenotypes=[]
    )
    outlines = read_outlines(cells["outline"].to_list(), cells=cells["cell"].to_numpy())
    link_s, fast = timed(link, outlines, link_um=LINK_UM)
    polygons = outlines.polygons(np.arange(n))
    peers = [(link_exhaustively, EXHAUSTIVE_UP_TO, {"link_um": LINK_UM})]
    peers += [(brute_force, BRUTE_UP_TO, {})]
    row = f"{n:>9} {'packed' if packed else 'scattered':>9} {len(result.foci):>8}"
    row += f" {find_s:>8.2f} {link_s:>8.2f}"
    for peer, limit, options in peers:
        if n > limit:
            row += f" {'-':>18}"
            continue
        seconds, labels = timed(peer, polygons, **options)
        if not same_partition(fast, labels):
            raise SystemExit(f"{peer.__name__} and link() disagree at n = {n}")
        row += f" {seconds:>8.2f} ({seconds / link_s:>5.1f} x)"
    return row


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[2_000, 10_000, 100_000, 1_000_000])
    arguments = parser.parse_args(argv)
    print(f"{'cells':>9} {'layout':>9} {'foci':>8} {'find s':>8} {'link s':>8}", end="")
    print(f" {'exhaustive s':>18} {'brute s':>18}")
    for packed in (False, True):
        for n in arguments.cells:
            print(measure(n, packed=packed), flush=True)


if __name__ == "__main__":
    main()
