"""No dead knobs: a training run reads every setting of RunConfig."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from desktop_ft.core.config import SETTINGS, RunConfig
from desktop_ft.core.config.fields import Section
from desktop_ft.core.runs import RunDir
from tests.engine import helpers
from tests.engine.conftest import make_run, sentence

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


@pytest.fixture
def preferences(tmp_path: Path) -> Path:
    """24 pairs of a longer and a shorter answer."""
    rows = [{"prompt": sentence(n, 4), "chosen": " " + sentence(n + 1, 6), "rejected": " " + sentence(n + 5, 3)} for n in range(24)]
    path = tmp_path / "preferences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


BASE: dict[str, object] = {
    "data.split.fraction": 0.2,
    "training.max_steps": 1,
    "evaluation.sample_prompts": ["the quick brown fox"],
    "evaluation.sample_max_new_tokens": 4,
}
RULES = [{"kind": "regex", "pattern": "e"}]
SAMPLED: dict[str, object] = {"objective.rewards.rules": RULES, "objective.rollout.max_completion_length": 4}
RUNS: dict[str, dict[str, object]] = {
    "sft": {},
    "qlora": {"method.kind": "qlora"},
    "full": {"method.kind": "full"},
    "dpo": {"objective.kind": "dpo"},
    "orpo": {"objective.kind": "orpo"},
    "kto": {"objective.kind": "kto"},
    "reward": {"objective.kind": "reward"},
    "grpo": {"objective.kind": "grpo", "objective.grpo.num_generations": 2, **SAMPLED},
    "rloo": {"objective.kind": "rloo", "objective.rloo.num_generations": 2, **SAMPLED},
    "ppo": {"objective.kind": "ppo", "objective.ppo.target_kl": 1.0, **SAMPLED},
    "rlhf": {"objective.kind": "rlhf", "objective.rollout.max_completion_length": 4},
}
"""Each reads what it needs; together they read everything."""


def test_the_engine_reads_every_setting(
    tiny: Path, chats: Path, preferences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[RunDir] = []
    for name, changes in RUNS.items():
        has_pairs = name in {"dpo", "orpo", "kto", "reward", "rlhf"}
        files: dict[str, object] = {"model.source": str(tiny), "data.train": str(preferences if has_pairs else chats)}
        runs.append(make_run(tmp_path / name, {**BASE, **files, **changes}))
    read = _record_reads(monkeypatch)
    for run in runs:
        assert helpers.work(run) == 0, run.path.name
    assert set(SETTINGS) - read - set(NOT_FOR_THE_ENGINE) == set()
