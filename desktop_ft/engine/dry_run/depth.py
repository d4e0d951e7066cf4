"""Which depths stand for a whole model: two small ones whose blocks repeat in the model's own pattern."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from transformers import PretrainedConfig, PreTrainedModel

MOST_WHOLE: Final = 4
"""Up to so many blocks the model is taken as it is."""


@dataclass(frozen=True)
class Depths:
    """What is run, and what it stands for.

    Attributes:
        whole: Blocks of the model.
        run: Blocks of the models that are run: one, or a shallow and a deeper one.
    """

    whole: int
    run: tuple[int, ...]

    def extended(self, values: Sequence[int]) -> int:
        """What a quantity that grows by the block comes to in the whole model.

        Args:
            values: Of each depth that was run.
        """
        if len(self.run) == 1:
            return values[0]
        (low, high), (first, second) = self.run, values
        return round(first + (second - first) * (self.whole - low) / (high - low))


def depths_of(model: PreTrainedModel) -> Depths:
    """Two depths for a model whose blocks repeat; the whole where they do not, or where there are few."""
    return choose_depths([_signature(block) for block in blocks_of(model)])


def choose_depths(kinds: Sequence[Hashable]) -> Depths:
    """Two depths that differ by whole periods of the pattern and end in it where the whole model does.

    Args:
        kinds: What each block is, from the lowest; equal ones take the same memory.
    """
    whole = len(kinds)
    if whole <= MOST_WHOLE:
        return Depths(whole, (whole,))
    prefix, period = _pattern(kinds)
    step = period if period > 1 else 2
    least = max(2, prefix + 1)
    low = next(depth for depth in range(least, least + step) if (whole - depth) % period == 0 and depth >= least)
    high = low + step
    if high >= whole:
        return Depths(whole, (whole,))
    return Depths(whole, (low, high))


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
