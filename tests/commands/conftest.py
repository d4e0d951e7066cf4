"""The command line in this process, with the scripted engine where one is started."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import pytest

from desktop_ft.cli import main
from desktop_ft.core.config import validate
from desktop_ft.core.launcher import ENGINE_VARIABLE
from desktop_ft.core.runs import RunDir, create_run
from desktop_ft.core.workspace import Workspace
from tests.fakes.fake_engine import SCRIPT_FILE, SCRIPT_VARIABLE


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one object, or the last line, of standard output."""
        return cast("dict[str, object]", json.loads(self.out.splitlines()[-1]))

    @property
    def error(self) -> dict[str, object]:
        """The error of a command with ``--json``."""
        return cast("dict[str, object]", self.json["error"])


class Run(Protocol):
    def __call__(self, *arguments: object) -> Result: ...


class MakeRun(Protocol):
    def __call__(self, name: str = "a run", **script: object) -> RunDir: ...


@pytest.fixture
def desktop_ft(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Result:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENGINE_VARIABLE, "tests.fakes.fake_engine")


@pytest.fixture
def script(fake_engine: None, monkeypatch: pytest.MonkeyPatch) -> Script:
    """What the scripted engine does in the folders that commands make themselves."""
    assert fake_engine is None

    def set_script(**values: object) -> None:
        monkeypatch.setenv(SCRIPT_VARIABLE, json.dumps(values))

    return set_script


class Script(Protocol):
    def __call__(self, **values: object) -> None: ...


@pytest.fixture
def make_run(desktop_ft_home: Path) -> MakeRun:
    def make(name: str = "a run", **script: object) -> RunDir:
        config = validate({"name": name, "model": {"source": "demo"}, "data": {"train": "demo"}})
        run = create_run(Workspace(desktop_ft_home).new_run_dir(name), config)
        (run.path / SCRIPT_FILE).write_text(json.dumps(script), encoding="utf-8")
        return run

    return make


@pytest.fixture
def run_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("name: mine\nmodel: {source: demo}\ndata: {train: demo, max_length: 128}\n", encoding="utf-8")
    return path


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def chat(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
