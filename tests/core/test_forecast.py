"""Disk and time before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from desktop_ft.core.config import validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.forecast import SMALL_FILES_BYTES, check_disk, forecast_disk, forecast_seconds, time_left
from desktop_ft.core.memory import changed_config, choose
from tests.core.shapes import LLAMA_1B

H100: Final = DeviceFacts("cuda", "NVIDIA H100", 80 << 30, 79 << 30, supports_bf16=True)
CONFIG: Final = validate({"model": {"source": "x"}, "data": {"train": "x"}, "method": {"use_dora": False}})
ADAPTER: Final = 16 * 16 * (2 * (2048 + 2048) + 2 * (2048 + 512) + 3 * (2048 + 8192))
"""Weights of a rank-16 adapter on all linear layers of the 1B shape."""


def test_an_adapter_and_its_checkpoints_are_small_and_the_merged_model_is_not() -> None:
    disk = forecast_disk(CONFIG, LLAMA_1B, H100, choose(CONFIG, LLAMA_1B, H100))
    assert disk.result_bytes == 4 * ADAPTER + SMALL_FILES_BYTES
    assert disk.checkpoint_bytes == 12 * ADAPTER + SMALL_FILES_BYTES
    assert disk.checkpoints_bytes == 4 * disk.checkpoint_bytes  # two, the best one, and the one being written
    assert disk.merged_bytes == 2 * 1_235_814_400 + SMALL_FILES_BYTES
    assert disk.run_bytes == disk.checkpoints_bytes + disk.result_bytes


def test_a_full_checkpoint_has_weights_and_states() -> None:
    config = changed_config(CONFIG, {"method.kind": "full"})
    disk = forecast_disk(config, LLAMA_1B, H100, choose(config, LLAMA_1B, H100))
    assert disk.checkpoint_bytes == (2 + 6) * 1_235_814_400 + SMALL_FILES_BYTES


def test_room_on_the_disk_is_checked_where_the_folder_will_be(tmp_path: Path) -> None:
    check_disk(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(DesktopFtError) as caught:
        check_disk(tmp_path / "not" / "there" / "yet", 1 << 60)
    assert caught.value.code == "disk_too_small"
    assert str(tmp_path) in caught.value.message


def test_time() -> None:
    assert forecast_seconds(100, 0.5, 10, 2.0) == 70.0
    assert time_left(100, [0.5, 0.5], 2) is None
    assert time_left(100, [0.5, 9.0, 0.5], 40) == 30.0
    assert time_left(100, [0.5] * 5, 40, 2.0, 3) == 36.0
