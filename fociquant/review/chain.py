"""Lines that each prove the one before: canonical JSON and a chain of sha256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fociquant.review.decisions import Action, Entry

FORMAT = 1
"""Of the lines; raised when an older reader could no longer follow."""

GENESIS = "0" * 64
"""``prev`` of the first line."""


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys, no spaces, no NaN: the one text of this content.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def link_hash(prev: str, content: Mapping[str, Any]) -> str:
    """sha256 (hex) over the previous hash and the canonical JSON of a line without ``hash``."""
    return hashlib.sha256((prev + canonical(content)).encode()).hexdigest()


def to_line(entry: Entry) -> tuple[str, Entry]:
    """An entry as a line (with its line feed), and the entry with its hash.

    Parameters
    ----------
    entry : Entry
        ``hash`` is ignored and made anew.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "seq": entry.seq,
        "time": entry.time,
        "action": str(entry.action),
        "prev": entry.prev,
        **dict(entry.content),
    }
    if entry.reason:
        content["reason"] = entry.reason
    digest = link_hash(entry.prev, content)
    line = canonical(content | {"hash": digest}) + "\n"
    # What was written is what is kept: a tuple comes back from JSON as a list.
    return line, from_content(json.loads(line))


RESERVED = ("format", "seq", "time", "action", "prev", "hash", "reason")
"""Keys of a line that are not the decision's own."""


def from_content(content: Mapping[str, Any]) -> Entry:
    """An entry from the object of a line.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a key is missing or of the wrong kind.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r} is not known to this version")
    return Entry(
        seq=int(content["seq"]),
        time=str(content["time"]),
        action=Action(content["action"]),
        content={key: value for key, value in content.items() if key not in RESERVED},
        reason=str(content.get("reason", "")),
        prev=str(content["prev"]),
        hash=str(content["hash"]),
    )


def proves_itself(content: Mapping[str, Any]) -> bool:
    """Whether the hash of a line is that of its content."""
    rest = {key: value for key, value in content.items() if key != "hash"}
    try:
        return link_hash(str(content.get("prev")), rest) == content.get("hash")
    except (TypeError, ValueError):
        return False
