"""No dead knobs: a training run reads every setting of RunConfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.config import SETTINGS, RunConfig
from desktop_ft.core.config.fields import Section
from tests.engine import helpers
from tests.engine.conftest import make_run

NOT_FOR_THE_ENGINE = {
    "schema_version": "read where the file is loaded",
    "name": "names the run's folder before the engine starts",
}


def _section_paths() -> dict[type[Section], str]:
    """Each section's dotted path, by class; every section class stands in one place only."""
    paths: dict[type[Section], str] = {RunConfig: ""}
    pending: list[type[Section]] = [RunConfig]
    while pending:
        section = pending.pop()
        for name, info in section.model_fields.items():
            inner = info.annotation
            if isinstance(inner, type) and issubclass(inner, Section):
                assert inner not in paths
                paths[inner] = f"{paths[section]}{name}."
                pending.append(inner)
    return paths


def _record_reads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    read: set[str] = set()
    paths = _section_paths()
    look_up = object.__getattribute__

    def recorded(section: Section, name: str) -> object:
        prefix = paths.get(type(section))
        if prefix is not None and f"{prefix}{name}" in SETTINGS:
            read.add(f"{prefix}{name}")
        return look_up(section, name)

    monkeypatch.setattr(Section, "__getattribute__", recorded)
    return read


def test_the_engine_reads_every_setting(tiny: Path, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, object] = {
        "model.source": str(tiny),
        "data.train": str(chats),
        "data.split.fraction": 0.2,
        "training.max_steps": 2,
        "evaluation.sample_prompts": ["the quick brown fox"],
        "evaluation.sample_max_new_tokens": 4,
    }
    run = make_run(tmp_path / "run", changes)
    read = _record_reads(monkeypatch)
    assert helpers.work(run) == 0
    assert set(SETTINGS) - read - set(NOT_FOR_THE_ENGINE) == set()
