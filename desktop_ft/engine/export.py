"""From a run to something to take away: the adapter alone, or one plain model that has been compared with the trained one."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import torch
from transformers import PreTrainedTokenizerBase

from desktop_ft.core.base_model import MODEL_CONFIG, MODEL_WEIGHTS, base_hashes, recorded_hashes
from desktop_ft.core.config import DEMO, RunConfig
from desktop_ft.core.data.tokenise import TokenisedExample
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import Exported, Verified, WarningRaised
from desktop_ft.core.exports import ADAPTER_WEIGHTS, DTYPE_BYTES, ExportPlan, Trained, WeightDtype, plan_export, stored_dtype
from desktop_ft.core.files import write_json
from desktop_ft.core.job import ExportRequest
from desktop_ft.core.models import ModelInfo, read_model, resolve_model
from desktop_ft.core.publish import partial_folder, publish
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.reward_model import REWARD_FILE
from desktop_ft.core.runs import RunDir, open_run
from desktop_ft.engine.card import CardFacts, write_card
from desktop_ft.engine.checkpoints import writing
from desktop_ft.engine.examples import load_examples
from desktop_ft.engine.load import load_hf_tokenizer
from desktop_ft.engine.merge import FourBit, load_model, load_with_adapter, merged_model, save_model, write_generation_config
from desktop_ft.engine.methods.quantization import keep_quantization, quantization_of
from desktop_ft.engine.methods.start import plain_adapter
from desktop_ft.engine.verify import (
    MIN_PROBES,
    SAMPLE_PROMPTS,
    Comparison,
    Probe,
    chat_template_equal,
    compare_distributions,
    distributions,
    kl_limit,
    probes_of_examples,
    probes_of_prompts,
    stop_ids,
    stop_token_ok,
)

if TYPE_CHECKING:
    from desktop_ft.engine.export_reward import ScoreComparison
    from desktop_ft.engine.jobs import JobWork

TOKENIZER_FILES: Final = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "*.tiktoken",
    "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
)  # fmt: skip
LICENSE_FILES: Final = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*", "USE_POLICY*", "license*", "notice*")
_ROOM_ON_DEVICE: Final = 1.3
"""Free memory of the accelerator over the weights' bytes for the comparison to run there."""
_QUANTIZED_BYTES: Final = 1.0
"""Free memory for each weight that quantising needs: half a byte, the layers in 16 bit before, and what is left in 16 bit."""


@dataclass(frozen=True)
class Source:
    """What is exported and on what it stands.

    Attributes:
        config: What the weights were trained with: of a stage's checkpoint the stage's own.
    """

    run: RunDir
    config: RunConfig
    base: Path
    base_info: ModelInfo
    plan: ExportPlan
    trained_in: WeightDtype
    four_bit: FourBit | None

    @property
    def tokenizer(self) -> Path:
        """Where the trained model's tokenizer lies: the base's own, byte for byte, unless the run added tokens."""
        return self.plan.trained.folder if self.config.model.added_tokens else self.base


@dataclass(frozen=True)
class _Reference:
    """What the trained model says, kept while its weights are let go."""

    probes: list[Probe]
    distributions: list[torch.Tensor]
    dtype: WeightDtype


def export(request: ExportRequest, work: JobWork, device: DeviceFacts) -> None:
    """Carry an export out, from the checks to the ``exported`` event.

    Raises:
        DesktopFtError: As `plan_export`, `check_base` and `merge_to_folder`; ``disk_full`` or ``file_not_writable``. Nothing is left
            at the target.
        StopRequested: Where the person asked for it; likewise.
    """
    work.enter("load", "Checking the run and its base model")
    run = open_run(request.run_dir)
    model = run.config().model
    base = resolve_model(model.source, model.revision)
    info = read_model(base)
    plan = plan_export(run, request, base)
    trained = plan.trained
    check_base(trained.run, base)
    config = trained.run.config()
    source = Source(run, config, base, info, plan, trained_dtype(trained.run, config, base, trained), _four_bit(config, info, device))
    with partial_folder(request.out.absolute()) as partial:
        comparison = _write_adapter(source, partial, work) if request.to == "adapter" else _write_merged(source, partial, work, device)
        work.enter("save", "Writing the model card")
        with writing(partial):
            write_card(partial, CardFacts(source.run, source.config, source.base_info, request, source.plan, comparison))
        num_bytes = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
        work.check_stop()
        publish(partial, request.out.absolute(), overwrite=request.overwrite)
    work.emit(Exported(path=str(request.out.absolute()), num_bytes=num_bytes))


# --- the base model, still the same? ------------------------------------------------------------------------------------------


def check_base(run: RunDir, base: Path) -> None:
    """Refuse a base model or tokenizer that is not the one of the training.

    Raises:
        DesktopFtError: ``base_changed`` or ``tokenizer_changed``.
    """
    before = recorded_hashes(run)
    tokenizer = load_tokenizer(base, run.config().model.added_tokens)
    now = {**base_hashes(base), "tokenizer": tokenizer.sha256, "chat_template": tokenizer.template_sha256}
    changed = [name for name, value in now.items() if name in before and before[name] != value]
    if changed:
        raise _changed(base, changed[0], before[changed[0]], now[changed[0]])


def _changed(base: Path, name: str, before: str | None, now: str | None) -> DesktopFtError:
    what = {MODEL_CONFIG: "configuration", MODEL_WEIGHTS: "weights", "tokenizer": "tokenizer", "chat_template": "chat template"}[name]
    is_base = name in {MODEL_CONFIG, MODEL_WEIGHTS}
    return DesktopFtError(
        "base_changed" if is_base else "tokenizer_changed",
        f"The base model's {what} changed since the training",
        f"{base.name}: the hash of its {what} was {str(before)[:12]} and is {str(now)[:12]} now. "
        "An export would not be the model that was trained.",
        "Put the model's folder back as it was, then export again.",
    )


# --- the adapter alone -----------------------------------------------------------------------------------------------------


def _write_adapter(source: Source, out: Path, work: JobWork) -> None:
    work.enter("export", "Copying the adapter")
    with writing(out), plain_adapter(source.plan.trained.folder) as trained:
        settings = cast("dict[str, object]", json.loads((trained / "adapter_config.json").read_text(encoding="utf-8")))
        settings["base_model_name_or_path"] = source.base_info.name
        write_json(out / "adapter_config.json", settings)
        shutil.copyfile(trained / ADAPTER_WEIGHTS, out / ADAPTER_WEIGHTS)
        copy_files(source.tokenizer, out, TOKENIZER_FILES)
        if source.four_bit is not None:
            keep_quantization(source.four_bit.quantization, out)
        copy_files(trained, out, (REWARD_FILE,))


# --- one plain model --------------------------------------------------------------------------------------------------------


def _write_merged(source: Source, out: Path, work: JobWork, device: DeviceFacts) -> Comparison | ScoreComparison:
    if source.config.objective.kind == "reward":
        from desktop_ft.engine.export_reward import write_merged_reward

        return write_merged_reward(source, out, work, device)
    reference = _reference(source, work, device)
    plan = source.plan
    work.enter("export", "Merging the adapter into the base model" if plan.trained.is_adapter else "Writing the trained weights")
    model = merged_model(
        source.base,
        plan.trained.folder,
        plan.dtype,
        is_adapter=plan.trained.is_adapter,
        trained_in=source.trained_in if source.four_bit else None,
        four_bit=source.four_bit,
    )
    work.enter("save", "Writing the model")
    with writing(out):
        save_model(model, out)
        add_companions(source.base, out, source.tokenizer)
    del model
    work.enter("export", f"Comparing the export with the trained model on {len(reference.probes)} texts")
    comparison = _compare(reference, out, plan, device)
    _tell(comparison, reference, source.base, out, plan, work)
    return comparison


def add_companions(base: Path, out: Path, tokenizer: Path | None = None) -> None:
    """What a model needs besides weights: tokenizer and chat template byte for byte, generation settings, the base's licence."""
    copy_files(tokenizer or base, out, TOKENIZER_FILES)
    copy_files(base, out, LICENSE_FILES)
    write_generation_config(base, out, stop_ids(load_hf_tokenizer(base)))


def copy_files(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Copy what is there; links (as in the Hugging Face cache) become files."""
    for path in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _reference(source: Source, work: JobWork, device: DeviceFacts) -> _Reference:
    """Let the trained model read held-out text, as it was trained: base and adapter apart, in the format of the training."""
    work.enter("load", "Loading the trained model")
    dtype, trained = source.trained_in, source.plan.trained
    if trained.is_adapter:
        loaded = load_with_adapter(source.base, trained.folder, dtype, source.four_bit)
    else:
        loaded = load_model(trained.folder, dtype)
    model = placed(loaded, source.base_info.num_parameters * DTYPE_BYTES[dtype], device)
    work.enter("export", "Reading held-out text with the trained model")
    probes = _probes(source, model, load_hf_tokenizer(source.tokenizer), work)
    result = _Reference(probes, distributions(model, _counted(probes, work)), dtype)
    del model, loaded
    free_device(device)
    return result


def trained_dtype(run: RunDir, config: RunConfig, base: Path, trained: Trained) -> WeightDtype:
    """The format of the weights while they were trained; below an adapter, of the base."""
    if not trained.is_adapter:
        return stored_dtype(trained.folder)
    resolved = load_resolved(run.resolved_file).config.model.dtype if run.resolved_file.is_file() else config.model.dtype
    return stored_dtype(base) if resolved == "auto" else resolved


def _four_bit(config: RunConfig, base: ModelInfo, device: DeviceFacts) -> FourBit | None:
    """How the base was kept in 4 bit; its values are computed where it was trained if there is room, else on the CPU."""
    quantization = quantization_of(config)
    if quantization is None:
        return None
    has_room = device.kind in {"cuda", "rocm"} and device.free_bytes > base.num_parameters * _QUANTIZED_BYTES
    return FourBit(quantization, device if has_room else DeviceFacts("cpu", "CPU", 0, 0))


def placed(model: torch.nn.Module, num_bytes: int, device: DeviceFacts) -> torch.nn.Module:
    """On the GPU where it has room beside whatever else runs there, else where it is."""
    if device.kind in {"cuda", "rocm"} and device.free_bytes > num_bytes * _ROOM_ON_DEVICE:
        return model.to("cuda:0")
    return model


def free_device(device: DeviceFacts) -> None:
    """Give back what a model that was let go held."""
    gc.collect()
    if device.kind in {"cuda", "rocm"}:
        torch.cuda.empty_cache()


def _counted(probes: list[Probe], work: JobWork) -> Iterator[Probe]:
    for index, probe in enumerate(probes):
        work.progress(index, len(probes))
        yield probe


def _compare(reference: _Reference, out: Path, plan: ExportPlan, device: DeviceFacts) -> Comparison:
    loaded = load_model(out, plan.dtype)
    model = placed(loaded, plan.num_bytes, device)
    result = compare_distributions(reference.distributions, distributions(model, reference.probes), len(reference.probes))
    del model, loaded
    free_device(device)
    return result


def _tell(comparison: Comparison, reference: _Reference, base: Path, out: Path, plan: ExportPlan, work: JobWork) -> None:
    is_equal, stops = chat_template_equal(base, out), stop_token_ok(out)
    work.emit(
        Verified(
            num_prompts=comparison.num_probes,
            top1_agreement=comparison.top1_agreement,
            mean_kl=comparison.mean_kl,
            max_kl=comparison.max_kl,
            chat_template_equal=is_equal,
            stop_token_ok=stops,
        )
    )
    for warning in differences(comparison, kl_limit(reference.dtype, plan.dtype), template_equal=is_equal, stops=stops):
        work.emit(warning)


def differences(comparison: Comparison, limit: float, *, template_equal: bool, stops: bool) -> Iterator[WarningRaised]:
    """What a person should know about an export that is not just what was trained."""
    if not comparison.passes(limit):
        yield WarningRaised(
            code="export_differs",
            title="The export differs from the trained model",
            message=f"Mean KL {comparison.mean_kl:.2g} nats a token (at most {limit:g} is rounding), largest {comparison.max_kl:.2g}; "
            f"the most likely token is the same at {comparison.top1_agreement:.1%} of {comparison.num_positions} positions.",
            hint="Export again with dtype float32. If it still differs, use base model and adapter apart.",
        )
    if not template_equal:
        yield WarningRaised(
            code="export_template_differs",
            title="The export has another chat template",
            message="The chat template of the export is not the base model's, so prompts would be laid out differently.",
            hint="Copy chat_template.jinja and tokenizer_config.json of the base model into the export.",
        )
    if not stops:
        yield WarningRaised(
            code="export_never_stops",
            title="The export may not stop answering",
            message="generation_config.json does not name every token that ends a turn.",
            hint="Add the tokenizer's end token and the template's end-of-turn token to eos_token_id in generation_config.json.",
        )


# --- held-out text ------------------------------------------------------------------------------------------------------------


def _probes(source: Source, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, work: JobWork) -> list[Probe]:
    """Held-out examples of the run; where there are fewer than eight, prompts as well, answered by the trained model."""
    examples = held_out_examples(source.config, source.base, work)
    probes = probes_of_examples((example.input_ids, example.labels) for example in examples)
    if len(probes) >= MIN_PROBES:
        return probes
    prompts = (*source.config.evaluation.sample_prompts, *_demo_prompts(source.config), *SAMPLE_PROMPTS)
    chosen = list(dict.fromkeys(prompts))[: MIN_PROBES - len(probes)]
    return [*probes, *probes_of_prompts(model, tokenizer, chosen)]


def _demo_prompts(config: RunConfig) -> tuple[str, ...]:
    if config.model.source != DEMO:
        return ()
    from desktop_ft.core.demo import held_out_prompts

    return tuple(prompt.prompt for prompt in held_out_prompts())


def held_out_examples(config: RunConfig, base: Path, work: JobWork) -> list[TokenisedExample]:
    """The run's held-out examples; none where its file is gone or has changed beyond reading, which the export survives."""
    try:
        return load_examples(config, load_tokenizer(base, config.model.added_tokens), work.events, work.check_stop).eval
    except DesktopFtError:
        return []
