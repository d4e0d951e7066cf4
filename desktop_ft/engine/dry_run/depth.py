"""Which shallow model stands for a whole one: its blocks repeat in the model's own pattern."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Depth:
    """A shallow model that a whole one can be made of.

    Attributes:
        whole: Blocks of the whole model.
        run: Blocks of the shallow one.
        period: The blocks that are repeated; empty where the shallow model is the whole.
    """

    whole: int
    run: int
    period: range

    @property
    def num_copies(self) -> int:
        """How often the period is added."""
        return (self.whole - self.run) // len(self.period) if self.period else 0

    def weight(self, layer: int | None) -> int:
        """How many blocks of the whole model one block of the shallow one stands for; 1 for what lies outside of them."""
        return 1 + self.num_copies if layer is not None and layer in self.period else 1


def depth_of(model: PreTrainedModel) -> Depth:
    """The shallowest model whose blocks, repeated, are those of this one."""
    return choose_depth([_signature(block) for block in blocks_of(model)])


def choose_depth(kinds: Sequence[Hashable]) -> Depth:
    """A depth with one period of the pattern between blocks that differ from it only in their neighbours, ending as the whole model does.

    Args:
        kinds: What each block is, from the lowest; equal ones take the same memory.
    """
    whole = len(kinds)
    prefix, period = _pattern(kinds) if kinds else (0, 0)
    start = max(2 if period == 1 else 1, prefix + (1 if period == 1 else 0))
    run = next((depth for depth in range(start + period + 1, whole) if (whole - depth) % period == 0), whole)
    return Depth(whole, run, range(start, start + period) if run < whole else range(0))


def _pattern(kinds: Sequence[Hashable]) -> tuple[int, int]:
    """Blocks before the repetition begins, and its period; the shortest together."""
    whole = len(kinds)
    for length in range(1, whole):
        for prefix in range(length):
            period = length - prefix
            if all(kinds[place] == kinds[place + period] for place in range(prefix, whole - period)):
                return prefix, period
    return 0, whole


def shortened(config: PretrainedConfig, num_layers: int) -> PretrainedConfig:
    """The configuration of a model with fewer blocks; lists that have an entry for each block are cut with it."""
    short = cast("Any", copy.deepcopy(config))
    text = short.get_text_config()
    whole = text.num_hidden_layers
    for name, value in list(vars(text).items()):
        if isinstance(value, list | tuple) and len(cast("Sequence[object]", value)) == whole:
            setattr(text, name, value[:num_layers])
    text.num_hidden_layers = num_layers
    return short


def blocks_of(model: PreTrainedModel) -> torch.nn.ModuleList:
    """The decoder's blocks."""
    lists = [module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    whole = cast("Any", model.config.get_text_config()).num_hidden_layers
    return next((module for module in lists if len(module) == whole), torch.nn.ModuleList())


def layers_of(model: PreTrainedModel) -> dict[torch.nn.Module, int]:
    """The number of the block that each module inside of one belongs to."""
    return {module: number for number, block in enumerate(blocks_of(model)) for module in block.modules()}


def _signature(block: torch.nn.Module) -> Hashable:
    """What decides a block's memory: its modules, its shapes, and whether it looks at a window only."""
    shapes = tuple((name, tuple(parameter.shape)) for name, parameter in block.named_parameters())
    kinds = tuple(type(module).__name__ for module in block.modules())
    window = tuple(str(vars(module).get(name)) for module in block.modules() for name in ("attention_type", "layer_type", "sliding_window"))
    return shapes, kinds, window
