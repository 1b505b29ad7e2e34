"""``python -m fociquant``."""

from __future__ import annotations

from fociquant.cli import main

if __name__ == "__main__":
    main()
