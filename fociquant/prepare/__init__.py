"""Room: prepare."""
