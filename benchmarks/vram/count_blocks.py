"""Counts what a block keeps and needs: the real modules of transformers and PEFT on shape-only tensors, against the closed form.

Without weights, without a GPU, a second or two a case. Two depths give the bytes that one block adds; the rest is what happens once. What a
CUDA kernel would keep is modelled by shapes: fused attention keeps q, k, v, its output and one float32 a head and position, and makes no
scores. Dropout's mask is one byte on CUDA and is counted so.

    python benchmarks/vram/count_blocks.py [WORD ...]

prints bytes a token, counted and predicted, of every case whose name has one of the words.
"""

# ruff: noqa: ANN401 - stand-ins with the signatures of torch's and transformers' own hooks

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from desktop_ft.core.memory.activations import block_bytes, kept_bytes
from desktop_ft.core.memory.plan import Dtype, Plan, linears
from desktop_ft.core.model_shape import read_model_shape
from desktop_ft.engine.methods.dora import make_lean

TOLERANCE: Final = 0.01
SIZES: Final[dict[str, Any]] = {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1408,
    "vocab_size": 1000,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: Final[dict[str, Any]] = {"num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 384}
FAMILY_SIZES: Final[dict[str, dict[str, Any]]] = {
    "mixtral": {**EXPERTS, "intermediate_size": 384},
    "qwen3_moe": EXPERTS,
    "olmoe": {**EXPERTS, "intermediate_size": 384},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 640},
    "gemma3_text": {"sliding_window": 4096},
    "gemma2": {"sliding_window": 4096},
}


class _Flash(torch.autograd.Function):
    """Fused attention as to memory: keeps its inputs, its output and the logarithm of each row's sum."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        batch, heads, length, width = query.shape
        output = torch.empty((batch, length, heads, width), dtype=query.dtype).transpose(1, 2)
        ctx.save_for_backward(query, key, value, output, torch.empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _flash(module: Any, query: Any, key: Any, value: Any, mask: Any, **more: Any) -> Any:
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (tensor.to(torch.bfloat16) for tensor in (query, key, value))
    return _Flash.apply(query, key, value).transpose(1, 2).contiguous(), None


class _Dropout(torch.autograd.Function):
    """CUDA's dropout: a mask of one byte, and a copy."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(torch.empty(x.shape, dtype=torch.uint8))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return torch.empty_like(grads[0])


class CudaDropout(torch.nn.Module):
    """In the place of `torch.nn.Dropout`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any tensor."""
        return _Dropout.apply(x)


class _Linear4bit(LoraLinear):
    """PEFT's adapter over a 4-bit layer (peft/tuners/lora/bnb.py): clones the output, and under autocast casts nothing back."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """[..., in] to [..., out]."""
        result = self.base_layer(x).to(x.dtype).clone()
        if self.lora_variant:
            return self.lora_variant["default"].forward(self, active_adapter="default", x=x, result=result)
        lora_a, lora_b, dropout = self.lora_A["default"], self.lora_B["default"], self.lora_dropout["default"]
        return result + lora_b(lora_a(dropout(x))) * self.scaling["default"]


class Live(TorchDispatchMode):
    """Bytes of the storages that are alive, each rounded up to 512 as torch's allocator does, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}
        self._outside: set[int] = set()

    def leave_out(self, model: torch.nn.Module) -> None:
        """Count no weights."""
        for tensor in (*model.parameters(), *model.buffers()):
            self._outside.add(tensor.untyped_storage()._cdata)  # pyright: ignore[reportPrivateUsage]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._add(value.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # pyright: ignore[reportPrivateUsage] - torch has no other name for a storage
        if key in self._sizes or key in self._outside:
            return
        size = -(-storage.nbytes() // 512) * 512
        self._sizes[key] = size
        self.now += size
        weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


@dataclass(frozen=True)
class Case:
    """One kind of block."""

    name: str
    model_type: str = "llama"
    method: Literal["lora", "qlora", "full"] = "lora"
    sizes: dict[str, Any] = field(default_factory=dict)
    rank: int = 16
    targets: str = "all-linear"
    use_dora: bool = False
    lean: bool = False
    dropout: float = 0.0
    attention: Literal["sdpa", "eager"] = "sdpa"
    dtype: Dtype = "bfloat16"
    mixed: bool = False


@dataclass(frozen=True)
class Count:
    """Bytes of a case at one depth."""

    kept: int
    backward: int


WIDE: Final = {"hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 4, "intermediate_size": 3584}
FAMILIES: Final = ("llama", "qwen2", "qwen3", "mistral", "gemma", "gemma3_text", "phi3", "olmo", "olmo2", "smollm3", "granite")
SPARSE: Final = ("mixtral", "qwen3_moe", "qwen2_moe", "olmoe")
METHODS: Final[tuple[Literal["full", "lora", "qlora"], ...]] = ("full", "lora", "qlora")
CASES: Final = (
    *(Case(f"{family}, {method}", family, method) for family in FAMILIES for method in METHODS),
    *(Case(f"gemma2, {method}, eager", "gemma2", method, attention="eager") for method in METHODS),
    *(Case(f"llama, {method}, eager", "llama", method, attention="eager") for method in METHODS),
    *(Case(f"{family}, {method}", family, method) for family in SPARSE for method in METHODS),
    Case("llama, lora, attention", targets="attention"),
    Case("llama, qlora, attention", method="qlora", targets="attention"),
    Case("qwen3_moe, lora, attention", "qwen3_moe", targets="attention"),
    Case("llama, lora, rank 64", rank=64),
    Case("llama, qlora, rank 64", method="qlora", rank=64),
    Case("llama, dora", use_dora=True),
    Case("llama, qdora", method="qlora", use_dora=True),
    Case("llama, lean dora", use_dora=True, lean=True),
    Case("llama, lean qdora", method="qlora", use_dora=True, lean=True),
    Case("llama, lean dora, wide", use_dora=True, lean=True, sizes=WIDE),
    Case("llama, lean qdora, wide", method="qlora", use_dora=True, lean=True, sizes=WIDE),
    Case("llama, lean dora, attention", use_dora=True, lean=True, targets="attention"),
    Case("llama, lean dora, dropout", use_dora=True, lean=True, dropout=0.05),
    Case("llama, lean qdora, dropout", method="qlora", use_dora=True, lean=True, dropout=0.05),
    Case("qwen3, lean dora", "qwen3", use_dora=True, lean=True),
    Case("gemma3_text, lean dora", "gemma3_text", use_dora=True, lean=True),
    Case("phi3, lean qdora", "phi3", method="qlora", use_dora=True, lean=True),
    Case("llama, lora, dropout", dropout=0.05),
    Case("llama, qlora, dropout", method="qlora", dropout=0.05),
    Case("llama, full, float32 weights", method="full", mixed=True),
    Case("llama, lora, float32", dtype="float32"),
    Case("llama, full, float32", method="full", dtype="float32"),
    Case("llama, lora, wide", sizes=WIDE),
    Case("llama, lora, no groups", sizes={"num_key_value_heads": 8}),
)
BATCH: Final = (1, 1024)


def config_of(case: Case) -> dict[str, Any]:
    """Its config.json."""
    return {"model_type": case.model_type, **SIZES, **FAMILY_SIZES.get(case.model_type, {}), **case.sizes}


def plan_of(case: Case, num_layers: int, *, checkpointing: bool) -> Plan:
    """As the estimate sees it."""
    shape = read_model_shape({**config_of(case), "num_hidden_layers": num_layers})
    names = [linear.name for linear in linears(shape)]
    wanted = [name for name in names if case.targets == "all-linear" or name in ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj")]
    is_full = case.method == "full"
    return Plan(
        shape, shape.num_parameters, case.method, case.dtype, case.attention, *BATCH, checkpointing, "adamw_torch_fused", accumulates=False,
        rank=case.rank, dropout=case.dropout, use_dora=case.use_dora, lean_dora=case.lean, targets=() if is_full else tuple(wanted),
        updates="float32" if case.mixed else "plain",
        adapts_experts=not is_full and case.targets == "all-linear" and shape.family.adapts_experts and not case.use_dora,
    )  # fmt: skip


def build(case: Case, num_layers: int, *, checkpointing: bool) -> PreTrainedModel:
    """The decoder on shapes, with its adapter."""
    ALL_ATTENTION_FUNCTIONS.register("counted", _flash)
    ALL_MASK_ATTENTION_FUNCTIONS.register("counted", lambda *args, **kwargs: None)
    values = config_of(case)
    config = AutoConfig.for_model(**cast("Any", {**values, "num_hidden_layers": num_layers}))
    setattr(config, "_attn_implementation", "eager" if case.attention == "eager" else "counted")  # noqa: B010 - how transformers names it
    config.use_cache = False
    dtype = torch.float32 if case.mixed else getattr(torch, case.dtype)
    with torch.device("meta"):
        model = AutoModel.from_config(config, dtype=dtype)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    if case.method != "full":
        model = _with_adapter(case, model)
        if checkpointing:
            model.enable_input_require_grads()
    return model


def _with_adapter(case: Case, model: Any) -> Any:
    config = LoraConfig(
        r=case.rank,
        lora_alpha=16,
        lora_dropout=case.dropout,
        use_dora=case.use_dora,
        target_modules="all-linear" if case.targets == "all-linear" else ["q_proj", "k_proj", "v_proj", "o_proj"],
    )
    with torch.device("meta"):
        model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            to = torch.bfloat16 if case.method == "qlora" and "magnitude" not in name else torch.float32
            parameter.data = parameter.data.to(to)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Dropout) and child.p > 0:
                setattr(module, name, CudaDropout())
            elif case.method == "qlora" and type(child) is LoraLinear:
                child.__class__ = _Linear4bit
    return model


def count(case: Case, num_layers: int, *, checkpointing: bool) -> Count:
    """What the forward pass leaves, and the most that the backward pass has beyond weights and adapter."""
    model = build(case, num_layers, checkpointing=checkpointing)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        if case.lean:
            make_lean(model)
        is_16_bit = case.dtype != "float32"
        context = torch.autocast("cpu", torch.bfloat16, cache_enabled=True) if is_16_bit else contextlib.nullcontext()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(_forget_gradient)
        live = Live()
        live.leave_out(model)
        ids = torch.zeros(BATCH, dtype=torch.long)
        with live:
            with context:
                loss = model(input_ids=ids, use_cache=False).last_hidden_state.sum()
            kept = live.now
            live.peak = live.now
            loss.backward()
        return Count(kept, live.peak)


def _forget_gradient(parameter: torch.Tensor) -> None:
    """Gradients that stay are a part of their own."""
    parameter.grad = None


def counted(case: Case) -> Iterator[tuple[str, float, float]]:
    """Per line: what it is, bytes counted, bytes predicted. Differences of two depths, so that what happens once falls out."""
    two, four = (count(case, depth, checkpointing=False) for depth in (2, 4))
    plan = plan_of(case, 4, checkpointing=False)
    yield "kept", (four.kept - two.kept) / 2, kept_bytes(plan)
    yield "tail", two.backward - two.kept, block_bytes(plan)
    again = count(case, 2, checkpointing=True)
    plan = plan_of(case, 2, checkpointing=True)
    hidden = plan.num_tokens * plan.shape.hidden_size * plan.weight_bytes
    yield "block", again.backward - hidden, block_bytes(plan)


def main(names: list[str], say: Callable[[str], object] = print) -> int:
    """Every case, or those whose name has one of the words."""
    worst = 0.0
    for case in CASES:
        if names and not any(name in case.name for name in names):
            continue
        for what, found, predicted in counted(case):
            tokens = BATCH[0] * BATCH[1]
            error = predicted / found - 1 if found else 0.0
            worst = max(worst, abs(error))
            say(f"{case.name:32} {what:8} {found / tokens:12,.0f} {predicted / tokens:12,.0f} {error:+8.1%}")
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
