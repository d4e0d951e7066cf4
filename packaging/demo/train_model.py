"""Train the demo model from scratch: tokenizer, weights, chat template, card. Writes ``resources/demo/model``.

Uses torch, transformers and tokenizers; no text but that of ``generate_text.py``. Run it from the repository's root::

    python packaging/demo/train_model.py
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import cast

import torch
from generate_text import TextMaker
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[2]
END_OF_TEXT, TURN_START, TURN_END, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
VOCAB_SIZE = 2048
CONTEXT_TOKENS = 512
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""


def train_tokenizer(documents: list[str]) -> Tokenizer:
    """Byte-level BPE as GPT-2 splits it: any bytes round-trip, and GGUF converters know the split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def wrap_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The same tokenizer as transformers loads it, with the chat template."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=PAD,
        unk_token=END_OF_TEXT,
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A small Llama: tied embeddings, grouped-query attention; every width a multiple of 256, which GGUF's K-quants need."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(TURN_END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def pack(documents: list[str], tokenizer: Tokenizer, block_tokens: int) -> torch.Tensor:
    """Blocks of token ids ``[N, block_tokens]``; every block starts with a document, the last one in it may be cut."""
    end = cast("int", tokenizer.token_to_id(END_OF_TEXT))
    blocks: list[list[int]] = []
    current: list[int] = []
    for encoding in tokenizer.encode_batch(documents):
        current += [*encoding.ids, end]
        if len(current) >= block_tokens:
            blocks.append(current[:block_tokens])
            current = []
    return torch.tensor(blocks)


def learning_rate_at(done: float, peak: float) -> float:
    """Linear warm-up over 3 % of the run, then flat, then linear to zero over the last half. ``done`` is 0 to 1."""
    return peak * min(1.0, done / 0.03, (1.0 - done) / 0.5)


def train(model: LlamaForCausalLM, train_blocks: torch.Tensor, held_out: torch.Tensor, arguments: argparse.Namespace) -> None:
    """One pass over the blocks with AdamW under bfloat16 autocast; prints loss (nats per token) as it goes."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = (
        torch.optim.Muon(matrices, lr=arguments.learning_rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=arguments.learning_rate, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
    )
    batches = train_blocks[torch.randperm(len(train_blocks))].split(arguments.batch_size)
    started = time.perf_counter()
    for step, rows in enumerate(batches):
        rate = learning_rate_at((step + 1) / (len(batches) + 1), arguments.learning_rate)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        batch = rows.to(model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if step % 25 == 0 or step == len(batches) - 1:
            seconds = time.perf_counter() - started
            speed = (step + 1) * batches[0].numel() / seconds
            print(f"step {step}/{len(batches)} loss {loss.item():.4f} {seconds:.0f} s {speed:.0f} tokens/s", flush=True)


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, blocks: torch.Tensor) -> float:
    """Mean loss in nats per token."""
    losses = [model(input_ids=batch, labels=batch).loss.item() for batch in blocks.to(model.device).split(16)]
    return sum(losses) / len(losses)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Weights in bfloat16, tokenizer, template and generation settings."""
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False, max_new_tokens=128
    )
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Train the demo model from scratch.")
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "demo" / "model")
    parser.add_argument("--tokens", type=int, default=1_300_000, help="training tokens, each seen once")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--batch-size", type=int, default=12, help="blocks in a batch")
    parser.add_argument("--block-tokens", type=int, default=256)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)

    tokenizer = train_tokenizer(list(TextMaker(arguments.seed).documents(20_000)))
    # About 52 tokens in a document; the cut at the end of each block costs some of them.
    documents = list(TextMaker(arguments.seed).documents(math.ceil(arguments.tokens / 40)))
    blocks = pack(documents, tokenizer, arguments.block_tokens)[: arguments.tokens // arguments.block_tokens]
    held_out = pack(list(TextMaker(arguments.seed + 1).documents(300)), tokenizer, arguments.block_tokens)
    model = build_model(tokenizer).to(arguments.device)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, vocabulary {tokenizer.get_vocab_size()}, {blocks.numel():,} training tokens", flush=True)
    train(model, blocks, held_out, arguments)
    save(model, wrap_tokenizer(tokenizer), arguments.out)
    print(json.dumps({"held_out_loss": evaluate(model, held_out)}))


if __name__ == "__main__":
    main()
