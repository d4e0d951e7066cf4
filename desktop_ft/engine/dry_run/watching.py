"""Sees every operator of a dry run: notes new tensors, and answers what depends on content that is not there.

The answers take the path of a usual step: a mask selects everything, a number is 1, nothing is NaN.
"""

# pyright: reportPrivateUsage=false
# What torch and transformers do inside is replaced or asked here, and has no public name.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from desktop_ft.engine.dry_run.tape import Tape

_ATEN: Final = torch.ops.aten
Answer = Callable[..., Any]
_OWN_HOLDERS: Final = 2


class Watching(TorchDispatchMode):
    """The mode; enter it inside of `FakeTensorMode`.

    Args:
        tape: Where tensors are noted.
        scratch: Working space of kernels on the device, by operator: bytes from the operator's arguments.
    """

    def __init__(self, tape: Tape, scratch: Mapping[Any, Callable[..., Sequence[int]]] | None = None) -> None:
        super().__init__()
        self._tape = tape
        self._scratch = dict(scratch or {})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's signature
        """Answer, or let the shapes be worked out, and note what is new."""
        kwargs = kwargs or {}
        if func is _ATEN.add.Tensor and _adds_in_place(*args[:2]):
            return args[0]
        answer = _ANSWERS.get(func)
        if answer is not None:
            found = answer(*args, **kwargs)
            if found is not NotImplemented:
                self._note(found)
                return found
        space = self._scratch.get(func)
        blocks = [] if space is None else [self._tape.hold(size) for size in space(*args, **kwargs)]
        out = func(*args, **kwargs)
        self._note(out)
        for block in blocks:
            self._tape.let_go(block)
        return out

    def _note(self, out: object) -> None:
        if isinstance(out, FakeTensor):
            self._tape.take(out)
        elif isinstance(out, tuple | list):
            for tensor in tree_iter(out):
                if isinstance(tensor, FakeTensor):
                    self._tape.take(tensor)


def _adds_in_place(one: object, other: object) -> bool:
    """Whether autograd adds two gradients of one tensor without a third: where nothing else holds the first.

    It never does so for tensor subclasses, of which a tensor without content is one. Source: torch 2.13,
    torch/csrc/autograd/input_buffer.cpp, `can_accumulate_inplace`; here the storage is held by the tensor and by Python.
    """
    if torch._C._current_graph_task_id() == -1 or torch.is_grad_enabled():
        return False
    if not isinstance(one, FakeTensor) or not isinstance(other, FakeTensor) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch._C._storage_Use_Count(one.untyped_storage()._cdata) <= _OWN_HOLDERS


def _number(tensor: torch.Tensor) -> bool | int | float:
    if tensor.dtype == torch.bool:
        return False
    return 1.0 if tensor.dtype.is_floating_point else 1


def _chosen(tensor: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:  # noqa: ANN401 - a tensor, or NotImplemented
    """``tensor[mask]``: everything is chosen."""
    mask = indices[0] if indices else None
    if len(indices) != 1 or mask is None or mask.dtype not in (torch.bool, torch.uint8):
        return NotImplemented
    return tensor.new_empty((mask.numel(), *tensor.shape[mask.ndim :]))


def _all_places(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty((tensor.numel(), tensor.ndim), dtype=torch.long, device=tensor.device)


def _not_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape


def _unique(tensor: torch.Tensor, *args: object, **kwargs: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    counts = torch.empty(tensor.shape, dtype=torch.long, device=tensor.device)
    return torch.empty_like(tensor), counts, torch.empty_like(counts)


def _device(tensor: torch.Tensor) -> torch.device:
    """Asked more often than everything else together; torch's own road to the answer is long."""
    return tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device


_ANSWERS: Final[Mapping[Any, Answer]] = {
    torch.ops.prim.device.default: _device,
    _ATEN._local_scalar_dense.default: _number,
    _ATEN.index.Tensor: _chosen,
    _ATEN.nonzero.default: _all_places,
    _ATEN.equal.default: _not_equal,
    _ATEN._unique2.default: _unique,
    _ATEN.masked_select.default: lambda tensor, mask: tensor.new_empty((mask.numel(),)),
}
