"""Room: foci."""
