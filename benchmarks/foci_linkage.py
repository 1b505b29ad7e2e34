"""How long foci take and how much memory, against plainer ways to the same answer.

Run ``python benchmarks/foci_linkage.py`` (``--cells 10000 100000 1000000``, ``--layout foci``).
Times are seconds of processor time. Columns: ``find`` is :func:`fociquant.foci.find_foci` as a
whole, with the memory it takes on top of its input; ``link`` its linkage alone; ``classes``
:func:`fociquant.foci.link_sensitivity`, classes at five linking distances. ``plain`` is what
takes a page of shapely and scipy: a polygon per cell, an R-tree with ``dwithin``,
``connected_components``, the union of each focus's buffers; its focus numbers must be the same
and its areas equal to 2 in 10 000. ``brute`` is the distance of all pairs.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fociquant.foci import find_foci, link_sensitivity
from fociquant.foci._link import LINK_TOLERANCE_UM, link
from fociquant.foci._outlines import read_outlines
from fociquant.settings import load_profile

LINK_UM = 20.0
SPACING_UM = 12.0
BRUTE_UP_TO = 1_000
PLAIN_UP_TO = 100_000
LAYOUTS = ("foci", "packed")


def synthetic_cells(n: int, *, seed: int, packed: bool) -> pd.DataFrame:
    """`n` cells of about 12 µm and 16 to 40 points: 30 % alone, the others in foci of 2 to 5000.

    With `packed`, all in one focus.
    """
    rng = np.random.default_rng(seed)
    centres = _disc(n) if packed else _scattered(n, rng)
    outlines = []
    for y, x in centres.tolist():
        points = int(rng.integers(16, 41))
        angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
        radius = 0.5 * SPACING_UM * (1 + 0.04 * rng.standard_normal(points))
        yx = np.column_stack((y + radius * np.sin(angle), x + radius * np.cos(angle)))
        outlines.append(yx.astype(np.float32).ravel())
    return pd.DataFrame(
        {
            "cell": np.arange(1, n + 1),
            "y_um": centres[:, 0],
            "x_um": centres[:, 1],
            "positive": True,
            "outline": pd.Series(outlines, dtype=object),
        }
    )


def _disc(n: int) -> np.ndarray:
    """The `n` places of a hexagonal lattice that are nearest to its middle, µm."""
    side = int(np.sqrt(n)) + 2
    rows = np.arange(-side, side + 1)
    y, x = (axis.ravel().astype(np.float64) for axis in np.meshgrid(rows, rows, indexing="ij"))
    places = SPACING_UM * np.column_stack((0.87 * y, x + 0.5 * (y % 2)))
    return places[np.argsort((places**2).sum(axis=1), kind="stable")[:n]]


def _scattered(n: int, rng: np.random.Generator) -> np.ndarray:
    width = 120.0 * np.sqrt(n)
    groups = [rng.uniform(0, width, (int(0.3 * n), 2))]
    left = n - len(groups[0])
    while left > 0:
        size = min(left, int(np.exp(rng.uniform(np.log(2), np.log(5000)))))
        spot = _disc(size) + rng.uniform(0, width, 2)
        groups.append(spot + rng.normal(0, 0.1 * SPACING_UM, spot.shape))
        left -= size
    return np.concatenate(groups)


def plain(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Group of each cell and area of each group, the plain way."""
    polygons = np.array(
        [shapely.Polygon(one.reshape(-1, 2)[:, ::-1].astype(np.float64)) for one in cells.outline],
        dtype=object,
    )
    reach = LINK_UM + LINK_TOLERANCE_UM
    pairs = shapely.STRtree(polygons).query(polygons, predicate="dwithin", distance=reach)
    edges = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), shape=(len(polygons),) * 2)
    group = connected_components(edges, directed=False)[1]
    sizes = np.bincount(group)
    shapes = polygons[np.argsort(group, kind="stable")]
    several = np.repeat(sizes, sizes) > 1
    shapes[several] = shapely.buffer(shapes[several], LINK_UM / 2, quad_segs=8)
    members = np.split(shapes, np.cumsum(sizes)[:-1])
    joined = np.array([shapely.union_all(own) for own in members], dtype=object)
    joined[sizes > 1] = shapely.buffer(joined[sizes > 1], -LINK_UM / 2, quad_segs=8)
    return group, shapely.area(joined)


def brute_force(polygons: np.ndarray) -> np.ndarray:
    """Components from the distances of all pairs."""
    near = shapely.distance(polygons[:, None], polygons[None]) <= LINK_UM + LINK_TOLERANCE_UM
    return connected_components(coo_array(near), directed=False)[1]


def timed(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[float, float, Any]:
    """Seconds of processor time, most memory above that at the start (MB), result of one call."""
    before, most, done = _resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], _resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.process_time()
    try:
        result = function(*args, **options)
    finally:
        done.set()
        watcher.join()
    return time.process_time() - start, max(0.0, most[0] - before), result


def _resident_mb() -> float:
    """Memory of this process; 0 where the system has no /proc."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 / 1e6 if path.exists() else 0.0


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labelings group the same rows."""
    pairs = np.unique(np.column_stack((one, other)), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


def measure(n: int, layout: str) -> str:
    """One row of the table, for `n` cells."""
    cells = synthetic_cells(n, seed=n, packed=layout == "packed")
    profile = load_profile("chia2025")
    find_s, find_mb, result = timed(
        find_foci, cells, link_um=LINK_UM, profile=profile, phenotypes=[]
    )
    outlines = read_outlines(cells["outline"].to_list(), cells=cells["cell"].to_numpy())
    link_s, _, group = timed(link, outlines, link_um=LINK_UM)
    classes_s, _, _ = timed(link_sensitivity, cells, link_um=LINK_UM, profile=profile)
    row = f"{n:>9} {layout:>7} {len(result.foci):>7} {find_s:>7.2f} {find_mb:>6.0f} MB"
    row += f" {link_s:>7.2f} {classes_s:>9.2f}"
    if n <= PLAIN_UP_TO:
        plain_s, plain_mb, (other, areas) = timed(plain, cells)
        _require(same_partition(result.focus, other), "plain", n)
        mine = result.foci["area_um2"].to_numpy()[result.focus - 1]
        _require(np.allclose(mine, areas[other], rtol=2e-4, atol=0.02), "areas of plain", n)
        row += f" {plain_s:>8.2f} ({plain_s / find_s:>4.1f} x) {plain_mb:>6.0f} MB"
    if n <= BRUTE_UP_TO:
        brute_s, _, other = timed(brute_force, outlines.polygons(np.arange(n)))
        _require(same_partition(group, other), "brute", n)
        row += f" {brute_s:>8.2f}"
    return row


def _require(same: bool, peer: str, n: int) -> None:
    if not same:
        raise SystemExit(f"{peer} and find_foci() disagree at n = {n}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--layout", choices=LAYOUTS, nargs="+", default=LAYOUTS)
    arguments = parser.parse_args(argv)
    print(f"{'cells':>9} {'layout':>7} {'foci':>7} {'find s':>7} {'memory':>9}", end="")
    print(f" {'link s':>7} {'classes s':>9} {'plain s':>17} {'memory':>9} {'brute s':>8}")
    for layout in arguments.layout:
        for n in arguments.cells:
            print(measure(n, layout), flush=True)


if __name__ == "__main__":
    main()
