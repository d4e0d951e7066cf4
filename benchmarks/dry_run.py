"""How long the exact estimate takes, from the start of its process to its answer: ``python benchmarks/dry_run.py [RUNS]``.

An 8B shape (config.json alone) with LoRA, DoRA, QLoRA and full fine-tuning; 10 s are the limit on two cores.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from desktop_ft.core.config import validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import DryRunDone
from desktop_ft.core.launcher import start_engine
from desktop_ft.core.memory.dry_run import create_dry_run

LLAMA_8B: Final = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False, "bos_token_id": None,
    "eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 131072,
}  # fmt: skip
CASES: Final = {
    "lora": {"kind": "lora", "use_dora": False},
    "dora": {"kind": "lora", "use_dora": True},
    "qlora": {"kind": "qlora", "use_dora": False},
    "full": {"kind": "full"},
}
LIMIT_SECONDS: Final = 10.0


def seconds_of(folder: Path, model: Path, method: dict[str, object]) -> tuple[float, DryRunDone]:
    """One estimate in a child of its own."""
    card = DeviceFacts("cuda", "NVIDIA H100 80GB HBM3", 80 << 30, 79 << 30, supports_bf16=True)
    config = validate(
        {
            "model": {"source": str(model)},
            "data": {"train": "x", "max_length": 2048},
            "method": method,
            "training": {"micro_batch_size": 2, "activation_checkpointing": True},
        }
    )
    job = create_dry_run(folder, config, card)
    started = time.perf_counter()
    child = start_engine(job, extra_environment={"CUDA_VISIBLE_DEVICES": ""})
    child.wait()
    took = time.perf_counter() - started
    return took, next(event for event in EventTail(job.events_file).read_all() if isinstance(event, DryRunDone))


def main() -> int:
    """Print a line for each case; 1 where the limit is missed."""
    num_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    missed = False
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(LLAMA_8B), encoding="utf-8")
        for case, method in CASES.items():
            found = [seconds_of(folder / "jobs", model, dict(method)) for _ in range(num_runs)]
            median = statistics.median(took for took, _ in found)
            inner = statistics.median(done.seconds for _, done in found)
            missed = missed or median > LIMIT_SECONDS
            print(f"{case:6} {median:5.1f} s with its imports, {inner:5.1f} s of work, {found[0][1].total_bytes / (1 << 30):6.2f} GiB")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
