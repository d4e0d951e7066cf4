"""How soon a large JSONL file shows its first rows, how long its index takes, and how much memory either needs. Prints JSON.

python benchmarks/reading.py [--bytes 1000000000] [--train-rows 0] [--folder DIR]

The file is made of random words (about 1.1 kB a row) and removed again. Each measurement is a process of its own. With ``--train-rows``
the road of training is measured too: so many rows of about 300 tokens to ids and labels with the demo model's tokenizer.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_HEAD = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from desktop_ft.core.data.source import RowSource
"""
_TAIL = """
import psutil
info = psutil.Process().memory_info()
peak = getattr(info, "peak_wset", 0)
if not peak:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({**found, "seconds": round(time.perf_counter() - started, 3), "peak_bytes": peak}))
"""
_FIRST = "found = {'rows': len(RowSource(Path(sys.argv[1])).head(50))}"
_INDEX = """
from desktop_ft.core.data.index import build_index
index = build_index(RowSource(Path(sys.argv[1])))
found = {"rows": index.num_rows, "marks": len(index.marks)}
"""
_JUMP = """
from desktop_ft.core.data.index import build_index, row_slice
source = RowSource(Path(sys.argv[1]))
index = build_index(source)
started = time.perf_counter()
found = {"rows": len(row_slice(source, index.num_rows - 50, index.num_rows, index))}
"""
_TRAIN = """
from desktop_ft.core.data.dataset import load_training_data
from desktop_ft.core.data.tokenizer import load_tokenizer
from desktop_ft.core.demo import demo_model_dir
data = load_training_data(
    Path(sys.argv[1]), None, fraction=0.05, seed=1, format="auto", columns={}, tokenizer=load_tokenizer(demo_model_dir()),
    max_length=None, assistant_only_loss=True,
)
found = {"rows": data.num_rows, "tokens": sum(map(len, data.train)) + sum(map(len, data.eval))}
"""


def make_file(path: Path, num_bytes: int | None, num_rows: int | None, num_words: int) -> None:
    """Rows of random words until there are so many bytes, or rows."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(5000)]
    rows = [
        {"instruction": " ".join(draw.choices(words, k=20)), "input": "", "output": " ".join(draw.choices(words, k=num_words))}
        for _ in range(2000)
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    written, count = 0, 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        while (num_bytes is not None and written < num_bytes) or (num_rows is not None and count < num_rows):
            line = draw.choice(lines)
            file.write(line)
            written += len(line)
            count += 1


def measure(body: str, path: Path) -> dict[str, object]:
    """Run one measurement in a process of its own; its memory is that of the whole process."""
    done = subprocess.run([sys.executable, "-c", _HEAD + body + _TAIL, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000_000)
    parser.add_argument("--train-rows", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where the file is made; else the system's folder for such")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "large.jsonl"
        make_file(path, asked.bytes, None, 140)
        result: dict[str, object] = {"machine": platform.platform(), "bytes": path.stat().st_size, "date": time.strftime("%Y-%m-%d")}
        result |= {"first_rows": measure(_FIRST, path), "index": measure(_INDEX, path), "last_rows": measure(_JUMP, path)}
        if asked.train_rows:
            make_file(path, None, asked.train_rows, 100)
            result["training"] = measure(_TRAIN, path)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
