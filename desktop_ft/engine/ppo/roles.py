"""Who plays which part in PPO: the policy that is trained, the value function, and the reference that the policy is held to.

With adapters there is one frozen base in memory, in 4 bit if it was loaded so, and every part is an adapter of it (`SharedBase`).
With full fine-tuning every part is a model of its own (`SeparateModels`).

One part plays at a time. Its backward pass has to run while it plays: checkpointing computes activations a second time in the backward
pass, with whatever adapter is on then, and a gradient through the wrong one raises no error.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

import torch
from peft import PeftModel, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTuner
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from desktop_ft.engine.ppo.rows import Rows

Role = Literal["policy", "value", "reference", "reward"]
ADAPTERS: Final[dict[Role, str]] = {
    "policy": "default", "value": "value_function", "reference": "reference_policy", "reward": "reward_model",
}  # fmt: skip
"""PEFT writes the adapter called ``default`` into a folder itself and every other one below it."""
VALUE_FOLDER: Final = ADAPTERS["value"]
_HEAD_FILE: Final = "head.safetensors"


class Roles(Protocol):
    """The parts, however they lie in memory. The policy plays unless told otherwise."""

    @property
    def trained(self) -> PreTrainedModel | PeftModel:
        """The policy."""
        ...

    @property
    def learning(self) -> torch.nn.Module:
        """Everything that is trained, with what surrounds it: policy, value function and its head."""
        ...

    @property
    def models(self) -> Sequence[PreTrainedModel]:
        """The models in which something is trained, without their adapters; the policy's first."""
        ...

    @contextmanager
    def playing(self, role: Role) -> Generator[None]:
        """Let a part play for a while; its backward pass belongs inside."""
        ...

    def log_probs(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Of the policy or the reference, whichever plays: see `token_log_probs`."""
        ...

    def values(self, rows: Rows) -> Tensor:
        """Of the value function, which has to be playing: see `token_values`."""
        ...

    def save(self, folder: Path) -> None:
        """Write policy and value function into a checkpoint's folder."""
        ...

    def load(self, folder: Path) -> None:
        """Take them from there."""
        ...

    def dismiss(self) -> None:
        """Leave the policy alone; nothing else is wanted after training."""
        ...


def token_log_probs(model: torch.nn.Module, rows: Rows) -> tuple[Tensor, Tensor]:
    """What a causal model with TRL's fused head thinks of the answers' tokens; the scores of the vocabulary exist only in tiles.

    Args:
        model: With `add_fused_lm_head`.
        rows: B rows of T tokens.

    Returns:
        Log-probability of each token and entropy of the distribution that it was chosen from, at the head's temperature; nats,
        float32, [B, T - 1]; zero outside the answers.
    """
    output = cast("FusedCausalLMOutput", model(input_ids=rows.ids, labels=rows.labels, fused_lm_head=True))
    assert output.log_probs is not None
    assert output.entropy is not None
    return output.log_probs.float(), output.entropy.float()


def token_values(backbone: torch.nn.Module, head: torch.nn.Linear, rows: Rows) -> Tensor:
    """The value of the text before each token, float32, [B, T - 1]."""
    return head_output(last_hidden_state(backbone, rows.ids), head)[:, :-1]


def last_hidden_state(backbone: torch.nn.Module, ids: Tensor) -> Tensor:
    """After the last layer and its norm, [B, T, D]."""
    return cast("Tensor", cast("BaseModelOutputWithPast", backbone(input_ids=ids, use_cache=False)).last_hidden_state)


def head_output(hidden: Tensor, head: torch.nn.Linear) -> Tensor:
    """One number a token, [B, T]; in float32, since bfloat16 has too few digits for the difference of two values."""
    with torch.autocast(hidden.device.type, enabled=False):
        return head(hidden.float()).squeeze(-1)


def new_value_head(model: PreTrainedModel, weight: Tensor | None) -> torch.nn.Linear:
    """The layer from hidden states to a value, float32 on the model's device.

    Args:
        model: The base.
        weight: Of a reward model's head, [1, D], to start from; None: zero, so that the first values are.

    Source: Ouyang et al. 2022, appendix C.4 (the value function starts from the reward model); Huang et al. 2024 (zero otherwise).
    """
    width = int(model.config.get_text_config().hidden_size)
    head = torch.nn.Linear(width, 1, bias=False, device=model.device, dtype=torch.float32)
    with torch.no_grad():
        if weight is None:
            head.weight.zero_()
        else:
            assert weight.shape == head.weight.shape, weight.shape
            head.weight.copy_(weight)
    return head


def without_dropout(model: torch.nn.Module) -> bool:
    """Turn dropout off for good; whether there was any. The probability of a token may not depend on a throw of the dice.

    Source: Huang et al. 2024, "disable dropout"; otherwise the ratio of two policies that are the same is not 1.
    """
    had_any = False
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            had_any |= module.p > 0
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            had_any |= cast("float", module.attention_dropout) > 0
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 - not declared on Module
    return had_any


# --- one base ------------------------------------------------------------------------------------------------------------------


class SharedBase:
    """Every part an adapter of one frozen base.

    Args:
        model: The base with the policy's adapter, called ``default``, and one called ``value``; perhaps ``reference`` and ``reward``.
        head: From hidden states to a value.
        temperature: That answers are sampled at.
    """

    def __init__(self, model: PeftModel, head: torch.nn.Linear, temperature: float) -> None:
        self._model = model
        self._head = head
        self._base = cast("PreTrainedModel", model.get_base_model())
        add_fused_lm_head(self._base, temperature, outputs=("log_probs", "entropy"))
        self._learning = torch.nn.ModuleDict({"model": model, "head": head})
        self._is_bare = False
        self._trainable = [*_parameters_of(model, ADAPTERS["value"]), *_parameters_of(model, ADAPTERS["policy"])]
        self._put_on("policy")

    @property
    def trained(self) -> PeftModel:
        """The policy."""
        return self._model

    @property
    def learning(self) -> torch.nn.Module:
        """The base with all adapters, of which policy and value function are marked as trained, and the head."""
        return self._learning

    @property
    def models(self) -> Sequence[PreTrainedModel]:
        """The base."""
        return (self._base,)

    @contextmanager
    def playing(self, role: Role) -> Generator[None]:
        """Put a part's adapter on."""
        if role != "policy":
            self._put_on(role)
        try:
            yield
        finally:
            if role != "policy":
                self._put_on("policy")

    def _put_on(self, role: Role) -> None:
        """Switch adapters, then mark what is trained, which PEFT does anew for the active adapter alone at every switch."""
        tuner = cast("BaseTuner", self._model.base_model)
        is_bare = role == "reference" and ADAPTERS[role] not in self._model.peft_config
        if is_bare:
            tuner.disable_adapter_layers()
        elif self._is_bare:
            tuner.enable_adapter_layers()
        self._is_bare = is_bare
        if not is_bare:
            self._model.set_adapter(ADAPTERS[role], inference_mode=True)
        for parameter in self._trainable:
            parameter.requires_grad_(True)

    def log_probs(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Of the adapter that is on, or of the base alone."""
        return token_log_probs(self._base, rows)

    def values(self, rows: Rows) -> Tensor:
        """Of the value function."""
        return token_values(self._base.base_model, self._head, rows)

    def hidden(self, ids: Tensor) -> Tensor:
        """What the part that plays makes of a text, [B, T, D]."""
        return last_hidden_state(self._base.base_model, ids)

    def save(self, folder: Path) -> None:
        """The policy's adapter into the folder, the value function's below it."""
        adapters = [ADAPTERS["policy"], ADAPTERS["value"]]
        self._model.save_pretrained(str(folder), selected_adapters=adapters, save_embedding_layers=False)
        save_file(self._head.state_dict(), folder / VALUE_FOLDER / _HEAD_FILE)

    def load(self, folder: Path) -> None:
        """Adapters and head."""
        put_weights(self._model, load_peft_weights(str(folder), device="cpu"), ADAPTERS["policy"])
        put_weights(self._model, load_peft_weights(str(folder / VALUE_FOLDER), device="cpu"), ADAPTERS["value"])
        self._head.load_state_dict(load_file(folder / VALUE_FOLDER / _HEAD_FILE))
        self._put_on("policy")

    def dismiss(self) -> None:
        """Take the other adapters off."""
        self._put_on("policy")
        for name in [name for name in self._model.peft_config if name != ADAPTERS["policy"]]:
            self._model.delete_adapter(name)


def put_weights(model: PeftModel, weights: dict[str, Tensor], adapter: str) -> None:
    """Fill an adapter; every weight has to find its place, which PEFT does not ask for.

    Args:
        model: Has the adapter.
        weights: By PEFT's names, as `get_peft_model_state_dict` gives them.
        adapter: Its name.

    Raises:
        KeyError: A weight is missing, or has no place.
    """
    expected = set(_weights_of(model, adapter))
    if expected != set(weights):
        raise KeyError(", ".join(sorted(expected ^ set(weights))[:3]))
    set_peft_model_state_dict(model, weights, adapter_name=adapter)


def add_copy(model: PeftModel, source: str, target: str, *, without: str = "") -> None:
    """A second adapter with the first one's settings and weights.

    Args:
        model: Has the first.
        source: Its name.
        target: The second one's.
        without: A module that the first one trains whole and the second one does not need.
    """
    config: Any = copy.deepcopy(model.peft_config[source])
    config.init_lora_weights = True  # a start such as PiSSA's would change the base a second time
    config.modules_to_save = [name for name in config.modules_to_save or () if name != without] or None
    model.add_adapter(target, config)
    weights = _weights_of(model, source)
    kept = {name: weight.detach().clone() for name, weight in weights.items() if not without or without not in name.split(".")}
    put_weights(model, kept, target)


def _weights_of(model: PeftModel, adapter: str) -> dict[str, Tensor]:
    """An adapter's own weights; PEFT would add the base's embeddings where the vocabulary grew."""
    return get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)


def _parameters_of(model: PeftModel, adapter: str) -> list[torch.nn.Parameter]:
    """What PEFT trains of an adapter: matrices, magnitudes, whole modules. Leaves it on."""
    model.set_adapter(adapter)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


# --- models apart --------------------------------------------------------------------------------------------------------------


class SeparateModels:
    """Every part a model of its own, of the same weights at the start.

    Args:
        model: Becomes the policy.
        head: From hidden states to a value.
        temperature: That answers are sampled at.
        value_weights: Of the value function below its head; empty: as the policy's.
    """

    def __init__(self, model: PreTrainedModel, head: torch.nn.Linear, temperature: float, value_weights: Mapping[str, Tensor]) -> None:
        self._policy = model
        self._backbone = cast("PreTrainedModel", copy.deepcopy(model.base_model))
        if value_weights:
            self._backbone.load_state_dict(value_weights)
        self._head = head
        self._reference: PreTrainedModel | None = copy.deepcopy(model).requires_grad_(False)
        for owner in (self._policy, self._reference):
            add_fused_lm_head(owner, temperature, outputs=("log_probs", "entropy"))
        self._learning = torch.nn.ModuleDict({"policy": model, "value": self._backbone, "head": head})
        self._role: Role = "policy"

    @property
    def trained(self) -> PreTrainedModel:
        """The policy."""
        return self._policy

    @property
    def learning(self) -> torch.nn.Module:
        """The policy, the value function and its head."""
        return self._learning

    @property
    def models(self) -> Sequence[PreTrainedModel]:
        """Policy and value function."""
        return (self._policy, self._backbone)

    @contextmanager
    def playing(self, role: Role) -> Generator[None]:
        """Turn to one of the models."""
        self._role = role
        try:
            yield
        finally:
            self._role = "policy"

    def log_probs(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Of policy or reference."""
        assert self._reference is not None
        return token_log_probs(self._reference if self._role == "reference" else self._policy, rows)

    def values(self, rows: Rows) -> Tensor:
        """Of the value function."""
        return token_values(self._backbone, self._head, rows)

    def save(self, folder: Path) -> None:
        """The policy as a model's folder, the value function below it."""
        self._policy.save_pretrained(folder)
        self._backbone.save_pretrained(folder / VALUE_FOLDER)
        save_file(self._head.state_dict(), folder / VALUE_FOLDER / _HEAD_FILE)

    def load(self, folder: Path) -> None:
        """Both."""
        for model, place in ((self._policy, folder), (self._backbone, folder / VALUE_FOLDER)):
            saved = type(model).from_pretrained(place, dtype=model.dtype, local_files_only=True, use_safetensors=True)
            model.load_state_dict(saved.state_dict())
        self._head.load_state_dict(load_file(folder / VALUE_FOLDER / _HEAD_FILE))

    def dismiss(self) -> None:
        """Give the memory of the reference back."""
        self._reference = None
