"""Models for the tests of memory and settings, as config.json would describe them."""

from __future__ import annotations

from desktop_ft.core.models import ModelInfo, model_from_config


def llama(name: str, hidden: int, layers: int, heads: int, kv: int, width: int, vocab: int, *, tied: bool) -> ModelInfo:
    return model_from_config(
        {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv,
            "intermediate_size": width,
            "vocab_size": vocab,
            "tie_word_embeddings": tied,
        },
        name,
    )


LLAMA_8B = llama("llama-8b", 4096, 32, 32, 8, 14336, 128256, tied=False)
LLAMA_1B = llama("llama-1b", 2048, 16, 32, 8, 8192, 128256, tied=True)
SMOLLM2 = llama("smollm2-135m", 576, 30, 9, 3, 1536, 49152, tied=True)
SMALL = llama("small", 256, 6, 4, 2, 704, 4096, tied=True)
UNKNOWN = model_from_config({"model_type": "novel", "architectures": ["NovelForCausalLM"]}, "novel")
