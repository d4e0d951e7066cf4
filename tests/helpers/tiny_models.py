"""Tiny models with every file that a real one has: random weights, a byte-level tokenizer, a chat template."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CORPUS = ("The quick brown fox jumps over the lazy dog.", "What is the capital of France? Paris.", "user assistant system 0123456789")


@dataclass(frozen=True)
class TinySpec:
    """What to make.

    Attributes:
        dtype: Format of the stored weights.
        tied: Whether input and output embedding are one matrix.
        max_shard_size: Largest weight file; the model has about 0.4 MB in float32.
        eos: End token of the tokenizer; the template ends turns with ``<|im_end|>``.
    """

    dtype: torch.dtype = torch.float32
    tied: bool = False
    max_shard_size: str = "5GB"
    eos: str = "<|im_end|>"
    seed: int = 0


def make_tokenizer(eos: str = "<|im_end|>") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a ChatML template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    names = {"pad_token": "<|pad|>", "eos_token": eos, "bos_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=TEMPLATE, model_max_length=512, **names)


def token_id(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """The id of a special token."""
    found = tokenizer.convert_tokens_to_ids(text)
    assert isinstance(found, int)
    return found


def make_model(folder: Path, spec: TinySpec = TinySpec()) -> Path:
    """A Llama of two layers in a folder, with weights large enough that its answers are far from uniform."""
    tokenizer = make_tokenizer(spec.eos)
    torch.manual_seed(spec.seed)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=token_id(tokenizer, "<|endoftext|>"),
        eos_token_id=token_id(tokenizer, spec.eos),
        pad_token_id=token_id(tokenizer, "<|pad|>"),
        tie_word_embeddings=spec.tied,
        initializer_range=0.08,
    )
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data = weight.data.to(spec.dtype)
    model.generation_config = GenerationConfig(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)
    model.save_pretrained(str(folder), max_shard_size=spec.max_shard_size)
    tokenizer.save_pretrained(str(folder))
    (folder / "LICENSE").write_text("Anyone may use this model.\n", encoding="utf-8")
    return folder


def make_adapter(base: Path, folder: Path, config: LoraConfig, scale: float = 0.1) -> Path:
    """An adapter whose B matrices (and DoRA magnitudes) are far from zero, so that merging matters."""
    loaded = LlamaForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    model = get_peft_model(cast("PreTrainedModel", loaded), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name or "lora_embedding_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            elif "lora_magnitude_vector" in name:
                weight.mul_(1 + 0.2 * torch.rand(weight.shape, generator=generator))
    model.save_pretrained(str(folder))
    return folder


def lora_config(**options: object) -> LoraConfig:
    """Rank 4 on every linear layer, unless said otherwise."""
    return dataclasses.replace(LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"), **options)
