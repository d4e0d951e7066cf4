"""Time of a training step with plain LoRA, with PEFT's DoRA and with ours, side by side: ratios, for a machine is never quiet.

    python benchmarks/dora_speed.py [--hidden 1024] [--layers 2] [--rows 1] [--tokens 512] [--rounds 5]

A Llama block's shape with random weights; on a GPU in bfloat16 under autocast, on a CPU in float32.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from desktop_ft.engine.methods.dora import make_lean


def main() -> None:
    """Print the medians and their ratios to plain LoRA."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {"hidden": 1024, "layers": 2, "rows": 1, "tokens": 512, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    sizes = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    config = LlamaConfig.from_dict({
        "hidden_size": sizes.hidden, "intermediate_size": sizes.hidden * 7 // 2, "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.hidden // 64, "num_key_value_heads": max(1, sizes.hidden // 256), "vocab_size": 1024,
    })  # fmt: skip
    torch.set_default_dtype(torch.bfloat16 if on_gpu else torch.float32)
    with device:
        base = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    models = {
        "LoRA": _adapted(base, use_dora=False),
        "DoRA, PEFT": _adapted(base, use_dora=True),
        "DoRA, ours": _adapted(base, use_dora=True),
    }
    make_lean(models["DoRA, ours"])
    ids = torch.randint(0, 1024, (sizes.rows, sizes.tokens), device=device)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for round_number in range(sizes.rounds + 1):
        for name, model in models.items():
            taken = _step(model, ids, on_gpu=on_gpu)
            if round_number:
                seconds[name].append(taken)
    plain = statistics.median(seconds["LoRA"])
    print(f"{device.type}, torch {torch.__version__}, {torch.get_num_threads()} threads, {vars(sizes)}")
    for name, taken in seconds.items():
        print(f"{name:12} {statistics.median(taken) * 1000:9.1f} ms   {statistics.median(taken) / plain:.2f} x")


def _adapted(base: LlamaForCausalLM, *, use_dora: bool) -> PeftModel:
    settings = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", use_dora=use_dora, task_type="CAUSAL_LM")
    model = cast("PeftModel", get_peft_model(cast("PreTrainedModel", copy.deepcopy(base)), settings))
    return model.train()


def _step(model: PeftModel, ids: torch.Tensor, *, on_gpu: bool) -> float:
    began = time.perf_counter()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=on_gpu):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    model.zero_grad()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
