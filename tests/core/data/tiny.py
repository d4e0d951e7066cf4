"""A tiny model folder made on the spot: byte-level BPE, any chat template, no weights. Imports tokenizers only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CORPUS = (
    "The quick brown fox jumps over the lazy dog.",
    "What is the capital of France? Paris.",
    "user assistant system model human",
    "Write a poem about the sea and the sky.",
    "2 + 2 = 4, 3 + 5 = 8, and so on 0123456789.",
)
SPECIAL = (
    "<|pad|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<s>",
    "</s>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "[INST]",
    "[/INST]",
)

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML_MARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SMOL_HEAD = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{% endif %}"
)
_SMOL_TAIL = "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
SMOL = _SMOL_HEAD + "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" + _SMOL_TAIL
SMOL_MARKED = (
    _SMOL_HEAD + "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}"
    + _SMOL_TAIL
)
_LLAMA_HEAD = "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
_LLAMA_TAIL = "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
LLAMA = _LLAMA_HEAD + "{{ message['content'] | trim + '<|eot_id|>' }}" + _LLAMA_TAIL
LLAMA_MARKED = (
    _LLAMA_HEAD + "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}" + _LLAMA_TAIL
)
_MISTRAL_HEAD = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}"
MISTRAL = _MISTRAL_HEAD + "{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
MISTRAL_MARKED = _MISTRAL_HEAD + "{% generation %}{{ ' ' + m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
_PHI_HEAD = "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|>\n' }}"
_PHI_TAIL = "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
_PHI_OTHER = "{% else %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
PHI = _PHI_HEAD + "{{ m['content'] + '<|end|>\n' }}" + _PHI_OTHER + _PHI_TAIL
PHI_MARKED = _PHI_HEAD + "{% generation %}{{ m['content'] + '<|end|>' }}{% endgeneration %}{{ '\n' }}" + _PHI_OTHER + _PHI_TAIL
_GEMMA_HEAD = (
    "{{ bos_token }}{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' }}"
)
_GEMMA_TAIL = "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
GEMMA = _GEMMA_HEAD + "{{ m['content'] | trim + '<end_of_turn>\n' }}" + _GEMMA_TAIL
GEMMA_MARKED = (
    _GEMMA_HEAD + "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] | trim + '<end_of_turn>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] | trim + '<end_of_turn>' }}{% endif %}{{ '\n' }}" + _GEMMA_TAIL
)
_RAW_HEAD = "{% for m in messages %}{% raw %}{{role}}: {% endraw %}{{ m['role'] }}\n"
_RAW_TAIL = "{{ '\n' }}{% endfor %}"
RAW = _RAW_HEAD + "{{ m['content'] + eos_token }}" + _RAW_TAIL
RAW_MARKED = (
    _RAW_HEAD + "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + eos_token }}{% endgeneration %}{% else %}"
    "{{ m['content'] + eos_token }}{% endif %}" + _RAW_TAIL
)

TWINS: Mapping[str, tuple[str, str]] = {
    "chatml": (CHATML, CHATML_MARKED),
    "smollm2": (SMOL, SMOL_MARKED),
    "llama3": (LLAMA, LLAMA_MARKED),
    "mistral": (MISTRAL, MISTRAL_MARKED),
    "phi": (PHI, PHI_MARKED),
    "gemma": (GEMMA, GEMMA_MARKED),
    "raw": (RAW, RAW_MARKED),
}


@lru_cache(maxsize=2)
def _definition(with_bos: bool) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    if with_bos:
        bos = "<|begin_of_text|>"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return tokenizer.to_str()


def make_model_dir(
    folder: Path,
    chat_template: str | None = CHATML,
    *,
    eos: str | None = "<|im_end|>",
    bos: str = "<|begin_of_text|>",
    with_bos: bool = False,
    named_templates: object = None,
    **config: object,
) -> Path:
    """Write tokenizer.json, tokenizer_config.json and, if there is one, chat_template.jinja."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(_definition(with_bos), encoding="utf-8")
    values: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "pad_token": "<|pad|>", **config}
    if eos is not None:
        values["eos_token"] = eos
    if named_templates is not None:
        values["chat_template"] = named_templates
    (folder / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    return folder
