"""The killable child: answers, errors, a template without end, and a child that dies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from desktop_ft.core import worker_client
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.worker_client import run_task
from tests.core.data.tiny import make_model_dir

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}]}\n' * 3)
    return path


def test_inspect_and_view(data: Path, tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    payload: dict[str, object] = {"path": str(data), "model_dir": str(model), "max_length": 64, "rows": 2}
    report = run_task("inspect", payload, 30)
    assert (report["format"], report["num_rows"]) == ("prompt_completion", 3)
    view = run_task("view", payload, 30)
    rows = cast("list[dict[str, object]]", view["rows"])
    assert [row["num_supervised"] for row in rows] == [rows[0]["num_supervised"]] * 2
    assert view["exact"] is True


def test_tokens_that_the_run_adds_are_seen_as_the_run_sees_them(tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model")
    path = tmp_path / "calls.jsonl"
    path.write_text('{"prompt": "a <call> b", "completion": " c"}\n', encoding="utf-8")
    payload: dict[str, object] = {"path": str(path), "model_dir": str(model), "rows": 1}

    def tokens(**more: object) -> list[str]:
        (row,) = cast("list[dict[str, object]]", run_task("view", {**payload, **more}, 30)["rows"])
        return cast("list[str]", row["tokens"])

    assert "<call>" not in tokens()
    assert "<call>" in tokens(added_tokens=["<call>"])


def test_errors_come_back_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError, match="There is no file") as caught:
        run_task("inspect", {"path": str(tmp_path / "gone.jsonl")}, 30)
    assert (caught.value.code, caught.value.title) == ("data_file_missing", "The data file is not there")


def test_a_template_that_loops_forever_is_killed(data: Path, tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model", ENDLESS)
    started = time.monotonic()
    with pytest.raises(DesktopFtError) as caught:
        run_task("view", {"path": str(data), "model_dir": str(model)}, 1.5)
    assert caught.value.code == "worker_timeout"
    assert time.monotonic() - started < 10


def test_cancelling_kills_it_at_once(data: Path, tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model", ENDLESS)
    started = time.monotonic()
    with pytest.raises(DesktopFtError) as caught:
        run_task("view", {"path": str(data), "model_dir": str(model)}, 60, lambda: time.monotonic() - started > 0.3)
    assert caught.value.code == "worker_cancelled"
    assert time.monotonic() - started < 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
def test_a_template_that_eats_memory_is_an_error(data: Path, tmp_path: Path) -> None:
    model = make_model_dir(tmp_path / "model", "{{ 'x' * 99999999999 }}")
    with pytest.raises(DesktopFtError) as caught:
        run_task("view", {"path": str(data), "model_dir": str(model)}, 30)
    assert caught.value.code == "worker_out_of_memory"


def test_a_child_that_dies_is_named_with_its_last_words() -> None:
    with pytest.raises(DesktopFtError, match="KeyError: 'no such task'") as caught:
        run_task("no such task", {}, 30)
    assert caught.value.code == "worker_crashed"


def test_the_child_ignores_modules_in_the_current_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    assert run_task("inspect", {"path": str(data)}, 30)["num_rows"] == 3


def test_the_protocol_is_one_line_each_way(data: Path) -> None:
    request = json.dumps({"task": "inspect", "payload": {"path": str(data)}})
    child = subprocess.run(
        [sys.executable, "-m", "desktop_ft.core.worker"],
        input=request,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(worker_client.__file__).parents[2],
    )
    assert child.stdout.count("\n") == 1
    assert json.loads(child.stdout)["ok"]["format"] == "prompt_completion"


def test_core_data_needs_no_heavy_library() -> None:
    rooms = "check, conversion, dataset, fingerprint, formats, lengths, read, records, split, text_source, tokenise, turns"
    heavy = "torch transformers trl datasets pyarrow jinja2 tokenizers numpy PySide6"
    code = (
        f"import sys\nfrom desktop_ft.core.data import {rooms}\nfrom desktop_ft.core import worker, worker_client\n"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=Path(worker_client.__file__).parents[2]
    )
    assert child.stdout.strip() == "[]"


def test_preview_convert_and_index(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"q": "Hi", "answers": [{"text": "a", "score": 1}, {"text": "b", "score": 2.5}]}, {"q": None, "answers": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    payload = {"path": str(path), "format": "ranked", "columns": {"prompt": "q"}}
    preview = run_task("preview", payload, 60.0)
    assert preview["columns"] == {"prompt": "q", "answers": "answers"}
    assert preview["rows"] == [
        {"row": 0, "lines": [["prompt", "Hi"], ["score 2.5", "b"], ["score 1", "a"]], "problem": None},
        {"row": 1, "lines": [], "problem": "Row 2: answers should be a list of at least two answers."},
    ]
    out = tmp_path / "b.jsonl"
    done = run_task("convert", {**payload, "out": str(out), "to": "preference"}, 60.0)
    assert (done["num_written"], done["num_left_out"]) == (1, 1)
    assert json.loads(out.read_text(encoding="utf-8")) == {"prompt": "Hi", "chosen": "b", "rejected": "a"}
    assert run_task("index", {"path": str(path)}, 60.0) == {"num_rows": 2, "num_malformed": 0, "columns": ["q", "answers"]}
