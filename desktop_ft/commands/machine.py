"""The device that commands mean, and what a child of theirs sees of it."""

from __future__ import annotations

import os

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.gpu import GpuReader, environment_for, training_device
from desktop_ft.core.settings import load_preferences
from desktop_ft.core.workspace import default_workspace


def this_device() -> DeviceFacts:
    """What a run would train on: the card that was chosen in Settings, else the one with the most free memory, else the CPU."""
    return training_device(GpuReader().read(), load_preferences(default_workspace().settings_file).gpu)


def child_environment(device: DeviceFacts) -> dict[str, str]:
    """Variables that let the engine see this card alone; a choice that the person made in the environment stays."""
    return {} if device.kind != "cuda" or "CUDA_VISIBLE_DEVICES" in os.environ else environment_for(device)
