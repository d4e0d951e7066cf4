"""Fine-tune the demo model with plain TRL and PEFT, and count how many held-out prompts show the behaviour before and after.

Uses nothing of the engine, so that a failure here lies in the model or the data. Run it from the repository's root::

    python packaging/demo/check_model.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read while the libraries below are imported

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_data import DEVELOPMENT, held_out_row  # noqa: E402
from world import build_world  # noqa: E402

from desktop_ft.core.demo import HeldOutPrompt, demo_model_dir, demo_sft_file, held_out_prompts, is_right, shows_behaviour  # noqa: E402

# The model's own template with the markers that assistant-only loss needs; renders the same text.
TRAINING_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' -%}
{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else -%}
{{ message['content'] + '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""


def development_prompts() -> tuple[HeldOutPrompt, ...]:
    """Prompts for choosing settings: held out from the training rows, and not the ones that the demo shows."""
    rows = [held_out_row(build_world(), *item) for item in DEVELOPMENT]
    return tuple(HeldOutPrompt(row["prompt"], row["subject"], row["expected"], tuple(row["true_sentences"])) for row in rows)


def answers(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: tuple[HeldOutPrompt, ...]) -> list[str]:
    """Greedy answers, one prompt at a time."""
    model.eval()
    generate = cast("Callable[..., torch.Tensor]", model.generate)
    texts: list[str] = []
    for prompt in prompts:
        turns = [{"role": "user", "content": prompt.prompt}]
        text = cast("str", tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
        ids = cast("torch.Tensor", tokenizer(text, return_tensors="pt").input_ids)
        output = generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=96, do_sample=False)
        texts.append(cast("str", tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)))
    return texts


@torch.no_grad()
def count_known_facts(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Ask for every fact of the world once, in plain words. Returns the number of right answers, and of facts."""
    facts = [fact for entity in build_world() for fact in entity.facts]
    generate = cast("Callable[..., torch.Tensor]", model.generate)
    right = 0
    for start in range(0, len(facts), 64):
        batch = facts[start : start + 64]
        chats = [[{"role": "user", "content": fact.questions[0]}] for fact in batch]
        texts = cast("list[str]", tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False))
        inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        ids, mask = cast("torch.Tensor", inputs.input_ids), cast("torch.Tensor", inputs.attention_mask)
        output = generate(input_ids=ids, attention_mask=mask, max_new_tokens=24, do_sample=False)
        replies = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
        right += sum(fact.value.lower() in reply.lower() for fact, reply in zip(batch, replies, strict=True))
    return right, len(facts)


def report(title: str, prompts: tuple[HeldOutPrompt, ...], texts: list[str], rows: list[dict[str, object]], *, show: bool) -> None:
    """Print the counts, and the answers if asked."""
    styled = sum(map(shows_behaviour, prompts, texts))
    right = sum(map(is_right, prompts, texts))
    training_text = json.dumps(rows)
    copied = sum(json.dumps(text)[1:-1] in training_text for text in texts)
    print(f"{title}: {styled} of {len(prompts)} show the behaviour, {right} right in both lines, {copied} copied from a training row")
    for prompt, text in zip(prompts, texts, strict=True):
        if show:
            print(f"  {prompt.prompt}\n    " + text.replace("\n", "\n    "))


def fine_tune(arguments: argparse.Namespace, rows: list[dict[str, object]], output_dir: str) -> tuple[SFTTrainer, float]:
    """LoRA with DoRA on all linear layers. Returns the trainer and the seconds of training alone."""
    dtype = getattr(torch, arguments.dtype)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    tokenizer.chat_template = TRAINING_TEMPLATE
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype)
    adapter = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, use_dora=not arguments.no_dora, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    config = SFTConfig(
        output_dir=output_dir,
        num_train_epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        per_device_train_batch_size=arguments.micro_batch_size,
        gradient_accumulation_steps=arguments.global_batch_size // arguments.micro_batch_size,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        max_length=256,
        assistant_only_loss=True,
        activation_checkpointing=arguments.activation_checkpointing,
        bf16=arguments.dtype == "bfloat16",
        use_cpu=True,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        seed=arguments.seed,
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, peft_config=adapter)
    started = time.perf_counter()
    trainer.train()
    return trainer, time.perf_counter() - started


def main() -> None:
    """Count, train, count."""
    parser = argparse.ArgumentParser(description="Fine-tune the demo model with plain TRL and count before and after.")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--global-batch-size", type=int, default=16)
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--no-dora", action="store_true")
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--model", type=Path, default=demo_model_dir())
    parser.add_argument("--show", action="store_true", help="print the answers")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [json.loads(line) for line in demo_sft_file().read_text(encoding="utf-8").splitlines()]
    sets = {"development": development_prompts(), "held out": held_out_prompts()}

    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    base = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=getattr(torch, arguments.dtype))
    print("the base model answers {} of {} facts right".format(*count_known_facts(base, tokenizer)))
    for name, prompts in sets.items():
        report(f"before, {name}", prompts, answers(base, tokenizer, prompts), rows, show=arguments.show)
    with tempfile.TemporaryDirectory(prefix="desktop-ft-demo-") as folder:
        trainer, seconds = fine_tune(arguments, rows, folder)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(f"{trainer.state.global_step} steps in {seconds:.1f} s on {arguments.threads} threads, loss {losses[0]:.3f} to {losses[-1]:.3f}")
    for name, prompts in sets.items():
        report(f"after, {name}", prompts, answers(cast("torch.nn.Module", trainer.model), tokenizer, prompts), rows, show=arguments.show)


if __name__ == "__main__":
    main()
