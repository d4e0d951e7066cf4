"""Answers as events: the same seed gives the same answers, the adapter counts, a stop is obeyed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedModel

from desktop_ft.core.control import send_control
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, Event, RunFinished, SampleDone
from desktop_ft.core.job import GenerateRequest, create_job_in
from desktop_ft.engine.generate import generation_dtype
from desktop_ft.engine.jobs import run_job
from tests.helpers.tiny_models import TinySpec, lora_config, make_adapter, make_model

PROMPTS = ("What is the capital of France?", "And of Spain?")


def answers(folder: Path, model: Path, **options: object) -> list[str]:
    request = dataclasses.replace(GenerateRequest(str(model), PROMPTS, max_new_tokens=12), **options)
    job = create_job_in(folder, request)
    assert run_job(job.path) == 0
    samples = [event for event in EventTail(job.events_file).read_all() if isinstance(event, SampleDone)]
    assert [(event.index, event.prompt) for event in samples] == list(enumerate(PROMPTS))
    return [event.text for event in samples]


def test_greedy_answers_are_those_of_plain_transformers(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    model = cast("PreTrainedModel", LlamaForCausalLM.from_pretrained(str(folder), dtype=torch.float32))
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    expected: list[str] = []
    for prompt in PROMPTS:
        messages = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = cast("Callable[..., torch.Tensor]", model.generate)(**inputs, max_new_tokens=12, do_sample=False)
        expected.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    assert answers(tmp_path / "jobs", folder) == expected


def test_seed_decides_sampled_answers(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    first = answers(tmp_path / "jobs", folder, temperature=1.5, seed=1)
    assert answers(tmp_path / "jobs", folder, temperature=1.5, seed=1) == first
    assert answers(tmp_path / "jobs", folder, temperature=1.5, seed=2) != first


def test_adapter_changes_the_answers(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    adapter = make_adapter(folder, tmp_path / "adapter", lora_config(), scale=0.5)
    assert answers(tmp_path / "jobs", folder, adapter=adapter) != answers(tmp_path / "jobs", folder)


def test_stop_in_the_middle(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    job = create_job_in(tmp_path, GenerateRequest(str(folder), PROMPTS, max_new_tokens=12))
    send_control(job.path, "stop")
    assert run_job(job.path) == 0
    events = list(EventTail(job.events_file).read_all())
    assert not [event for event in events if isinstance(event, SampleDone)]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "stopped"


def test_missing_model_is_an_error_event(tmp_path: Path) -> None:
    job = create_job_in(tmp_path, GenerateRequest(str(tmp_path / "nowhere"), PROMPTS))
    assert run_job(job.path) == 1
    events: list[Event] = list(EventTail(job.events_file).read_all())
    assert [event.code for event in events if isinstance(event, ErrorRaised)] == ["model_missing"]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "failed"


@pytest.mark.parametrize(
    ("kind", "supports_bf16", "expected"), [("cpu", True, "float32"), ("cuda", True, "bfloat16"), ("cuda", False, "float16")]
)
def test_format_follows_the_device(tmp_path: Path, kind: str, supports_bf16: bool, expected: str) -> None:
    folder = make_model(tmp_path, TinySpec(dtype=torch.bfloat16))
    device = DeviceFacts("cpu" if kind == "cpu" else "cuda", "x", 1, 1, supports_bf16=supports_bf16)
    assert generation_dtype("auto", folder, device) == expected
    assert generation_dtype("float32", folder, device) == "float32"
