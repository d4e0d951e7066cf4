"""Children get a quiet environment, their own session, and only requests that are meant for them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from desktop_ft.core.config import validate
from desktop_ft.core.control import read_controls, send_control
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.launcher import ENGINE_VARIABLE, engine_command, engine_environment, start_detached, start_engine
from desktop_ft.core.runs import RunDir, create_run

PRINT_ENVIRONMENT = "import json, os, sys; print(json.dumps(dict(os.environ))); sys.stderr.write('error text')"


def test_the_engine_is_a_module_with_the_folder_as_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_VARIABLE, raising=False)
    command = engine_command(Path("runs/one"))
    assert (command[0], command[-2], command[-1]) == (sys.executable, "desktop_ft.engine", str(Path("runs/one")))
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")
    assert "tests.fakes.fake_engine" in engine_command(Path("runs/one"))


def test_no_child_reports_its_use_or_asks_the_hub_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    quiet, allowed = engine_environment(), engine_environment(allow_hub=True)
    assert (quiet["HF_HUB_DISABLE_TELEMETRY"], quiet["DO_NOT_TRACK"], quiet["HF_HUB_OFFLINE"]) == ("1", "1", "1")
    assert allowed["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert "HF_HUB_OFFLINE" not in allowed


def test_a_hub_that_the_person_asked_for_is_reached_whatever_the_shell_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert engine_environment()["HF_HUB_OFFLINE"] == "1"
    assert engine_environment(allow_hub=True)["HF_HUB_OFFLINE"] == "0"


def test_output_of_the_child_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("earlier\n", encoding="utf-8")
    child = start_detached([sys.executable, "-c", PRINT_ENVIRONMENT], log, {**os.environ, "MARK": "here"})
    assert child.wait(20) == 0
    first, second, rest = log.read_text(encoding="utf-8").split("\n", 2)
    lines = {first, second, rest}
    assert "earlier" in lines
    assert any("error text" in line for line in lines)
    assert any(line.startswith("{") and json.loads(line.partition("error text")[0])["MARK"] == "here" for line in lines)


@pytest.mark.skipif(os.name != "posix", reason="process sessions")
def test_a_child_has_its_own_session(tmp_path: Path) -> None:
    child = start_detached([sys.executable, "-c", "import os; print(os.getsid(0), os.getpid())"], tmp_path / "log", os.environ)
    assert child.wait(20) == 0
    session, pid = (tmp_path / "log").read_text(encoding="utf-8").split()
    assert session == pid
    assert int(session) != os.getsid(0)


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        start_engine(RunDir(tmp_path / "nowhere"))
    assert caught.value.code == "file_not_writable"


def test_requests_to_an_engine_that_is_gone_are_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")
    run = create_run(tmp_path / "run", validate({"model": {"source": "demo"}, "data": {"train": "demo"}}))
    (run.path / "fake.json").write_text('{"num_steps": 1}', encoding="utf-8")
    send_control(run.path, "stop")
    child = start_engine(run, extra_environment={"EXTRA": "1"})
    assert child.wait(20) == 0
    assert read_controls(run.path, 0) == []
