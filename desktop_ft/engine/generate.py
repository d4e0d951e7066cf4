"""Let a model, with or without an adapter, answer prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList, set_seed

from desktop_ft.core.config.schema import DtypeName
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.events import SampleDone
from desktop_ft.core.exports import WeightDtype, stored_dtype
from desktop_ft.core.job import GenerateRequest
from desktop_ft.core.models import read_model, resolve_model
from desktop_ft.engine.device import DTYPES
from desktop_ft.engine.load import load_base_model, load_hf_tokenizer
from desktop_ft.engine.merge import put_adapter
from desktop_ft.engine.methods.quantization import kept_quantization
from desktop_ft.engine.sampling import stop_ids as model_stop_ids
from desktop_ft.engine.verify import prompt_ids, stop_ids

if TYPE_CHECKING:
    from desktop_ft.engine.jobs import JobWork

_CHECK_EVERY_TOKENS: Final = 8


def generate(request: GenerateRequest, work: JobWork, device: DeviceFacts) -> None:
    """Answer every prompt, each alone, one ``sample`` event an answer.

    Raises:
        DesktopFtError: ``model_missing`` and the others of `resolve_model` and `read_model`; ``adapter_mismatch``.
        StopRequested: Where the person asked for it; answers so far are told.
    """
    work.enter("load", f"Loading {request.model}" if request.adapter is None else f"Loading {request.model} and its adapter")
    folder = resolve_model(request.model, request.revision)
    read_model(folder)
    tokenizer = load_hf_tokenizer(_tokenizer_folder(request, folder))
    quantization = kept_quantization(request.adapter) if request.adapter else None
    model = load_base_model(folder, DTYPES[generation_dtype(request.dtype, folder, device)], "sdpa", device, quantization=quantization)
    if request.adapter is not None:
        model = cast("PreTrainedModel", put_adapter(model, request.adapter))
    model.eval()
    work.enter("generate", f"Answering {len(request.prompts)} prompt{'' if len(request.prompts) == 1 else 's'}")
    answering = _Answering(model, tokenizer, request, work)
    for index, prompt in enumerate(request.prompts):
        work.progress(index, len(request.prompts))
        work.emit(answering.answer(index, prompt))
    work.progress(len(request.prompts), len(request.prompts))


def _tokenizer_folder(request: GenerateRequest, base: Path) -> Path:
    """The adapter's own where it has one, for it may know more tokens than the base's."""
    return request.adapter if request.adapter is not None and (request.adapter / "tokenizer.json").is_file() else base


def generation_dtype(asked: DtypeName, folder: Path, device: DeviceFacts) -> WeightDtype:
    """The format to answer in: as asked, else as stored; 16 bit on a CPU is slow and is answered in float32."""
    if asked != "auto":
        return asked
    stored = stored_dtype(folder)
    if device.kind == "cpu":
        return "float32"
    return "float16" if stored == "bfloat16" and not device.supports_bf16 else stored


class _Answering:
    """One model at its prompts."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, request: GenerateRequest, work: JobWork) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._request = request
        self._work = work
        self._ends = sorted({*stop_ids(tokenizer), *model_stop_ids(model, tokenizer)})

    def answer(self, index: int, prompt: str) -> SampleDone:
        """The answer to one prompt; the seed counts from the request's, so that prompts may come and go without changing the others."""
        ids = prompt_ids(self._tokenizer, prompt, self._request.system)
        set_seed(self._request.seed + index)
        new = self._continue(ids)
        self._work.check_stop()
        text = cast("str", self._tokenizer.decode(new, skip_special_tokens=True))
        return SampleDone(step=0, index=index, prompt=prompt, text=text, finished=bool(new) and new[-1] in self._ends)

    def _continue(self, ids: list[int]) -> list[int]:
        inputs = torch.tensor([ids], device=self._model.device)
        continue_text = cast("Callable[..., torch.Tensor]", self._model.generate)
        with torch.inference_mode():
            output = continue_text(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                generation_config=self._settings(),
                stopping_criteria=StoppingCriteriaList([_AskedToStop(self._work)]),
            )
        return cast("list[int]", output[0, len(ids) :].tolist())

    def _settings(self) -> GenerationConfig:
        request = self._request
        sampled = {"temperature": request.temperature, "top_p": request.top_p, "top_k": 0} if request.temperature > 0 else {}
        return GenerationConfig(
            do_sample=request.temperature > 0,
            num_beams=1,
            max_new_tokens=request.max_new_tokens,
            eos_token_id=self._ends or None,
            pad_token_id=self._tokenizer.pad_token_id,
            **sampled,
        )


class _AskedToStop(StoppingCriteria):
    """Ends an answer in the middle where the person asked for it."""

    def __init__(self, work: JobWork) -> None:
        self._work = work
        self._num_tokens = 0

    def __call__(self, input_ids: torch.LongTensor, scores: tuple[torch.Tensor] | None, **kwargs: object) -> torch.BoolTensor:
        """Whether to end each sequence of the batch, [B]."""
        self._num_tokens += 1
        is_asked = self._num_tokens % _CHECK_EVERY_TOKENS == 0 and self._work.is_stopping()
        return cast("torch.BoolTensor", torch.full((input_ids.shape[0],), is_asked, dtype=torch.bool, device=input_ids.device))
