"""What a user sets once: keys, the reviewer's name, where images were found."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from fociquant.atomic import write_json
from fociquant.errors import DiskError

VARIABLE = "NAPARI_FOCIQUANT_CONFIG"
"""Environment variable with another path for the settings file."""


def config_file() -> Path:
    """The settings file, ``napari-fociquant.json`` in the user's folder for settings."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else user_config_path("napari-fociquant") / "napari-fociquant.json"


@dataclass
class Config:
    """The content of the settings file.

    Parameters
    ----------
    keys : dict of str to str
        Action to key, for those that are not the default.
    reviewer : str
        Name under which decisions are logged.
    image_folders : dict of str to str
        Name of a results folder to the folder in which its images were found.
    problem : str
        Why the file could not be read; ``""`` if it could.
    """

    keys: dict[str, str] = field(default_factory=dict)
    reviewer: str = ""
    image_folders: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def load_config() -> Config:
    """Read the settings file; one that cannot be read is said, and defaults are used."""
    path = config_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        return Config(problem=f"{path} cannot be read ({error}); the default keys are used.")
    if not isinstance(content, dict):
        return Config(problem=f"{path} does not hold a JSON object; the default keys are used.")
    return Config(
        keys=_texts(content.get("keys")),
        reviewer=str(content.get("reviewer") or ""),
        image_folders=_texts(content.get("image_folders")),
    )


def _texts(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(key): text for key, text in pairs if isinstance(text, str)}


def save_config(config: Config) -> None:
    """Write the settings file in one step; a place that cannot be written is left alone."""
    path = config_file()
    content = {
        "keys": config.keys, "reviewer": config.reviewer, "image_folders": config.image_folders,
    }  # fmt: skip
    with suppress(DiskError):
        write_json(path, content)
