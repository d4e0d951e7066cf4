"""A model folder without real weights, a data file with every fault, and two cards."""

from __future__ import annotations

import json
from pathlib import Path

from desktop_ft.core.device import DeviceFacts
from tests.core.data.tiny import make_model_dir

GIB = 2**30
GPU = DeviceFacts("cuda", "RTX 4090", 24 * GIB, int(22.7 * GIB), int(1.3 * GIB), supports_bf16=True, uuid="GPU-1")
SMALL_GPU = DeviceFacts("cuda", "RTX 3050", 6 * GIB, int(4.85 * GIB), int(1.15 * GIB), supports_bf16=True, uuid="GPU-2")
CPU = DeviceFacts("cpu", "CPU", 16 * GIB, 11 * GIB, 5 * GIB)


def write_model(folder: Path, hidden: int = 64, layers: int = 2, context: int = 4096) -> Path:
    """A Llama-shaped folder whose safetensors file has a header and a hole: its weights take no room on the disk."""
    make_model_dir(folder)
    vocabulary, width, heads = 620, hidden * 4, max(2, hidden // 64)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": width,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    count = layers * (4 * hidden * hidden + 3 * hidden * width + 2 * hidden) + hidden
    tensors = {"model.embed_tokens.weight": [vocabulary, hidden], "model.layers.0.rest": [count]}
    _write_weights(folder / "model.safetensors", tensors)
    return folder


def _write_weights(path: Path, tensors: dict[str, list[int]]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_faulty_data(path: Path, num_rows: int = 240) -> Path:
    """Chats with two malformed rows, three empty answers, four copies and two rows that are far too long."""
    rows: list[object] = [_chat(index) for index in range(num_rows)]
    rows[10] = rows[12] = {"messages": [{"role": "user", "content": "And?"}]}
    for index in (20, 21, 22):
        rows[index] = {"messages": [{"role": "user", "content": f"Nothing {index}?"}, {"role": "assistant", "content": " "}]}
    for index in (30, 31, 32, 33):
        rows[index] = rows[29]
    for index in (40, 41):
        answer = f"A long story {index}. " + "Once upon a time there was a fox. " * 150
        rows[index] = {"messages": [{"role": "user", "content": "Tell me a story."}, {"role": "assistant", "content": answer}]}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _chat(index: int) -> dict[str, object]:
    question = f"My invoice {index} shows the same charge twice. Can you refund one of them, please?"
    answer = f"Sorry about that! I see two charges of {index} euros, and I have refunded the second one. " + "It takes days. " * (index % 9)
    return {
        "messages": [
            {"role": "system", "content": "You answer customers of Northwind. Be brief and kind."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }
