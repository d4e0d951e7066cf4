"""The exact estimate of small shapes: what a person can add up by hand, a deep model against a deepened one, every method and objective."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desktop_ft.core.config import RunConfig, save_config, validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import DryRunDone, ErrorRaised, Event, RunFinished
from desktop_ft.core.job import DryRunRequest
from desktop_ft.core.memory import changed_config
from desktop_ft.core.memory.dry_run import create_dry_run, exact_json, exact_verdict
from desktop_ft.core.memory.terms import cublas_workspace_bytes, known_context_bytes

if TYPE_CHECKING:
    from desktop_ft.engine.dry_run.job import Exact

GIB = 1 << 30
H100 = DeviceFacts("cuda", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, GIB, supports_bf16=True)
HIDDEN, WIDTH, LAYERS, VOCABULARY, HEADS, KV_HEADS = 256, 640, 6, 8192, 4, 2
TOKENS, ROWS, RANK = 128, 2, 16
KV = HIDDEN // HEADS * KV_HEADS
LINEAR = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV + 3 * HIDDEN * WIDTH
WEIGHTS = VOCABULARY * HIDDEN + LAYERS * (LINEAR + 2 * HIDDEN) + HIDDEN
NUM_MATRICES = 7 * LAYERS
ROTARY = 2 * 4 * HIDDEN // HEADS // 2
"""Bytes of two tables of frequencies."""
ADAPTER = LAYERS * RANK * (2 * 2 * HIDDEN + 2 * (HIDDEN + KV) + 3 * (HIDDEN + WIDTH))


def write_config(folder: Path, **more: object) -> Path:
    folder.mkdir()
    values: dict[str, object] = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY,
        "tie_word_embeddings": True, "max_position_embeddings": 4096, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 1, **more,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config.json and nothing else."""
    return write_config(tmp_path_factory.mktemp("models") / "shape")


def config_of(model: Path, kind: str = "lora", objective: str = "sft", **more: object) -> RunConfig:
    num_rows = 2 * ROWS if objective in {"grpo", "ppo"} else ROWS
    config = validate(
        {
            "model": {"source": str(model)},
            "data": {"train": "x", "max_length": TOKENS},
            "method": {"kind": kind, "use_dora": False},
            "training": {"micro_batch_size": ROWS, "global_batch_size": num_rows, "activation_checkpointing": True},
        }
    )
    rules: dict[str, object] = {"objective.rewards.rules": [{"kind": "length"}], "objective.grpo.num_generations": 4}
    rules = rules if objective in {"grpo", "ppo"} else {}
    return changed_config(
        config, {"objective.kind": objective, **rules, **{path.replace("__", "."): value for path, value in more.items()}}
    )


def exact(config: RunConfig, folder: Path, *, rows_differ: bool = False, expandable: bool = False) -> Exact:
    from desktop_ft.engine.dry_run.job import exact_of

    device = H100
    request = DryRunRequest(
        device.kind, device.name, device.total_bytes, device.free_bytes, device.supports_bf16, rows_differ=rows_differ,
        expandable_segments=expandable,
    )  # fmt: skip
    return exact_of(config, device, request, folder, lambda: None, [])


def test_weights_adapter_gradients_and_states_are_those_that_a_person_counts(model: Path, tmp_path: Path) -> None:
    found = exact(config_of(model), tmp_path)
    assert (found.depth.whole, found.depth.run) == (6, 4)
    assert found.phase == "head"
    assert found.kinds["logits"] == ROWS * (TOKENS - 1) * 32768 * 2  # a tile of TRL's head is as wide for a small vocabulary
    assert found.kinds["weights"] == 2 * WEIGHTS + ROTARY
    assert found.kinds["adapter"] == 4 * ADAPTER
    assert found.kinds["optimizer"] == 8 * ADAPTER + 4 * 2 * NUM_MATRICES  # two moments, and a count of steps for each matrix
    assert found.kinds["buffers"] == cublas_workspace_bytes(H100)
    assert "gradients" not in found.kinds or found.kinds["gradients"] <= 4 * ADAPTER * 1.5
    checkpoints = 2 * HIDDEN * TOKENS * ROWS * LAYERS
    assert checkpoints < found.kinds["activations"] < 6 * checkpoints
    assert found.allocated == pytest.approx(sum(found.kinds.values()), rel=0.02)
    assert found.reserved >= found.allocated


def test_a_deepened_trace_is_that_of_the_deep_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from desktop_ft.engine.dry_run import job
    from desktop_ft.engine.dry_run.depth import Depth

    config = config_of(model, "full", training__activation_checkpointing=False)
    deepened = exact(config, tmp_path)
    monkeypatch.setattr(job, "depth_of", lambda _: Depth(LAYERS, LAYERS, range(0)))
    whole = exact(config, tmp_path)
    assert (deepened.depth.run, whole.depth.run) == (4, 6)
    assert deepened.allocated == pytest.approx(whole.allocated, rel=0.001)
    assert deepened.reserved == pytest.approx(whole.reserved, abs=4 << 20)


@pytest.mark.slow_bench
def test_rows_of_different_lengths_leave_holes_that_expandable_segments_do_not(model: Path, tmp_path: Path) -> None:
    config = config_of(model, data__max_length=2048, training__activation_checkpointing=False)
    varied, expandable = (exact(config, tmp_path, rows_differ=True, expandable=grows) for grows in (False, True))
    assert expandable.reserved - expandable.allocated < varied.reserved - varied.allocated
    assert varied.holes > 0 == expandable.holes


def test_qlora_keeps_half_a_byte_a_weight_and_adapters_in_16_bit(model: Path, tmp_path: Path) -> None:
    found = exact(config_of(model, "qlora", training__optim="paged_adamw_8bit"), tmp_path)
    packed = int(LAYERS * LINEAR * (0.5 + 1 / 64 + 4 / (64 * 256)))
    tables = NUM_MATRICES * (16 * 4 + 256 * 4 + 4)  # of 4-bit values, of 8-bit scales, and an offset
    assert found.kinds["weights"] == packed + tables + 2 * (WEIGHTS - LAYERS * LINEAR) + ROTARY
    assert found.kinds["adapter"] == 2 * ADAPTER
    assert found.paged == 0  # no matrix of the adapter is large enough to be paged


def test_paged_states_lie_past_the_allocator(model: Path, tmp_path: Path) -> None:
    found = exact(config_of(model, "full", training__optim="paged_adamw_8bit", training__kernels="none"), tmp_path)
    large = LAYERS * 3 * HIDDEN * WIDTH
    assert found.paged == 2 * large + 8 * VOCABULARY * HIDDEN
    assert found.kinds["optimizer"] < 3 * (WEIGHTS - large)


@pytest.mark.slow_bench
def test_dora_brings_magnitudes_and_kahan_a_third_state(model: Path, tmp_path: Path) -> None:
    magnitudes = LAYERS * (2 * HIDDEN + 2 * KV + 2 * WIDTH + HIDDEN)
    assert exact(config_of(model, method__use_dora=True), tmp_path).kinds["adapter"] == 4 * (ADAPTER + magnitudes)
    assert exact(config_of(model, "full"), tmp_path).kinds["optimizer"] == 6 * WEIGHTS


@pytest.mark.parametrize(
    "objective",
    ["dpo", "kto", "reward", *(pytest.param(name, marks=pytest.mark.slow_bench) for name in ("orpo", "grpo", "ppo"))],
)
def test_every_objective_takes_its_steps(objective: str, model: Path, tmp_path: Path) -> None:
    found = exact(config_of(model, objective=objective, objective__rollout__max_completion_length=16), tmp_path)
    assert found.reserved >= found.allocated > 2 * WEIGHTS
    assert found.kinds["adapter"] >= 4 * ADAPTER * (2 if objective == "ppo" else 1)
    if objective == "orpo":
        assert found.phase == "head"
        assert found.kinds["logits"] >= 2 * ROWS * TOKENS * VOCABULARY * 6


def test_a_mixture_of_experts_keeps_its_pattern(tmp_path: Path) -> None:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "head_dim": 64, "decoder_sparse_step": 2}
    model = write_config(tmp_path / "moe", model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], **experts)
    found = exact(config_of(model, method__target_modules="attention"), tmp_path)
    assert (found.depth.run, len(found.depth.period)) == (4, 2)
    assert found.allocated > 2 * VOCABULARY * HIDDEN


# --- the job ----------------------------------------------------------------------------------------------------------


def answered(config: RunConfig, folder: Path) -> list[Event]:
    from desktop_ft.engine.jobs import run_job

    job = create_dry_run(folder, config, H100)
    run_job(job.path)
    return list(EventTail(job.events_file).read_all())


@pytest.mark.slow_bench
def test_the_job_answers_with_parts_that_add_up(model: Path, tmp_path: Path) -> None:
    events = answered(config_of(model), tmp_path)
    done = next(event for event in events if isinstance(event, DryRunDone))
    assert [event.status for event in events if isinstance(event, RunFinished)] == ["completed"]
    assert sum(done.terms.values()) == done.total_bytes == known_context_bytes(H100) + done.reserved_bytes
    assert (done.num_layers, done.num_layers_run) == (6, 4)
    assert "torch 2" in done.versions
    assert exact_json(done)["total_bytes"] == done.total_bytes
    assert [exact_verdict(done, free) for free in (79 * GIB, done.total_bytes, done.total_bytes - 1)] == [
        "fits",
        "tight",
        "does_not_fit",
    ]


def test_an_unknown_architecture_and_code_of_a_models_author_are_refused(tmp_path: Path) -> None:
    unknown = write_config(tmp_path / "unknown", model_type="novel", architectures=["NovelForCausalLM"])
    own = write_config(tmp_path / "own", model_type="own", auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"})
    (own / "own.py").write_text("raise SystemExit('executed')\n", encoding="utf-8")
    for folder, code in ((unknown, "exact_architecture_unknown"), (own, "exact_remote_code")):
        events = answered(config_of(folder), tmp_path / "jobs")
        assert [event.code for event in events if isinstance(event, ErrorRaised)] == [code]
        assert [event.status for event in events if isinstance(event, RunFinished)] == ["failed"]


def test_it_gives_up_at_its_limit(model: Path, tmp_path: Path) -> None:
    from desktop_ft.core.job import create_job_in
    from desktop_ft.engine.jobs import run_job

    request = DryRunRequest("cuda", H100.name, H100.total_bytes, H100.free_bytes, supports_bf16=True, time_limit_seconds=1e-3)
    job = create_job_in(tmp_path, request)
    save_config(config_of(model), job.path / "run.yaml")
    assert run_job(job.path) == 1
    assert [event.code for event in EventTail(job.events_file).read_all() if isinstance(event, ErrorRaised)] == ["exact_too_slow"]


def test_a_request_without_a_known_device_is_refused(tmp_path: Path) -> None:
    from desktop_ft.core.job import create_job_in

    with pytest.raises(DesktopFtError, match="no kind of device"):
        create_job_in(tmp_path, DryRunRequest("abacus", "", 1, 1, supports_bf16=False))
