"""The training twins that TRL ships for well-known chat templates: the same template with generation markers.

TRL swaps them in for assistant-only loss where a model's template equals one that it knows, byte for byte. To train on the same ids and
labels, core does too: it reads the template files beside the installed package, without importing it.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_SUFFIX = "_training.jinja"


def training_twin(source: str) -> str | None:
    """The marked twin of a template, or None if TRL ships none for it."""
    return _twins().get(source)


@lru_cache(maxsize=1)
def _twins() -> dict[str, str]:
    spec = find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(next(iter(spec.submodule_search_locations))) / "chat_templates"
    twins: dict[str, str] = {}
    for marked in sorted(folder.glob(f"*{_SUFFIX}")):
        plain = marked.with_name(marked.name.removesuffix(_SUFFIX) + ".jinja")
        if plain.is_file():
            twins[plain.read_text(encoding="utf-8")] = marked.read_text(encoding="utf-8")
    return twins
