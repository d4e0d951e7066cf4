"""A reward model that is an adapter of the same base: its adapter and its head join those in memory, and no second base is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from peft import LoraConfig, PeftConfig, PeftModel, load_peft_weights
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from desktop_ft.core.config.methods import BASE_MOVING_INITS
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.reward_model import RewardSource
from desktop_ft.engine.load import load_hf_tokenizer
from desktop_ft.engine.ppo.roles import ADAPTERS, SharedBase, head_output, put_weights
from desktop_ft.engine.reward_model import HEADS, RewardModel, check_head, read_head

_CAUSAL: Final = "CAUSAL_LM"


def can_share(source: RewardSource, base: Path) -> bool:
    """Whether a reward model is nothing but low-rank matrices and a head on this very base.

    Args:
        source: The reward model.
        base: Folder of the base in memory, with its weights as they are there.
    """
    if source.base is None or not source.base.samefile(base):
        return False
    config = PeftConfig.from_pretrained(str(source.folder))
    if not isinstance(config, LoraConfig) or config.trainable_token_indices or config.init_lora_weights in BASE_MOVING_INITS:
        return False
    return set(config.modules_to_save or ()) <= set(HEADS)


def put_reward_adapter(model: PeftModel, source: RewardSource) -> None:
    """Add the reward model's adapter to a causal model; its head has no place there and comes with `SharedScorer`.

    Raises:
        DesktopFtError: ``adapter_mismatch``.
    """
    config = PeftConfig.from_pretrained(str(source.folder))
    assert isinstance(config, LoraConfig)
    config.task_type, config.modules_to_save, config.init_lora_weights, config.lora_dropout = _CAUSAL, None, True, 0.0
    weights = load_peft_weights(str(source.folder), device="cpu")
    try:
        model.add_adapter(ADAPTERS["reward"], config)
        put_weights(model, {name: weight for name, weight in weights.items() if not _is_of_head(name)}, ADAPTERS["reward"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise DesktopFtError(
            "adapter_mismatch",
            "The reward model does not fit the model",
            f"The adapter in {source.folder} could not be put on this base: {str(error)[:300]}",
            "Pick a reward model that was trained on this base model.",
        ) from error


def _is_of_head(name: str) -> bool:
    return any(part in HEADS for part in name.split("."))


class SharedScorer(torch.nn.Module):
    """What transformers' sequence classifiers compute, on the shared base.

    Args:
        roles: With the reward model's adapter on its base.
        weight: The head's, [1, D].
    """

    def __init__(self, roles: SharedBase, weight: Tensor) -> None:
        super().__init__()
        self._roles = roles
        self.score = torch.nn.Linear(weight.shape[1], 1, bias=False, device=roles.trained.device, dtype=torch.float32)
        self.score.weight = torch.nn.Parameter(weight.to(self.score.weight), requires_grad=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> SequenceClassifierOutputWithPast:
        """The score at each text's last token, ``logits`` [B, 1].

        Args:
            input_ids: Filled up at the end, [B, T].
            attention_mask: 1 where a token is, [B, T].
            use_cache: As transformers' models take it; nothing is cached.
        """
        with self._roles.playing("reward"):
            scores = head_output(self._roles.hidden(input_ids), self.score)
        last = attention_mask.sum(-1, keepdim=True) - 1
        return SequenceClassifierOutputWithPast(logits=scores.gather(1, last))  # pyright: ignore[reportArgumentType] - a FloatTensor to torch


def shared_reward_model(roles: SharedBase, source: RewardSource) -> RewardModel:
    """The reward model that plays in ``roles``, asked as any other is.

    Raises:
        DesktopFtError: ``reward_no_head``.
    """
    scorer = SharedScorer(roles, read_head(source))
    check_head(scorer, source)
    tokenizer = load_hf_tokenizer(source.tokenizer_folder)
    as_chat = bool(tokenizer.chat_template) if source.as_chat is None else source.as_chat
    return RewardModel(scorer, tokenizer, source, as_chat)
