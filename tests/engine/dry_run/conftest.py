"""A dry run has a process of its own; in these tests it leaves tensors without content in bitsandbytes' caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest


@pytest.fixture(autouse=True)
def _own_caches() -> Iterator[None]:
    from bitsandbytes import functional
    from bitsandbytes.backends import utils

    caches = [cast("dict[Any, Any]", functional.name2qmap), cast("dict[Any, Any]", vars(utils)["_code_4bit_cache"])]
    before = [dict(cache) for cache in caches]
    for cache in caches:
        cache.clear()
    yield
    for cache, entries in zip(caches, before, strict=True):
        cache.clear()
        cache.update(entries)
