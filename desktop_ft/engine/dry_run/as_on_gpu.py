"""Where a graphics card takes another path than the CPU that the shapes live on, that path is put in its place.

Number formats under autocast, attention kernels, TRL's fused head, 4-bit products, optimizers in one kernel. What is put in place
allocates what the kernel allocates, read in the code named; it computes nothing. Everything is undone when the context ends.
"""

# pyright: reportPrivateUsage=false
# What torch and transformers do inside is replaced or asked here, and has no public name.

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor

from desktop_ft.engine.dry_run.attention import fused_attention

if TYPE_CHECKING:
    from desktop_ft.engine.dry_run.tape import Tape

HEAD_TILE: Final = 32768
"""Columns of a tile of TRL's head."""
_CUSTOM_KERNEL_TOKENS: Final = 512
"""Up to about so many tokens bitsandbytes multiplies without unpacking the whole matrix (its `_gemm_4bit_use_custom_cuda` on Hopper)."""
_PAGED_NUMBERS: Final = 100_000
"""bitsandbytes pages states from this size on (`Optimizer8bit.get_state_buffer`)."""


@dataclass(frozen=True)
class Card:
    """What of the device decides which path is taken.

    Attributes:
        has_triton: Whether TRL's head and Kahan's optimizer run as Triton kernels.
        has_flash_attention: Whether fused attention takes grouped heads in this format.
        is_accelerator: False for a CPU: then every path is the CPU's own.
    """

    has_triton: bool
    has_flash_attention: bool
    is_accelerator: bool


@contextlib.contextmanager
def as_on_gpu(tape: Tape, card: Card, *, is_padded: bool) -> Generator[None]:
    """Replace what differs, as long as the context lives.

    Args:
        tape: Where working space is noted.
        card: What the run would train on.
        is_padded: Whether the rows of a batch differ in length, so that attention has a mask.
    """
    with contextlib.ExitStack() as stack:
        for target, name, value in [*_always(tape, is_padded=is_padded), *(_on_accelerator(tape, card) if card.is_accelerator else ())]:
            stack.enter_context(replaced(target, name, value))
        yield


Replacement = tuple[Any, str, object]
_ABSENT: Final = object()


@contextlib.contextmanager
def replaced(target: Any, name: str, value: object) -> Generator[None]:  # noqa: ANN401 - a module or a class
    """Another value of an attribute, as long as the context lives."""
    own = cast("Mapping[str, object]", vars(target)).get(name, _ABSENT)
    setattr(target, name, value)
    try:
        yield
    finally:
        if own is _ABSENT:
            delattr(target, name)
        else:
            setattr(target, name, own)


def _always(tape: Tape, *, is_padded: bool) -> Iterator[Replacement]:
    """What shapes without content cannot do."""
    from transformers import masking_utils

    skips_mask = cast("Callable[..., bool]", masking_utils._ignore_causal_mask_sdpa)

    def skips(padding_mask: torch.Tensor | None, *args: object, **kwargs: object) -> bool:
        return not (is_padded and padding_mask is not None) and skips_mask(None, *args, **kwargs)

    to_numpy = torch.Tensor.numpy

    def made_numpy(tensor: torch.Tensor, *args: object, **kwargs: object) -> object:
        return _made_array(tensor.shape) if isinstance(tensor, FakeTensor) else to_numpy(tensor)

    yield torch.Tensor, "numpy", made_numpy
    yield from _unpacking()
    yield masking_utils, "_ignore_causal_mask_sdpa", skips
    yield torch.nn.Module, "_apply", _apply
    yield FakeTensor, "tolist", lambda tensor: _made_list(tensor.shape)


def _on_accelerator(tape: Tape, card: Card) -> Iterator[Replacement]:
    import trl.kernels.chunked_logprob as head
    import trl.trainer.utils as trl_utils

    attention = fused_attention(has_flash=card.has_flash_attention)
    yield torch.nn.functional, "scaled_dot_product_attention", attention
    if card.has_triton:
        yield trl_utils, "_use_triton", lambda device: True
        yield head, "_forward_tile", _nothing
        yield head, "_backward_tile", _nothing
        yield from _kahan_in_one_kernel()
    yield head, "_addmm_fp32", _nothing
    yield from _autocast_promotions()
    yield from _paged_states(tape)


def _nothing(*args: object, **kwargs: object) -> None:
    """A kernel that works in place."""


def _kahan_in_one_kernel() -> Iterator[Replacement]:
    """On a graphics card optimi's AdamW is one Triton kernel a weight."""
    try:
        adam = importlib.import_module("optimi.adam")  # the package's own `adam` is a function
    except ImportError:
        return
    yield adam, "_single_adam", _nothing


def _unpacking() -> Iterator[Replacement]:
    """PEFT unpacks a 4-bit matrix for DoRA where its class says that it is one, which a parameter without content cannot."""
    try:
        from bitsandbytes import functional
    except ImportError:
        return
    from peft.tuners.lora import dora, layer, variants
    from peft.utils import integrations

    unpack = integrations.dequantize_module_weight

    def unpacked(module: torch.nn.Module) -> Any:  # noqa: ANN401 - as PEFT
        packed = getattr(module.weight, "quant_state", None)
        return unpack(module) if packed is None else functional.dequantize_4bit(cast("torch.Tensor", module.weight).data, packed)

    for room in (dora, layer, variants, integrations):
        yield room, "dequantize_module_weight", unpacked


def _paged_states(tape: Tape) -> Iterator[Replacement]:
    """Paged states lie in memory that the driver moves (cudaMallocManaged), past torch's allocator."""
    try:
        from bitsandbytes.optim.optimizer import Optimizer8bit
    except ImportError:
        return

    def buffer(self: Any, p: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:  # noqa: ANN401 - bitsandbytes' class
        with tape.take_outside() if self.is_paged and p.numel() >= _PAGED_NUMBERS else contextlib.nullcontext():
            return torch.zeros_like(p, dtype=dtype)

    yield Optimizer8bit, "get_state_buffer", buffer


def kernel_scratch() -> Mapping[Any, Callable[..., Sequence[int]]]:
    """Working space of operators on the device: a 4-bit product unpacks its matrix, and the scales of its scales.

    Source: bitsandbytes 0.50, backends/cuda/ops.py, `_dequant_linear_fallback` and `_dequantize_4bit_impl`.
    """
    try:
        import bitsandbytes

        assert bitsandbytes
        product = torch.ops.bitsandbytes.gemm_4bit.default
    except (ImportError, AttributeError):
        return {}

    def unpacked(
        rows: torch.Tensor, packed: torch.Tensor, shape: Sequence[int], absmax: torch.Tensor, *rest: object, **named: object
    ) -> list[int]:
        if rows.numel() // rows.shape[-1] <= _CUSTOM_KERNEL_TOKENS:
            return []
        weight = math.prod(shape) * rows.element_size()
        scales = named.get("absmax_8bit")
        return [weight] if not isinstance(scales, torch.Tensor) else [4 * scales.numel(), 4 * scales.numel(), weight]

    return {product: unpacked}


# --- modules ----------------------------------------------------------------------------------------------------------


def _apply(self: torch.nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> torch.nn.Module:
    """`torch.nn.Module._apply`, which cannot swap parameters without content."""
    if recurse:
        for module in self.children():
            module._apply(fn)
    with torch.no_grad():
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter.data = fn(parameter.data)
                if parameter.grad is not None:
                    parameter.grad = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
    return self


def _made_list(shape: Sequence[int]) -> Any:  # noqa: ANN401 - as deep as the shape
    return _made_array(shape).tolist() if shape else 1


def _made_array(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """Ones; a list counts from 0, so that an order of rows that was drawn is an order of rows."""
    return np.arange(shape[0]) if len(shape) == 1 else np.ones(tuple(shape), dtype=np.int64)


# --- autocast ---------------------------------------------------------------------------------------------------------

_FLOAT32_NAMES: Final = (
    "exp",
    "log",
    "log2",
    "log1p",
    "pow",
    "__pow__",
    "rsqrt",
    "reciprocal",
    "softmax",
    "log_softmax",
    "logsumexp",
    "cumsum",
    "norm",
)
"""Of the operators that autocast computes in float32 on CUDA and not on a CPU, those that models and losses use.

Source: torch 2.13, aten/src/ATen/autocast_mode.h (AT_FORALL_FP32, AT_FORALL_FP32_SET_OPT_DTYPE).
"""


_FLOAT32_LOSSES: Final = ("softmax", "log_softmax", "softplus", "layer_norm", "cross_entropy")
_HALF: Final = (torch.bfloat16, torch.float16)


def _autocast_promotions() -> Iterator[Replacement]:
    """Under autocast these functions compute in float32, as on CUDA."""
    is_enabled = torch.is_autocast_enabled
    yield torch, "is_autocast_enabled", lambda device_type="cpu": is_enabled(device_type)  # asked without a device it is CUDA that is meant
    for place, names in ((torch, _FLOAT32_NAMES), (torch.Tensor, _FLOAT32_NAMES), (torch.nn.functional, _FLOAT32_LOSSES)):
        for name in names:
            function = getattr(place, name, None)
            if function is not None:
                yield place, name, _promoted(cast("Callable[..., Any]", function))


def _promoted(function: Callable[..., Any]) -> Callable[..., Any]:
    def promoted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever torch takes
        if torch.is_autocast_enabled("cpu"):
            args = tuple(arg.float() if isinstance(arg, torch.Tensor) and arg.dtype in _HALF else arg for arg in args)
        return function(*args, **kwargs)

    return promoted
