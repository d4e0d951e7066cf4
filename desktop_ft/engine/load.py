"""The model, its tokenizer and its adapter, loaded from a folder in the format to train in."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from peft import EvaConfig, LoraConfig, PeftConfig, PeftModel
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from desktop_ft.core.config import RunConfig
from desktop_ft.core.config.schema import QuantizationConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.engine.methods.base import can_adapt_experts, embedding_modules, is_tied, num_expert_weights
from desktop_ft.engine.methods.quantization import bits_and_bytes_config, check_bitsandbytes, keep_unpacked
from desktop_ft.engine.methods.start import plain_adapter

Head = Literal["causal", "score"]
"""What a base ends in: the next token's scores, or one number for a whole text (a reward model)."""
_PLACES: Final = {"cuda": "cuda:0", "rocm": "cuda:0", "xpu": "xpu:0", "mps": "mps", "cpu": "cpu"}


def load_hf_tokenizer(folder: Path, added_tokens: Sequence[str] = ()) -> PreTrainedTokenizerBase:
    """Transformers' tokenizer of a model folder, with a run's added special tokens; it goes into checkpoints and results as it is.

    Raises:
        DesktopFtError: ``added_token_known``.
    """
    tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(folder, local_files_only=True))
    known = next((text for text in added_tokens if text in tokenizer.get_vocab()), None)
    if known is not None:
        raise DesktopFtError(
            "added_token_known",
            "A token to add is there already",
            f"model.added_tokens names {known}, which is a token of this model.",
            f"Remove {known} from model.added_tokens.",
        )
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in added_tokens], special_tokens=True)
    return tokenizer


def load_base_model(
    folder: Path,
    weights: torch.dtype,
    attention: str | None,
    device: DeviceFacts,
    *,
    head: Head = "causal",
    quantization: QuantizationConfig | None = None,
) -> PreTrainedModel:
    """The model of a folder on the device.

    Args:
        folder: Config and safetensors.
        weights: Format of the weights; with ``quantization`` of those that stay unquantised.
        attention: ``sdpa`` or ``eager``; None: transformers' choice.
        device: Where it goes; all of it, never a part.
        head: ``score``: a sequence classifier with one output. A folder without one gives it random weights, so seed before.
        quantization: Keep the linear layers in 4 bit; None: as ``weights``.

    Raises:
        DesktopFtError: ``bitsandbytes_missing``.
    """
    settings: dict[str, Any] = {"dtype": weights, "attn_implementation": attention, "local_files_only": True, "use_safetensors": True}
    if device.kind != "cpu":
        settings["device_map"] = {"": _PLACES[device.kind]}
    if head == "score":
        settings["num_labels"] = 1
    if quantization is not None:
        check_bitsandbytes("method.kind: qlora")
        settings["quantization_config"] = bits_and_bytes_config(quantization, weights)
    loader = AutoModelForCausalLM if head == "causal" else AutoModelForSequenceClassification
    model = cast("PreTrainedModel", loader.from_pretrained(folder, **settings))
    if quantization is not None:
        keep_unpacked(model)
        if device.kind in {"cuda", "rocm"}:
            torch.cuda.empty_cache()  # the 16-bit weights that were quantised on the device would stay reserved
    return model


def load_adapter(model: PreTrainedModel, folder: Path, dropout: float) -> PeftModel:
    """Put a trained adapter on the model, to be trained further.

    Args:
        model: What it was trained on.
        folder: The adapter's.
        dropout: Share of its inputs dropped from now on; what it was trained with so far was the earlier run's setting.

    Raises:
        DesktopFtError: ``adapter_missing`` or ``adapter_mismatch``.
    """
    if not (folder / "adapter_config.json").is_file():
        raise DesktopFtError(
            "adapter_missing",
            "There is no adapter here",
            f"{folder} has no adapter_config.json.",
            "Pick the adapter folder of a finished LoRA run.",
        )
    try:
        with plain_adapter(folder) as plain:
            settings = with_dropout(PeftConfig.from_pretrained(str(plain)), dropout)
            return PeftModel.from_pretrained(model, str(plain), is_trainable=True, config=settings)
    except (RuntimeError, ValueError) as error:
        raise DesktopFtError(
            "adapter_mismatch",
            "The adapter does not fit the model",
            f"{folder} could not be put on this model: {str(error).splitlines()[0][:300]}",
            "Pick the model that the adapter was trained on, or set model.adapter to null.",
        ) from error


def with_dropout(settings: PeftConfig, dropout: float) -> PeftConfig:
    """The settings of a stored adapter with another dropout; kinds of adapter without one are left as they are."""
    return dataclasses.replace(settings, lora_dropout=dropout) if isinstance(settings, LoraConfig) else settings


def lora_config(config: RunConfig, model: PreTrainedModel, head: Head = "causal", *, is_new: bool = True) -> LoraConfig:
    """PEFT's configuration of a new adapter.

    Args:
        config: Of the run.
        model: What gets the adapter, its vocabulary grown.
        head: As the model was loaded; a ``score`` head is trained whole beside the adapter.
        is_new: False where a checkpoint's weights will follow, and so no other start is worth computing.

    Raises:
        DesktopFtError: ``target_modules_unknown``, ``target_modules_head`` or ``modules_to_save_unknown``.
    """
    method = config.method
    whole = _modules_to_save(config, model)
    alpha = int(method.alpha) if method.alpha == int(method.alpha) else method.alpha
    return LoraConfig(
        task_type="CAUSAL_LM" if head == "causal" else "SEQ_CLS",
        r=method.rank,
        lora_alpha=cast("int", alpha),
        lora_dropout=method.dropout,
        use_dora=method.use_dora,
        use_rslora=method.use_rslora,
        init_lora_weights=True if method.init == "default" or not is_new else cast("Literal['pissa']", method.init),
        eva_config=EvaConfig(rho=1.0) if method.init == "eva" and is_new else None,
        modules_to_save=whole or None,
        ensure_weight_tying=bool(whole) and is_tied(model),
        target_modules=_target_modules(config, model),
    )


def _target_modules(config: RunConfig, model: PreTrainedModel) -> str | list[str]:
    """What PEFT takes; checked first, since PEFT leaves out a name that it does not find beside one that it does.

    PEFT counts stacked experts among all linear layers and then fails at DoRA and others on them; so they are left out, which
    `method_warnings` tells.
    """
    wanted: str | Sequence[str] = config.method.target_modules
    if wanted == "all-linear" and num_expert_weights(model) and not can_adapt_experts(config):
        wanted = "attention"
    if wanted == "all-linear":
        return "all-linear"
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if wanted == "attention":
        found = sorted({".".join(name.split(".")[-2:]) for name in linear if _is_in_attention(name)})
        return found or _refuse(["attention"], linear)
    unknown = [name for name in wanted if not any(full == name or full.endswith(f".{name}") for full in linear)]
    if unknown:
        _refuse(unknown, linear)
    head = next((full for full, module in model.named_modules() if module is model.get_output_embeddings()), "")
    heads = [name for name in wanted if head and name.split(".")[-1] == head.split(".")[-1]]
    if heads:
        raise DesktopFtError(
            "target_modules_head",
            "The output layer cannot get an adapter",
            f"method.target_modules names {heads[0]}; TRL computes the loss past an adapter there, so it would never be trained.",
            f"Remove {heads[0]} from method.target_modules, or write all-linear.",
        )
    return list(wanted)


def _modules_to_save(config: RunConfig, model: PreTrainedModel) -> list[str]:
    """Modules that are trained whole: those named, and the embeddings of a vocabulary that grew.

    PEFT matches them by the end of the name and passes over a name that it does not find.
    """
    named = list(config.method.modules_to_save)
    known = [full for full, _ in model.named_modules() if full]
    for name in named:
        if not any(full == name or full.endswith(f".{name}") for full in known):
            near = difflib.get_close_matches(name, sorted({full.rpartition(".")[2] for full in known}), n=1)
            raise DesktopFtError(
                "modules_to_save_unknown",
                "A module does not exist in this model",
                f"method.modules_to_save names {name}, which this model does not have.",
                f"Did you mean {near[0]}?" if near else "Embeddings and output layer are usually embed_tokens and lm_head.",
            )
    grown = embedding_modules(model) if config.model.added_tokens else []
    return list(dict.fromkeys([*named, *grown]))


def _is_in_attention(name: str) -> bool:
    return any("attn" in part or "attention" in part for part in name.lower().split(".")[:-1])


def _refuse(unknown: Sequence[str], linear: Sequence[str]) -> list[str]:
    known = sorted({name.split(".")[-1] for name in linear})
    near = difflib.get_close_matches(unknown[0], known, n=1)
    raise DesktopFtError(
        "target_modules_unknown",
        "A layer does not exist in this model",
        f"method.target_modules names {', '.join(unknown)}. Linear layers here: {', '.join(known)}.",
        f"Did you mean {near[0]}?" if near else "Write all-linear, or names from this list.",
    )
