"""Where the pixels of a cell flow to: Cellpose's Euler steps, each trajectory followed once.

Cellpose moves every foreground pixel along the flow for a fixed number of steps; pixels
that end together are one cell. The paths of one cell run together: after as many steps
as a cell's radius has pixels, most points lie on each other to the last bit, and from
there their ways are the same. So equal points are followed once, and points found going
round in a circle are not followed any more. What is returned is bit for bit what
:func:`cellpose.dynamics.follow_flows` returns (C. Stringer et al., Nature Methods 18,
100-106, 2021), for about a quarter of the work.
"""

from __future__ import annotations

import numpy as np
import torch

from fociquant.segment.few_points import CIRCLE, FIRST_PAUSE

CHUNK_POINTS = 65536
"""Points moved at a time before they meet: they and their part of the field stay in cache."""

HASH_FACTOR = 0x9E3779B97F4A7C15 - 2**64
"""2**64 over the golden ratio, odd, as a signed number: Fibonacci hashing (Knuth, The Art of
Computer Programming,
volume 3, 6.4)."""


def end_points(
    flow: np.ndarray, foreground: np.ndarray, steps: int, device: torch.device
) -> torch.Tensor:
    """Where each foreground pixel ends.

    Parameters
    ----------
    flow : numpy.ndarray of float32, shape (2, H, W)
        Flow along y and x, 5 times a unit vector; H and W at least 2.
    foreground : numpy.ndarray of bool, shape (H, W)
        Pixels that move; there is no flow elsewhere. At least one.
    steps : int
        Euler steps of at most one pixel.
    device : torch.device

    Returns
    -------
    torch.Tensor of int32, shape (2, n)
        Row and column of each foreground pixel at the end, in raster order.
    """
    shape = foreground.shape
    sizes = [float(size - 1) for size in reversed(shape)]
    field = _field(flow, foreground, sizes).to(device)
    points = _start(foreground, sizes).to(device)
    ends = _follow(field, points, steps)
    # The operations and their order are Cellpose's: every rounding is the same.
    ends += 1
    ends *= 0.5
    for axis, size in enumerate(sizes):
        ends[:, axis] *= size
    return ends[:, [1, 0]].T.int()


def _field(flow: np.ndarray, foreground: np.ndarray, sizes: list[float]) -> torch.Tensor:
    """Flow as (1, 2, H, W), x first, in the units of :func:`torch.grid_sampler`."""
    moves = flow * foreground / np.float32(5.0)
    field = torch.empty((1, 2, *foreground.shape), dtype=torch.float32)
    for axis, size in enumerate(sizes):
        field[0, axis] = torch.from_numpy(moves[1 - axis])
        field[:, axis] *= 2.0 / size
    return field


def _start(foreground: np.ndarray, sizes: list[float]) -> torch.Tensor:
    """Foreground pixels as (n, 2), x first, from -1 to 1."""
    rows, columns = np.divmod(np.flatnonzero(foreground), foreground.shape[1])
    points = torch.empty((len(rows), 2), dtype=torch.float32)
    for axis, where in enumerate((columns, rows)):
        points[:, axis] = torch.from_numpy(where)
        points[:, axis] /= sizes[axis]
    points *= 2
    points -= 1
    return points


def _follow(field: torch.Tensor, points: torch.Tensor, steps: int) -> torch.Tensor:
    """All `points` after all `steps`."""
    first = min(FIRST_PAUSE, steps)
    parts, links, count = [], [], 0
    for chunk in points.split(CHUNK_POINTS):
        part, link = _merge(_moved(field, chunk, first))
        parts.append(part)
        links.append(link + count)
        count += len(part)
    return _finish(field, torch.cat(parts), steps - first)[torch.cat(links)]


def _finish(field: torch.Tensor, points: torch.Tensor, steps: int) -> torch.Tensor:
    """`points` after the last `steps`; what comes back to where it was stays there."""
    if not steps or not len(points):
        return points
    # What is left is then a multiple of the circle: a point that closes it ends here.
    stride = steps % CIRCLE or CIRCLE
    ends = _moved(field, points, stride)
    if stride < CIRCLE:
        different, link = _merge(ends)
        return _finish(field, different, steps - stride)[link]
    moving = (ends != points).any(dim=1)
    different, link = _merge(ends[moving])
    ends[moving] = _finish(field, different, steps - stride)[link]
    return ends


def _moved(field: torch.Tensor, points: torch.Tensor, steps: int) -> torch.Tensor:
    """`points` after `steps`."""
    points = points.clone()
    grid, x, y = points[None, None], points[:, 0], points[:, 1]
    for _ in range(steps):
        # Bilinear, zeros outside, Cellpose's choice of corners.
        move = torch.grid_sampler(field, grid, 0, 0, False)[0, :, 0]
        x += move[0]
        y += move[1]
        points.clamp_(-1.0, 1.0)
    return points


def _merge(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Different points, and which of them each of `points` is.

    Some equal ones may stay apart: points meet in a hash table without chains. That costs time
    and changes nothing.
    """
    ids = torch.arange(len(points), device=points.device)
    keys = points.view(torch.int64)[:, 0]
    bits = len(points).bit_length() + 1
    places = ((keys * HASH_FACTOR) >> (64 - bits)) & ((1 << bits) - 1)
    table = torch.empty(1 << bits, dtype=torch.int64, device=points.device)
    winner = table.scatter_(0, places, ids).gather(0, places)
    winner = torch.where(keys.gather(0, winner) == keys, winner, ids)
    kept = winner == ids
    return points[kept], (torch.cumsum(kept, 0) - 1).gather(0, winner)
