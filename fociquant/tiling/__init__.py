"""Room: tiling."""
