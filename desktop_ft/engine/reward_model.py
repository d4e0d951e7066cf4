"""A reward model in memory: loaded with its head checked, and asked what it thinks of answers.

Its score of a text is the head's output at the last token that is not padding, as transformers' sequence classifiers have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from safetensors import safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.data.records import Message
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.exports import stored_dtype
from desktop_ft.core.reward_model import RewardSource, find_reward_model
from desktop_ft.engine.device import DTYPES
from desktop_ft.engine.load import load_base_model, load_hf_tokenizer
from desktop_ft.engine.merge import put_adapter
from desktop_ft.engine.methods.quantization import kept_quantization

Turns = str | tuple[Message, ...]
HEADS: Final = ("score", "classifier")


@dataclass(frozen=True)
class RewardModel:
    """What scores answers.

    Attributes:
        model: A sequence classifier with one output, in evaluation mode; with its adapter where it has one.
        tokenizer: Its own.
        source: Where it came from.
        as_chat: Whether texts are laid out in the chat template.
    """

    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    source: RewardSource
    as_chat: bool

    def ids(self, prompt: Turns, answer: Turns) -> list[int]:
        """Token ids of a prompt with its answer, as in the training of the reward model, [T]."""
        return answer_ids(self.tokenizer, prompt, answer, as_chat=self.as_chat)

    def score_ids(self, batch: Sequence[Sequence[int]]) -> torch.Tensor:
        """As `scores_of`."""
        return scores_of(self.model, batch, pad_id(self.tokenizer))

    def score(self, prompts: Sequence[Turns], answers: Sequence[Turns]) -> torch.Tensor:
        """The score of each answer to its prompt, float32 on the CPU, [B]."""
        return self.score_ids([self.ids(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)])


@torch.inference_mode()
def scores_of(model: torch.nn.Module, batch: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """The score of each text.

    Args:
        model: A sequence classifier with one output, in evaluation mode.
        batch: Token ids, B of any length.
        pad: What shorter texts are filled up with; the token in the model's config, where there is more than one text.

    Returns:
        Scores without unit, float32 on the CPU, [B].
    """
    weight = next(model.parameters())
    input_ids, attention_mask = padded(batch, pad, weight.device)
    # A head in training is float32 over a 16-bit base, and meets it under autocast only.
    is_mixed = head_of(model).dtype != weight.dtype
    with torch.autocast(weight.device.type, dtype=weight.dtype if is_mixed else None, enabled=is_mixed):
        output = cast("SequenceClassifierOutputWithPast", model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False))
    return cast("torch.Tensor", output.logits).squeeze(-1).float().cpu()


def load_reward_model(
    source: Path | RewardSource, device: DeviceFacts, dtype: torch.dtype | None = None, attention: str = "sdpa"
) -> RewardModel:
    """Load a reward model onto the device and make sure that its head is the trained one.

    Args:
        source: Folder of a reward run, of its adapter, or of a sequence classifier with one output.
        device: Where it computes.
        dtype: Format of the weights; None: as stored, float32 on a CPU.
        attention: ``sdpa`` or ``eager``.

    Raises:
        DesktopFtError: As `find_reward_model`; ``adapter_mismatch``, ``reward_no_head``, ``reward_architecture``.
    """
    found = source if isinstance(source, RewardSource) else find_reward_model(source)
    tokenizer = load_hf_tokenizer(found.tokenizer_folder)
    base = found.base or found.folder
    stored = torch.float32 if device.kind == "cpu" else DTYPES[stored_dtype(base)]
    model: torch.nn.Module = load_scorer(base, dtype or stored, attention, device, kept_quantization(found.folder))
    tell_padding(model, tokenizer)
    if found.is_adapter:
        model = put_adapter(model, found.folder)
    check_head(model, found)
    as_chat = bool(tokenizer.chat_template) if found.as_chat is None else found.as_chat
    return RewardModel(model.eval(), tokenizer, found, as_chat)


def load_scorer(
    folder: Path, weights: torch.dtype, attention: str, device: DeviceFacts, quantization: QuantizationConfig | None = None
) -> PreTrainedModel:
    """A model with a scoring head; random where the folder is a language model, so seed before.

    Raises:
        DesktopFtError: ``reward_architecture``.
    """
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    try:
        with suppress_seqcls_warning():
            return load_base_model(folder, weights, attention, device, head="score", quantization=quantization)
    except ValueError as error:
        if "AutoModelForSequenceClassification" not in str(error):
            raise
        raise DesktopFtError(
            "reward_architecture",
            "This kind of model cannot score",
            f"transformers has no sequence classifier for the architecture of {folder.name}.",
            "Pick another base model for the reward model, such as a Llama or Qwen model.",
        ) from error


def tell_padding(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    """A sequence classifier finds a text's last token by the padding token in its config."""
    cast("PreTrainedModel", model).config.get_text_config().pad_token_id = pad_id(tokenizer)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding token, else the end token, as TRL has it."""
    pad, end = cast("int | None", tokenizer.pad_token_id), cast("int | None", tokenizer.eos_token_id)
    token = end if pad is None else pad
    if token is None:
        raise DesktopFtError(
            "tokenizer_no_end",
            "The tokenizer has neither a padding nor an end token",
            "Without one of them texts of different lengths cannot be scored together.",
            "Set eos_token in the model's tokenizer_config.json.",
        )
    return token


def padded(batch: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of texts of different lengths, filled up at their ends, [B, T] each."""
    longest = max(len(ids) for ids in batch)
    rows = [[*ids, *[pad] * (longest - len(ids))] for ids in batch]
    masks = [[1] * len(ids) + [0] * (longest - len(ids)) for ids in batch]
    return torch.tensor(rows, device=device), torch.tensor(masks, device=device)


def answer_ids(tokenizer: PreTrainedTokenizerBase, prompt: Turns, answer: Turns, *, as_chat: bool) -> list[int]:
    """Token ids of a prompt with its answer, laid out as TRL's RewardTrainer does, [T].

    Args:
        tokenizer: The reward model's.
        prompt: A text, or the turns before the answer.
        answer: A text, or turns.
        as_chat: In the chat template; otherwise one text with the end token after it.
    """
    if not as_chat:
        text, end = _text(prompt) + _text(answer), cast("str", tokenizer.eos_token)
        return cast("list[int]", tokenizer(text if text.endswith(end) else text + end)["input_ids"])
    turns = [*_turns(prompt, "user"), *_turns(answer, "assistant")]
    rendered = cast("str", tokenizer.apply_chat_template(turns, tokenize=False))
    return cast("list[int]", tokenizer(rendered, add_special_tokens=False)["input_ids"])


def _turns(part: Turns, role: str) -> list[dict[str, str]]:
    if isinstance(part, str):
        return [{"role": role, "content": part}]
    return [{"role": message.role, "content": message.content} for message in part]


def _text(part: Turns) -> str:
    return part if isinstance(part, str) else "\n".join(message.content for message in part)


# --- the head -----------------------------------------------------------------------------------------------------------------


def head_of(model: torch.nn.Module) -> torch.Tensor:
    """The head's weight, [1, D]; of an adapter its trained copy.

    Raises:
        DesktopFtError: ``reward_no_head``.
    """
    for name, weight in model.named_parameters():
        parts = name.split(".")
        if parts[-1] == "weight" and any(part in HEADS for part in parts) and "original_module" not in parts:
            return weight
    raise _no_head("The model has no scoring layer.")


def read_head(source: RewardSource) -> torch.Tensor:
    """The head's weight as saved, [1, D], on the CPU."""
    with safe_open(str(source.head_file), framework="pt", device="cpu") as file:
        return cast("torch.Tensor", file.get_tensor(source.head_key))


def check_head(model: torch.nn.Module, source: RewardSource) -> None:
    """Make sure that the head in memory is the saved one; PEFT goes on with a random head where it finds none.

    Raises:
        DesktopFtError: ``reward_no_head``.
    """
    saved, loaded = read_head(source), head_of(model).detach().cpu()
    if saved.shape != loaded.shape or not torch.equal(saved.to(loaded.dtype), loaded):
        raise _no_head(f"The head in {source.head_file.name} did not reach the model; every score would be noise.")


def _no_head(why: str) -> DesktopFtError:
    return DesktopFtError(
        "reward_no_head", "The reward model has no head", why, "Pick the folder that the reward run wrote, and its own base model."
    )
