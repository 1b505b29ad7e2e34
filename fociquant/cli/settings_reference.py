"""``docs/settings.md``, made from :mod:`fociquant.settings`.

Write the page again after a setting has changed::

    python -m fociquant.cli.settings_reference docs/settings.md
"""

from __future__ import annotations

import json
import sys
from typing import Any, get_args, get_type_hints

from pydantic.fields import FieldInfo

from fociquant.cli.reference import put_out
from fociquant.settings import ROOMS, Room, Settings

_HEAD = """\
# Settings

This page is made from the program (`python -m fociquant.cli.settings_reference docs/settings.md`);
do not edit it.

Every setting has a default; write only what differs, into `study.yaml`:

```yaml
gate:
  min_score: 3.2
foci: {link_um: 30}
```

Defaults come first, then the preset, then `study.yaml`. `run.json` has every value that a run used
(`settings`). Unknown keys and values beyond the limits are refused. After a change, give the same
`run` command again.

What to change for what you see is told in the [user guide](user_guide.md#7-adjust-if-needed), what
the rules do in [measurements](measurements.md).
"""

_COUNTED_ANEW = "After a change the sections are counted again."
_TABLES_ONLY = (
    "After a change only the tables are made again, in seconds, from what is stored; "
    "three settings of `gate` made looser than their default are "
    "[the exception](results_folder.md#resuming)."
)

AFTER_A_CHANGE: dict[Room, str] = {
    "prepare": _COUNTED_ANEW,
    "segment": _COUNTED_ANEW,
    "measure": _COUNTED_ANEW,
    "gate": _TABLES_ONLY,
    "foci": "After a change only the tables are made again, in seconds.",
    "immune": "After a change of `band_um` or `reach_um` only the tables are made again; after any "
    "other the immune cells are looked for again, and the cancer cells stay.",
    "review": "After a change only the tables are made again. What begins with `audit_` holds from "
    "the next draw on, and the options of `fociquant audit` go before it.",
}
"""What it costs to change a setting of a room."""


def page() -> str:
    """The page, Markdown."""
    return "\n".join([_HEAD, *(_section(room) for room in ROOMS)])


def _section(room: Room) -> str:
    """Heading, cost of a change and table of one room."""
    model = type(getattr(Settings(), room))
    hints = get_type_hints(model)
    lines = [
        f"## {room}",
        "",
        f"{_plain(model.__doc__ or '')} {AFTER_A_CHANGE[room]}",
        "",
        "| key | default | allowed | meaning |",
        "|---|---|---|---|",
    ]
    for key, field in model.model_fields.items():
        cells = (f"`{key}`", _default(field), _allowed(field, hints[key]), _meaning(field))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _meaning(field: FieldInfo) -> str:
    return _plain(field.description or "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "empty" if value in ({}, []) else f"`{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _allowed(field: FieldInfo, hint: Any) -> str:
    """Choices or limits of a setting; empty where its type says it all."""
    if hint is bool:
        return "`true`, `false`"
    choices = get_args(hint)
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    return _limits(field) if hint in (int, float) else ""


def _limits(field: FieldInfo) -> str:
    """``0 to 1``, ``above 0``, ``1 or more``."""
    limits = {
        name: f"{getattr(limit, name):g}"
        for name in ("ge", "gt", "le", "lt")
        for limit in field.metadata
        if getattr(limit, name, None) is not None
    }
    if "ge" in limits:
        return f"{limits['ge']} to {limits['le']}" if "le" in limits else f"{limits['ge']} or more"
    words = {"gt": "above", "le": "to", "lt": "below"}
    return ", ".join(f"{word} {limits[name]}" for name, word in words.items() if name in limits)


def _plain(text: str) -> str:
    """A docstring on one line of Markdown."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def main(arguments: list[str] | None = None) -> int:
    """Write the page to the path given; without one, to standard output."""
    return put_out(page(), arguments)


if __name__ == "__main__":
    sys.exit(main())
