"""Models that lie in the Hugging Face cache of this computer already. Reads the disk only, never the net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.models import ModelInfo, read_model


@dataclass(frozen=True)
class CachedModel:
    """One snapshot of the cache.

    Attributes:
        repo_id: Its name on the Hub.
        revision: Commit hash.
        refs: Branches and tags that point at it, such as ``main``.
        model: Its facts, or None where it cannot be trained.
        problem: Why not.
    """

    repo_id: str
    revision: str
    refs: tuple[str, ...]
    path: Path
    model: ModelInfo | None
    problem: DesktopFtError | None


class _Revision(Protocol):
    @property
    def commit_hash(self) -> str: ...
    @property
    def refs(self) -> frozenset[str]: ...
    @property
    def snapshot_path(self) -> Path: ...
    @property
    def last_modified(self) -> float: ...


class _Repo(Protocol):
    @property
    def repo_id(self) -> str: ...
    @property
    def repo_type(self) -> str: ...
    @property
    def revisions(self) -> frozenset[_Revision]: ...


def scan_hub_cache(cache_dir: Path | None = None) -> Iterator[CachedModel]:
    """Every model of the cache, by name, newest snapshot first; stop asking to cancel.

    Snapshots without a config.json (data, GGUF files, a tokenizer alone) are not models and are left out.

    Args:
        cache_dir: Another folder than the one that huggingface_hub uses.
    """
    for repo in sorted(_repos(cache_dir), key=lambda repo: repo.repo_id.lower()):
        if repo.repo_type != "model":
            continue
        for revision in sorted(repo.revisions, key=lambda revision: -revision.last_modified):
            if (revision.snapshot_path / "config.json").is_file():
                yield _read(repo.repo_id, revision)


def _repos(cache_dir: Path | None) -> list[_Repo]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        info = scan_cache_dir(cache_dir)
    except (CacheNotFound, OSError, ValueError):
        return []
    return cast("list[_Repo]", list(info.repos))


def _read(repo_id: str, revision: _Revision) -> CachedModel:
    model, problem = None, None
    try:
        model = read_model(revision.snapshot_path)
    except DesktopFtError as error:
        problem = error
    except OSError as error:
        problem = DesktopFtError("model_missing", "The model can't be read", str(error), "Download it again.")
    return CachedModel(repo_id, revision.commit_hash, tuple(sorted(revision.refs)), revision.snapshot_path, model, problem)
