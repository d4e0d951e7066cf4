"""One room for each objective: which of TRL's trainers teaches it, from which rows, with which arguments."""

from __future__ import annotations

from desktop_ft.engine.objectives.parts import Parts, Training


def make_training(parts: Parts) -> Training:
    """The trainer of the run's objective."""
    match parts.config.objective.kind:
        case "sft" | "pretrain":
            from desktop_ft.engine.objectives import sft

            return sft.make(parts)
        case "grpo":
            from desktop_ft.engine.objectives import grpo

            return grpo.make(parts)
        case "rloo":
            from desktop_ft.engine.objectives import rloo

            return rloo.make(parts)
        case kind:
            raise AssertionError(kind)
