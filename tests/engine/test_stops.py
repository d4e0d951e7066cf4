"""A model whose padding token is its end token learns to stop all the same: the end token is in the loss, padding is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from desktop_ft.core.demo import demo_model_dir
from desktop_ft.core.events import SampleDone
from tests.engine.conftest import NewRun
from tests.engine.helpers import events_of, work

COLOURS = ("red", "green", "blue", "white", "black", "grey", "pink", "brown")


END = "<|pad|>"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The demo model with one token for padding and end, which it has never written before."""
    folder = Path(shutil.copytree(demo_model_dir(), tmp_path / "one-token"))
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    end = next(token["id"] for token in tokens if token["content"] == END)
    changes = {"tokenizer_config": ("eos_token", "pad_token", END), "config": ("eos_token_id", "pad_token_id", end)}
    for name, (first, second, value) in {**changes, "generation_config": changes["config"]}.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), first: value, second: value}), encoding="utf-8")
    return folder


def test_it_learns_to_stop(model: Path, new_run: NewRun, tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    rows = [{"prompt": f"Colour {place} of {seed}:", "completion": f" {name}"} for seed in range(8) for place, name in enumerate(COLOURS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = new_run(
        "stops",
        {
            "model.source": str(model),
            "data.train": str(data),
            "training.max_steps": 24,
            "training.global_batch_size": 8,
            "method.kind": "full",
            "training.learning_rate": 2e-3,
            "evaluation.sample_prompts": ["Colour 3 of 2:", "Colour 5 of 7:", "Colour 1 of 9:"],
            "evaluation.sample_max_new_tokens": 24,
            "evaluation.eval_steps": 100,
            "evaluation.forgetting": False,
        },
    )
    assert work(run) == 0
    samples = events_of(run, SampleDone)
    before = [sample.finished for sample in samples if sample.step == 0]
    after = [(sample.finished, sample.text.strip() in COLOURS) for sample in samples if sample.step == 24]
    assert not any(before)
    assert after == [(True, True)] * 3
