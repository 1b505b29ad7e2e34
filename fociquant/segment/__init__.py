"""The Cellpose core: networks, windows, decoding, training. The only home of torch.

torch and cellpose are imported when a model is built, not with this package.
"""

from __future__ import annotations

from fociquant.segment.registry import check_model_name, load_segmenter

__all__ = ["check_model_name", "load_segmenter"]
