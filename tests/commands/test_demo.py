"""Parts of the demo; the whole of it is in tests/end2end/test_demo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.commands.demo import draw_curve
from desktop_ft.core.demo import demo_config, held_out_prompts
from tests.commands.conftest import MakeRun, Run


def test_the_demo_asks_every_held_out_prompt() -> None:
    config = demo_config()
    assert config.evaluation.sample_prompts == tuple(prompt.prompt for prompt in held_out_prompts())
    assert (config.model.source, config.data.train, config.method.kind) == ("demo", "demo", "lora")


def test_a_curve_that_cannot_be_drawn_is_said(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_curve(make_run(), tmp_path) is False
    assert "The curve could not be drawn" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_and_nothing_is_made(desktop_ft: Run, tmp_path: Path, desktop_ft_home: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    result = desktop_ft("demo", "--out", tmp_path, "--json")
    assert (result.status, result.error["code"]) == (2, "export_exists")
    assert list(desktop_ft_home.iterdir()) == []
