"""fociquant counts disseminated cancer cells and metastatic foci in lung sections.

"Foci" here are metastatic foci: groups of cancer cells in tissue, not the
DNA-damage or transcription foci inside a nucleus.
"""

from __future__ import annotations

__version__ = "0.1.0"
