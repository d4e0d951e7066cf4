"""The parts and moments of the memory bill in words."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication


def _tr(text: str) -> str:
    return QCoreApplication.translate("memory_panel", text)


def part_name(key: str) -> str:
    """A part of the bill in words."""
    words = {
        "cuda_context": _tr("CUDA context"),
        "weights": _tr("Weights"),
        "adapter": _tr("Adapter"),
        "gradients": _tr("Gradients"),
        "optimizer": _tr("Optimizer"),
        "activations": _tr("Activations"),
        "logits": _tr("Logits"),
        "buffers": _tr("Program and buffers"),
        "auxiliary_models": _tr("Other models"),
    }
    return words[key]


def part_explanation(key: str) -> str:
    """A part of the bill explained in a sentence; empty where it explains itself."""
    words = {
        "other_programs": _tr("What other programs hold on this device now; close them and it is free."),
        "cuda_context": _tr("What the driver and its libraries take for every process that uses the card, whatever it does."),
        "weights": _tr("The model itself: every weight in its number format, 4 bit with QLoRA."),
        "adapter": _tr("The small matrices that LoRA trains beside the model; they grow with the rank."),
        "gradients": _tr("For every weight that is trained the direction in which it should change."),
        "optimizer": _tr("What the optimizer remembers of earlier gradients: two numbers for every trained weight, smaller in 8 bit."),
        "activations": _tr(
            "Results between the layers, for the backward pass; they grow with micro-batch and length. Checkpointing makes them anew."
        ),
        "logits": _tr("The last step to the vocabulary and the loss, at the moment that needs most."),
        "buffers": _tr("Work space of the libraries, and what the allocator keeps between its blocks."),
        "auxiliary_models": _tr("Models that only look on: reference, reward model, or the value function with its states."),
    }
    return words.get(key, "")


def phase_name(phase: str) -> str:
    """The moment of a run that needs most, in words."""
    words = {
        "load": _tr("loading the model"),
        "head": _tr("the loss"),
        "block": _tr("the backward pass"),
        "first block": _tr("the backward pass"),
        "last block": _tr("the backward pass"),
        "embedding": _tr("the backward pass"),
        "optimizer": _tr("the optimizer step"),
        "reference": _tr("the reference's pass"),
        "evaluation": _tr("the evaluation"),
        "sampling": _tr("sampling the answers"),
        "save": _tr("saving"),
    }
    stages = {"reward model": _tr("{0} of the reward model"), "policy": _tr("{0} of the policy")}
    stage, _, rest = phase.rpartition(", ")
    return stages[stage].format(words[rest]) if stage else words[rest]
