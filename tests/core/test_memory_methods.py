"""The estimate for every method and objective: against measured runs where there are some, and what each term must do."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.defaults import METHODS
from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory import MemoryEstimate, changed_config, estimate
from desktop_ft.core.memory.autos import choose, make_plan
from desktop_ft.core.memory.formulas import peak_phase
from desktop_ft.core.memory.parameters import linear_parameters
from desktop_ft.core.memory.terms import predict
from tests.core.shapes import LLAMA_1B, LLAMA_8B, SMALL
from tests.core.test_memory import CPU, GIB, H100, run, terms

RULES: Final = [{"kind": "length"}]
SMALL_CARD: Final = DeviceFacts("cuda", "NVIDIA GeForce RTX 3060", 12 * GIB, 11 * GIB, supports_bf16=True, uuid="GPU-0")


@pytest.fixture(autouse=True)
def triton_as_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desktop_ft.core.memory.plan.sys.platform", "linux")


def of(objective: str, kind: str = "lora", micro: int | str = 4, whole: int = 32, length: int = 1024, **more: object) -> RunConfig:
    rules = {"objective__rewards__rules": RULES} if objective in ("grpo", "rloo", "ppo") else {}
    values: dict[str, object] = {"objective__kind": objective, "training__activation_checkpointing": True, **rules, **more}
    config = run(kind, micro, whole, length)
    return changed_config(config, {path.replace("__", "."): value for path, value in values.items()})


def total(config: RunConfig, device: DeviceFacts = H100) -> MemoryEstimate:
    return estimate(config, LLAMA_1B, device)


# --- against measurements --------------------------------------------------------------------------------------------


def test_dpo_with_lora_on_an_h100() -> None:
    """Stock TRL 1.16: 1B, four pairs whose answers all have 1024 tokens, checkpointing: 4.6 GiB reserved."""
    config = of("dpo", whole=4)
    plan = make_plan(config, LLAMA_1B, H100, choose(config, LLAMA_1B, H100))
    result = predict(replace(plan, equal_rows=True), H100)
    assert result.total_bytes == pytest.approx((4.6 + 0.75) * GIB, rel=0.06)
    assert result.low_bytes < (4.6 + 0.75) * GIB


def test_full_fine_tuning_with_paged_8_bit_states_on_an_h100() -> None:
    """Stock TRL 1.16: 1B, four rows of 2048 tokens: 10.5 GiB on the device, the paged states among them."""
    config = of("sft", "full", whole=4, length=2048, training__kernels="none", training__optim="paged_adamw_8bit")
    assert total(config).total_bytes == pytest.approx(10.5 * GIB, rel=0.05)


def test_the_worked_example_of_qlora() -> None:
    """8B, rank 16, two rows of 2048 tokens, paged 8-bit AdamW: 8.05 GB allocated (added up by hand, term by term)."""
    config = of("sft", "qlora", 2, 16, 2048, training__optim="paged_adamw_8bit")
    phase = peak_phase(replace(make_plan(config, LLAMA_8B, H100, choose(config, LLAMA_8B, H100)), equal_rows=True))
    linear = 6_979_321_856
    assert linear_parameters(LLAMA_8B.known_shape()) == linear
    assert phase.weights == int(linear * (0.5 + 1 / 64 + 4 / (64 * 256))) + 2 * (8_030_261_248 - linear)
    assert (phase.adapter, phase.gradients) == (2 * 41_943_040, 2 * 41_943_040)
    assert phase.total == pytest.approx(8.05e9, rel=0.02)


# --- methods ---------------------------------------------------------------------------------------------------------


def test_4_bit_weights_with_and_without_double_quantization() -> None:
    double = terms(estimate(of("sft", "qlora"), LLAMA_8B, H100))["weights"]
    single = terms(estimate(of("sft", "qlora", method__quantization__double_quant=False), LLAMA_8B, H100))["weights"]
    assert single - double == pytest.approx(6_979_321_856 * (0.5625 - 0.515869), rel=1e-4)
    assert double < 0.4 * terms(estimate(of("sft"), LLAMA_8B, H100))["weights"]


def test_how_small_updates_are_kept_decides_the_bytes_of_a_weight() -> None:
    num = 1_235_814_400
    plain = terms(total(of("sft", "full", training__kernels="none")))
    kahan, mixed = terms(total(of("sft", "full"))), terms(total(of("sft", "full", method__weight_updates="float32")))
    assert [found["weights"] for found in (plain, kahan, mixed)] == [2 * num, 2 * num, 4 * num]
    assert [found["optimizer"] for found in (plain, kahan, mixed)] == [4 * num, 6 * num, 8 * num]
    assert mixed["activations"] > plain["activations"] + 2 * num


def test_frozen_layers_have_no_gradients_and_no_states() -> None:
    full, half = terms(total(of("sft", "full"))), terms(total(of("sft", "full", method__num_frozen_layers=8)))
    assert half["optimizer"] < 0.5 * full["optimizer"]
    assert half["gradients"] < 0.5 * full["gradients"]
    assert half["weights"] == full["weights"]


def test_modules_trained_whole_and_added_tokens_are_counted() -> None:
    size = 128_256 * 4096
    plain = terms(estimate(of("sft"), LLAMA_8B, H100))
    saved = terms(estimate(of("sft", method__modules_to_save=["embed_tokens", "lm_head"]), LLAMA_8B, H100))
    assert saved["adapter"] - plain["adapter"] == 2 * size * 2
    assert saved["optimizer"] - plain["optimizer"] == 2 * size * 4
    assert terms(estimate(of("sft", model__added_tokens=["<|x|>"]), LLAMA_8B, H100)) == saved
    assert terms(total(of("sft", model__added_tokens=["<|x|>"])))["adapter"] - terms(total(of("sft")))["adapter"] == 128_256 * 2048 * 2


# --- objectives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", METHODS)
def test_every_cell_has_an_estimate_whose_parts_add_up(kind: str, objective: str) -> None:
    config = of(objective, kind, "auto")
    for model, device in ((LLAMA_1B, H100), (SMALL, CPU)):
        result = estimate(config, model, device)
        assert sum(terms(result).values()) == result.total_bytes
        assert result.low_bytes < result.total_bytes < result.high_bytes


def test_pairs_double_the_rows() -> None:
    assert terms(total(of("reward")))["activations"] == terms(total(of("sft", micro=8)))["activations"]


def test_a_reference_costs_a_model_only_with_full_fine_tuning() -> None:
    assert terms(total(of("dpo")))["auxiliary_models"] == 0
    assert terms(total(of("dpo", "full")))["auxiliary_models"] == 2 * 1_235_814_400
    assert terms(total(of("dpo", "full", objective__dpo__precompute_ref_log_probs=True)))["auxiliary_models"] == 0
    assert terms(total(of("kto", "full")))["auxiliary_models"] == 2 * 1_235_814_400
    assert terms(total(of("orpo", "full")))["auxiliary_models"] == 0
    going_on = total(of("dpo", model__adapter="/an/adapter"))
    assert terms(going_on)["auxiliary_models"] == terms(going_on)["adapter"]


def test_orpo_makes_all_logits_and_a_reward_model_none() -> None:
    orpo, reward = total(of("orpo")), total(of("reward"))
    assert orpo.phase == "head"
    assert terms(orpo)["logits"] == 2 * 4 * 1024 * 128_256 * 12
    assert terms(reward)["logits"] < 1 << 20


def test_a_scorer_has_no_output_layer_of_its_own() -> None:
    assert (
        terms(estimate(of("sft"), LLAMA_8B, H100))["weights"] - terms(estimate(of("reward"), LLAMA_8B, H100))["weights"] == 128_256 * 8192
    )
    assert terms(total(of("sft")))["weights"] == terms(total(of("reward")))["weights"]


def test_sampling_keeps_keys_and_values_of_every_answer_of_a_step() -> None:
    small, large = total(of("grpo", whole=64, length=256)), total(of("grpo", whole=128, length=256))
    assert large.phase == "sampling"
    per_answer = 2 * 2 * 512 * 16 * (256 + 256)
    assert terms(large)["activations"] - terms(small)["activations"] >= 64 * per_answer
    shorter = total(of("grpo", whole=128, length=256, objective__rollout__max_completion_length=64))
    assert shorter.total_bytes < large.total_bytes


def test_ppo_trains_two_adapters_on_one_base() -> None:
    sft, ppo = terms(total(of("sft", "qlora"))), terms(total(of("ppo", "qlora", objective__rewards__model="/a/scorer")))
    assert ppo["weights"] == sft["weights"]
    assert [ppo[key] for key in ("adapter", "gradients", "optimizer")] == [2 * sft[key] for key in ("adapter", "gradients", "optimizer")]
    assert ppo["auxiliary_models"] == sft["adapter"]


def test_ppo_with_adapters_stays_within_a_third_of_qlora_with_as_many_tokens() -> None:
    ppo = total(of("ppo", "qlora", 4, 32, 768, objective__rewards__model="/a/scorer"))
    assert ppo.total_bytes <= 1.35 * total(of("sft", "qlora", 4, 32, 1024)).total_bytes


def test_ppo_with_full_fine_tuning_holds_four_models() -> None:
    result = terms(total(of("ppo", "full", objective__rewards__model="/a/scorer")))
    num = 1_235_814_400
    value, reference, reward = (2 + 2 + 6) * num, 2 * num, 2 * num
    assert result["auxiliary_models"] == value + reference + reward


def test_rlhf_needs_what_its_larger_stage_needs() -> None:
    whole = total(of("rlhf"))
    stages = [total(of("reward", "lora", 4, 16)), total(of("ppo", objective__rewards__model="/a/scorer"))]
    assert whole.total_bytes == max(stage.total_bytes for stage in stages)
    assert whole.phase.partition(",")[0] in ("reward model", "policy")


# --- what makes room -------------------------------------------------------------------------------------------------


def test_4_bit_makes_an_8b_model_fit_a_small_card() -> None:
    result = estimate(of("sft", micro=1, length=512), LLAMA_8B, SMALL_CARD)
    assert result.verdict == "does_not_fit"
    suggestion = next(found for found in result.suggestions if "QLoRA" in found.title)
    changed = estimate(changed_config(of("sft", micro=1, length=512), suggestion.set), LLAMA_8B, SMALL_CARD)
    assert changed.verdict == "fits"


def test_an_apple_gpu_is_not_told_to_use_4_bit() -> None:
    apple = DeviceFacts("mps", "Apple M4", 12 * GIB, 11 * GIB)
    titles = [found.title for found in estimate(of("sft", micro=1), LLAMA_8B, apple).suggestions]
    assert titles
    assert not any("QLoRA" in title or "8 bit" in title for title in titles)


def test_sampled_answers_can_be_shorter_or_fewer() -> None:
    result = estimate(of("grpo", whole=32), LLAMA_8B, SMALL_CARD)
    paths = {path for found in result.suggestions for path in found.set}
    assert {"objective.rollout.max_completion_length", "training.global_batch_size"} <= paths
    assert all(found.saves_bytes > 0 for found in result.suggestions)


def test_kto_is_never_told_to_use_a_micro_batch_of_one() -> None:
    config = of("kto", micro=4, length=2048)
    sizes = [found.set.get("training.micro_batch_size") for found in estimate(config, LLAMA_8B, SMALL_CARD).suggestions]
    assert 2 in sizes
    assert 1 not in sizes
