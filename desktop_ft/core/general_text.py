"""The general text on which forgetting is measured: short pieces of many kinds that have nothing to do with anybody's training data.

Written for this program. A change of it changes every measured number, so runs record its hash. Must not import Qt or torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from desktop_ft.core.data.fingerprint import Fingerprint, file_fingerprint
from desktop_ft.core.data.records import PlainText
from desktop_ft.core.resources import resource_path


def general_text_file() -> Path:
    """The file of pieces, JSON lines with ``style`` and ``text``. Raises ``resources_missing``."""
    return resource_path("general_text", "english.jsonl")


def general_texts() -> tuple[PlainText, ...]:
    """The pieces in their order. Raises ``resources_missing``."""
    lines = general_text_file().read_text(encoding="utf-8").splitlines()
    return tuple(PlainText(cast("dict[str, str]", json.loads(line))["text"]) for line in lines)


def general_text_fingerprint() -> Fingerprint:
    """What the numbers were measured on. Raises ``resources_missing``."""
    return file_fingerprint(general_text_file())
