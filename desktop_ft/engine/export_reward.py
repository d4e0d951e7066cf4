"""The export of a reward model: one plain sequence classifier, compared with the trained one by its scores of the same texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from desktop_ft.core.data.records import Example, Preference, has_turns
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import Verified, WarningRaised
from desktop_ft.core.exports import ExportPlan, WeightDtype, stored_dtype
from desktop_ft.core.reward_model import find_reward_model, write_layout
from desktop_ft.engine.checkpoints import writing
from desktop_ft.engine.device import DTYPES
from desktop_ft.engine.examples import load_examples
from desktop_ft.engine.export import LICENSE_FILES, TOKENIZER_FILES, Source, copy_files, free_device, placed
from desktop_ft.engine.load import load_hf_tokenizer
from desktop_ft.engine.merge import FourBit, merge_adapter, put_adapter, save_model
from desktop_ft.engine.methods.quantization import dequantized
from desktop_ft.engine.reward_model import Turns, answer_ids, check_head, load_scorer, scores_of, tell_padding
from desktop_ft.engine.verify import SAMPLE_PROMPTS, chat_template_equal

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork

NUM_PAIRS: Final = 8
_CPU: Final = DeviceFacts("cpu", "CPU", 0, 0)
_ROUNDING: Final[dict[bool, float]] = {True: 1e-3, False: 0.1}
"""Largest difference of a score that rounding explains, over the spread of the scores: in float32, and where 16 bits take part."""


@dataclass(frozen=True)
class ScoreComparison:
    """How much two reward models differ.

    Attributes:
        num_texts: Texts that both scored.
        max_difference: Largest difference of a score.
        spread: Standard deviation of the trained model's scores.
    """

    num_texts: int
    max_difference: float
    spread: float

    def passes(self, *dtypes: WeightDtype) -> bool:
        """Whether rounding to these formats explains the difference."""
        limit = _ROUNDING[all(dtype == "float32" for dtype in dtypes)] * max(self.spread, 1e-6)
        return math.isfinite(self.max_difference) and self.max_difference <= limit


def write_merged_reward(source: Source, out: Path, work: JobWork, device: DeviceFacts) -> ScoreComparison:
    """Write the merged reward model, load it again and compare.

    Args:
        source: What is exported.
        out: An existing folder.
        work: Where progress is told.
        device: Where the comparison computes if it has room.

    Raises:
        DesktopFtError: ``adapter_mismatch``, ``reward_no_head``, ``export_not_finite``, ``disk_full`` or ``file_not_writable``.
    """
    work.enter("load", "Loading the trained reward model")
    plan, tokenizer = source.plan, load_hf_tokenizer(source.tokenizer)
    texts, as_chat = _texts(source, work)
    ids = [answer_ids(tokenizer, prompt, answer, as_chat=as_chat) for prompt, answer in texts]
    trained = _trained(source, source.trained_in)
    check_head(trained, find_reward_model(plan.trained.folder))
    before = _scores(trained, ids, plan, device)
    del trained
    work.enter("export", "Merging the adapter into the base model" if plan.trained.is_adapter else "Writing the trained weights")
    merged = _merged(source)
    work.enter("save", "Writing the model")
    with writing(out):
        save_model(merged, out)
        copy_files(source.tokenizer, out, TOKENIZER_FILES)
        copy_files(source.base, out, LICENSE_FILES)
        write_layout(out, as_chat=as_chat)
    del merged
    work.enter("export", f"Comparing the export's scores with the trained model's on {len(ids)} texts")
    after = _scores(_whole(source, out, plan.dtype), ids, plan, device)
    comparison = ScoreComparison(len(ids), float((after - before).abs().max()), float(before.std()))
    _tell(comparison, source, out, work)
    return comparison


def _whole(source: Source, folder: Path, dtype: WeightDtype, four_bit: FourBit | None = None) -> PreTrainedModel:
    """A scorer of a folder; a base in the values that it was trained on, with a head that the adapter replaces."""
    quantization = four_bit.quantization if four_bit else None
    model = load_scorer(folder, DTYPES[dtype], "sdpa", four_bit.device if four_bit else _CPU, quantization)
    tell_padding(model, load_hf_tokenizer(source.tokenizer))
    return (dequantized(model) if four_bit else model).eval()


def _trained(source: Source, dtype: WeightDtype) -> PreTrainedModel | PeftModel:
    """As it was trained: base and adapter apart."""
    folder = source.plan.trained.folder
    if not source.plan.trained.is_adapter:
        return _whole(source, folder, dtype)
    return put_adapter(_whole(source, source.base, dtype, source.four_bit), folder)


def _merged(source: Source) -> PreTrainedModel:
    plan = source.plan
    if not plan.trained.is_adapter:
        return _whole(source, plan.trained.folder, plan.dtype)
    with_adapter = _trained(source, source.trained_in if source.four_bit else stored_dtype(source.base))
    return merge_adapter(cast("PeftModel", with_adapter), plan.dtype)


def _scores(model: torch.nn.Module, ids: Sequence[list[int]], plan: ExportPlan, device: DeviceFacts) -> torch.Tensor:
    """Each text alone, [B]."""
    on_device = placed(model, plan.num_bytes, device)
    result = torch.cat([scores_of(on_device, [one], 0) for one in ids])
    del on_device, model
    free_device(device)
    return result


def _texts(source: Source, work: JobWork) -> tuple[list[tuple[Turns, Turns]], bool]:
    """Prompts with answers of the run's pairs, held-out ones first, and whether they are chats; where the data are gone, other texts."""
    try:
        data = load_examples(source.config, load_tokenizer(source.base, source.config.model.added_tokens), work.events, work.check_stop)
    except DesktopFtError:
        texts: list[tuple[Turns, Turns]] = list(zip(SAMPLE_PROMPTS, reversed(SAMPLE_PROMPTS), strict=True))
        return texts, load_hf_tokenizer(source.base).chat_template is not None
    chosen: list[Example] = [*data.eval_examples, *data.train_examples][:NUM_PAIRS]
    return list(_answers(chosen)), has_turns(data.train_examples[0])


def _answers(pairs: Sequence[Example]) -> Iterator[tuple[Turns, Turns]]:
    for pair in pairs:
        preference = cast("Preference", pair)
        yield preference.prompt, preference.chosen
        yield preference.prompt, preference.rejected


def _tell(comparison: ScoreComparison, source: Source, out: Path, work: JobWork) -> None:
    work.emit(
        Verified(
            num_prompts=comparison.num_texts,
            max_score_difference=comparison.max_difference,
            chat_template_equal=chat_template_equal(source.base, out),
            stop_token_ok=True,
        )
    )
    if not comparison.passes(source.trained_in, source.plan.dtype):
        work.emit(
            WarningRaised(
                code="export_differs",
                title="The export differs from the trained model",
                message=f"A score differs by up to {comparison.max_difference:.2g}; the scores spread by {comparison.spread:.2g}.",
                hint="Export again with dtype float32. If it still differs, use base model and adapter apart.",
            )
        )
