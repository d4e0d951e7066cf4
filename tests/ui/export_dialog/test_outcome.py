"""What is said of an export; no widget is made."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from desktop_ft.ui.export_dialog.outcome import Check, checks_of, remarks_of, report_of, try_command, verdict_of
from desktop_ft.ui.export_dialog.plan import Choice, free_target, make_plans, request_for
from tests.ui.export_dialog.stories import ADAPTER, MERGED, MIB, OUTCOMES, config_on, run_with_adapter

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.mark.parametrize(
    ("name", "tone", "title"),
    [
        ("works", "good", "All exports work; there is one remark"),
        ("differs", "warn", "The export differs from the trained model"),
        ("failed", "bad", "The disk is full"),
    ],
)
def test_the_verdict(name: str, tone: str, title: str) -> None:
    assert verdict_of(OUTCOMES[name])[:2] == (tone, title)


def test_one_adapter_is_a_copy() -> None:
    assert verdict_of([ADAPTER]) == ("good", "The export works", "It is a copy of the trained files, with tokenizer and chat template.")


def test_the_checks_carry_their_numbers_and_tones() -> None:
    checks = checks_of(MERGED)
    assert checks["Chat template"] == Check("identical", "good")
    assert checks["Same next token"] == Check("100.0 %", "good")
    assert checks["KL divergence, mean"] == Check("0.0003 nats", "good")
    assert checks["Size"] == Check("15.3 GiB")
    differs = checks_of(OUTCOMES["differs"][0])
    assert differs["Chat template"] == Check("differs", "warn")
    assert differs["Same next token"] == Check("87.1 %", "warn")
    assert list(checks_of(ADAPTER)) == list(checks)


def test_a_reward_model_is_judged_by_its_scores() -> None:
    adapter, merged = OUTCOMES["scores"]
    checks = checks_of(merged)
    assert checks["Score, largest difference"] == Check("0.0031", "good")
    assert not [name for name in checks if "KL" in name or "token" in name]
    assert list(checks_of(adapter)) == list(checks)
    assert checks_of(adapter)["Score, largest difference"] == Check("–")
    assert "- Score, largest difference: 0.0031" in report_of([adapter, merged], config_on(Path("/models/base")))


def test_a_reward_model_is_tried_by_scoring(tmp_path: Path) -> None:
    adapter, merged = OUTCOMES["scores"]
    config = config_on(tmp_path)
    assert shlex.split(try_command(merged, config))[:4] == ["desktop-ft", "score", str(merged.out), "--prompt"]
    assert try_command(adapter, config) == "", "its base is a folder, which the adapter does not name"
    hub = config_on(Path("org/base"))
    assert shlex.split(try_command(adapter, hub))[:3] == ["desktop-ft", "score", str(adapter.out)]


def test_the_command_and_the_report_name_the_folder() -> None:
    config = config_on(Path("/models/base"))
    assert shlex.split(try_command(ADAPTER, config))[:5] == [
        "desktop-ft",
        "generate",
        str(Path("/models/base")),
        "--adapter",
        str(ADAPTER.out),
    ]
    assert shlex.split(try_command(MERGED, config))[:3] == ["desktop-ft", "generate", str(MERGED.out)]
    report = report_of(OUTCOMES["works"], config)
    assert report.startswith("# support-tone-r32\n")
    assert "- KL divergence, mean: 0.0003 nats" in report
    assert remarks_of(OUTCOMES["works"])[0] in report


def test_sizes_and_targets(tmp_path: Path) -> None:
    run = run_with_adapter(tmp_path / "run")
    plans = make_plans(run, run.config(), Choice(run.exports))
    assert (plans.num_bytes("adapter"), plans.num_bytes("merged")) == (int(1.02 * MIB + 1) + 64 * MIB, int(4 * 1.02 * MIB + 1) + 64 * MIB)
    (run.exports / "merged").mkdir(parents=True)
    assert free_target(run.exports, "merged") == run.exports / "merged-2"
    assert request_for(run, "adapter", Choice(run.exports)).out == run.exports / "adapter"
    missing = make_plans(run, run.config(), Choice(run.exports, checkpoint=7)).error("merged")
    assert missing is not None
    assert missing.code == "checkpoint_missing"
