"""Requests survive their file; a file that is none is refused with a sentence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.job import (
    JOB_VERSION,
    ExportRequest,
    GenerateRequest,
    JobDir,
    JobRequest,
    ScoreRequest,
    create_job,
    create_job_in,
    is_job,
    list_jobs,
    read_job,
)
from desktop_ft.core.runs import RunDir, live_engine

EXPORT = ExportRequest(Path("/runs/a"), "merged", Path("/models/ä b"), overwrite=True, checkpoint=100, dtype="float16")
GENERATE = GenerateRequest(
    "demo", ("Hi?", 'Ünd\n"two"'), adapter=Path("/runs/a/adapter"), system="Be kind.", temperature=0.7, top_p=0.9, seed=3
)


@pytest.mark.parametrize(
    "request_",
    [
        EXPORT,
        ExportRequest(Path("a"), "adapter", Path("b")),
        GENERATE,
        GenerateRequest("m", ("x",)),
        ScoreRequest(Path("/runs/r"), "Hi?", ("yes", "no"), dtype="float16"),
    ],
)
def test_request_survives_its_file(tmp_path: Path, request_: JobRequest) -> None:
    job = create_job_in(tmp_path, request_)
    assert read_job(job.path) == request_
    assert is_job(job.path)
    assert live_engine(job) is None


def test_jobs_are_numbered_by_kind(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    first, second, other = create_job(run, EXPORT), create_job(run, EXPORT), create_job(run, GENERATE)
    assert [job.path.relative_to(tmp_path).as_posix() for job in (first, second, other)] == [
        "jobs/export-0001", "jobs/export-0002", "jobs/generate-0001",
    ]  # fmt: skip
    assert list_jobs(run, "export") == [first, second]
    assert (first.control.name, first.console_file.name, first.events_file.name) == ("control", "console.log", "events.jsonl")


def test_integer_is_a_number_where_one_is_wanted(tmp_path: Path) -> None:
    job = create_job_in(tmp_path, GENERATE)
    value = json.loads(job.job_file.read_text(encoding="utf-8"))
    value["request"]["temperature"] = 1
    job.job_file.write_text(json.dumps(value), encoding="utf-8")
    assert read_job(job.path) == dataclasses.replace(GENERATE, temperature=1.0)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "job_unreadable"),
        ("[]", "job_unreadable"),
        ('{"v": 1, "kind": "dance", "request": {}}', "job_unreadable"),
        ('{"v": 1, "kind": "export", "request": {}}', "job_unreadable"),
        ('{"v": 1, "kind": "export", "request": {"run_dir": "a", "to": "merged", "out": "b", "loud": true}}', "job_unreadable"),
        ('{"v": 1, "kind": "export", "request": {"run_dir": 5, "to": "merged", "out": "b"}}', "job_unreadable"),
        ('{"v": 1, "kind": "export", "request": {"run_dir": "a", "to": "merged", "out": "b", "overwrite": 1}}', "job_unreadable"),
        ('{"v": 1, "kind": "export", "request": {"run_dir": "a", "to": "gguf", "out": "b"}}', "request_invalid"),
        ('{"v": 1, "kind": "export", "request": {"run_dir": "a", "to": "merged", "out": "b", "dtype": "int4"}}', "request_invalid"),
        ('{"v": 1, "kind": "generate", "request": {"model": "m", "prompts": [5]}}', "job_unreadable"),
        ('{"v": 1, "kind": "score", "request": {"source": "r", "prompt": "x", "answers": []}}', "request_invalid"),
        (f'{{"v": {JOB_VERSION + 1}, "kind": "export", "request": {{}}}}', "job_too_new"),
    ],
)
def test_file_that_is_no_request(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "job.json").write_text(content, encoding="utf-8")
    with pytest.raises(DesktopFtError) as raised:
        read_job(tmp_path)
    assert raised.value.code == code


def test_missing_job(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as raised:
        read_job(tmp_path)
    assert raised.value.code == "job_missing"


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (GenerateRequest("m", ()), "no prompt"),
        (GenerateRequest("m", ("a",), max_new_tokens=0), "max_new_tokens is 0"),
        (GenerateRequest("m", ("a",), temperature=-0.5), "temperature is -0.5"),
        (GenerateRequest("m", ("a",), top_p=0.0), "top_p is 0"),
    ],
)
def test_senseless_request_makes_no_folder(tmp_path: Path, request_: JobRequest, word: str) -> None:
    with pytest.raises(DesktopFtError) as raised:
        create_job_in(tmp_path / "jobs", request_)
    assert raised.value.code == "request_invalid"
    assert word in raised.value.message.lower()
    assert not (tmp_path / "jobs").exists()


def test_saved_request_of_version_1_is_read() -> None:
    folder = Path(__file__).parents[1] / "data" / "jobs" / "export-v1"
    assert read_job(folder) == ExportRequest(Path("/data/runs/a"), "merged", Path("/data/models/a"), checkpoint=40, dtype="bfloat16")
    assert JobDir(folder).job_file.name == "job.json"
