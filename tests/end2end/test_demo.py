"""The main job with the real engine: what `make run` does where there is no display."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core.demo import held_out_prompts
from desktop_ft.core.models import read_model
from tests.conftest import ROOT

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@pytest.mark.timeout(900)
def test_the_demo_learns_draws_and_exports(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "desktop_ft", "demo", "--out", str(out), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    result = cast("dict[str, object]", json.loads(done.stdout))
    assert (result["prompts"], len(held_out_prompts())) == (10, 10)
    assert cast("int", result["shown_before"]) <= 1
    assert cast("int", result["shown_after"]) >= 8
    assert Path(cast("str", result["curve"])).read_bytes().startswith(PNG_MAGIC)
    exported = cast("dict[str, object]", result["export"])
    assert exported["path"] == str(out / "merged")
    merged = read_model(out / "merged")
    assert merged.has_chat_template
    verification = cast("dict[str, object]", exported["verification"])
    assert cast("float", verification["mean_kl"]) <= 0.005
    assert verification["chat_template_equal"] is True
    assert verification["stop_token_ok"] is True
    assert sorted(path.name for path in out.iterdir()) == ["loss.png", "merged", "run"]
