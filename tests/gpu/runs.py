"""A 1B-shaped model, a run's child on the GPU, and a note of what was measured."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, Event
from desktop_ft.core.launcher import ENGINE_MODULE, engine_environment
from desktop_ft.core.resources import resource_path
from desktop_ft.core.runs import RunDir

LLAMA_1B = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
    "head_dim": 64, "vocab_size": 128256, "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
"""Llama-3.2-1B."""


@functools.cache
def make_llama() -> Path:
    """A 1B-shaped Llama with random bfloat16 weights and the demo's tokenizer, made once; skips the test where there is no GPU."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = Path(tempfile.mkdtemp(prefix="llama-1b-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(resource_path("demo", "model"))
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = LlamaConfig.from_dict({**LLAMA_1B, **special})
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    return folder


_spare: list[subprocess.Popen[str]] = []
"""An engine that imports while another one trains: half a minute less a test."""


def start_engine(run: RunDir) -> subprocess.Popen[str]:
    """The engine on a run's or a job's folder, from the one that waits; the next one begins to."""
    child = _spare.pop() if _spare else _waiting_engine()
    _spare.append(_waiting_engine())
    assert child.stdin is not None
    child.stdin.write(f"{run.path}\n")
    child.stdin.close()
    return child


def _waiting_engine() -> subprocess.Popen[str]:
    if not _spare:
        atexit.register(_end_spare)
    return subprocess.Popen([sys.executable, "-m", ENGINE_MODULE, "--wait"], stdin=subprocess.PIPE, text=True, env=engine_environment())


def _end_spare() -> None:
    while _spare:
        child = _spare.pop()
        assert child.stdin is not None
        child.stdin.close()
        child.wait()


def finish(run: RunDir) -> list[Event]:
    """Let the child work to its end; its log, without an error in it."""
    child = start_engine(run)
    child.wait(timeout=400)
    events = list(EventTail(run.events_file).read_all())
    errors = [event for event in events if isinstance(event, ErrorRaised)]
    assert not errors, errors[0].traceback or errors[0].message
    return events


def note(case: str, **values: object) -> None:
    """Say what was measured, and keep it where ``OUT`` names a folder."""
    import torch

    line = json.dumps({"case": case, "card": torch.cuda.get_device_name(), "torch": torch.__version__, **values})
    print(line)
    out = os.environ.get("OUT")
    if out:
        with (Path(out) / "gpu.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
