"""How long the data doctor takes on a large file and how much memory; against `datasets.map` with the plain tokenizer.

The file is made up: rows of about 300 tokens of the demo model's tokenizer, or of the model that is named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LOOK_SECONDS = 0.1
WORDS = 4000


def write_file(path: Path, num_rows: int, words_a_row: int, seed: int = 1) -> None:
    """Questions and answers of words that are drawn with the frequencies of a language (Zipf's law)."""
    rnd = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rnd.choices(letters, weights=range(len(letters), 0, -1), k=rnd.randint(2, 8))) for _ in range(WORDS)]
    weights = [1 / (rank + 3) for rank in range(WORDS)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            said = rnd.choices(words, weights, k=words_a_row)
            text = " ".join(word if at % 11 else word.capitalize() + "." for at, word in enumerate(said))
            file.write(json.dumps({"question": f"What of {' '.join(said[:12])}?", "answer": f"{text} {number}"}) + "\n")


def in_child(code: str) -> tuple[float, float, dict[str, float]]:
    """Run Python in a child and watch the memory of it and of what it starts.

    Returns:
        Seconds, peak of the proportional memory of all processes in MiB, and what the child printed as JSON.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(child, peak))
    watcher.start()
    output, _ = child.communicate()
    seconds = time.perf_counter() - begin
    watcher.join()
    if child.returncode:
        raise SystemExit(f"the child ended with {child.returncode}")
    return seconds, peak[0] / 2**20, json.loads(output.strip().splitlines()[-1])


def _watch(child: subprocess.Popen[str], peak: list[float]) -> None:
    while child.poll() is None:
        total = 0.0
        try:
            process = psutil.Process(child.pid)
            for one in (process, *process.children(recursive=True)):
                memory = one.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
        except psutil.Error:
            pass
        peak[0] = max(peak[0], total)
        time.sleep(LOOK_SECONDS)


DOCTOR = """
import json, os, time
from pathlib import Path
from desktop_ft.core.data import check
from desktop_ft.core.data.tokenizer import load_tokenizer
spent = [0.0]
find = check.near_duplicates
def timed(*args):
    begin = time.perf_counter()
    found = find(*args)
    spent[0] += time.perf_counter() - begin
    return found
check.near_duplicates = timed
begin = time.perf_counter()
report = check.inspect_data(Path({path!r}), tokenizer=load_tokenizer(Path({model!r})), max_length=1024)
tokens = report.lengths.total / report.lengths.num_examples
seconds, processor_seconds = time.perf_counter() - begin, sum(os.times()[:4])
print(json.dumps({{"seconds": seconds, "processor_seconds": processor_seconds, "near_seconds": spent[0], "tokens_a_row": tokens}}))
"""
SIGNING = """
import json, time
from pathlib import Path
from desktop_ft.core.data.doctor.near_duplicates import signatures
from desktop_ft.core.data.fixes import keep
from desktop_ft.core.data.read import read_rows
examples = keep(read_rows(Path({path!r})), "qa", {{}}, ()).examples
begin = time.perf_counter()
for at in range(0, len(examples), 500):
    signatures(examples[at : at + 500])
print(json.dumps({{"seconds": time.perf_counter() - begin}}))
"""
PLAIN = """
import json, time
from datasets import load_dataset
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({model!r})
data = load_dataset("json", data_files={path!r}, split="train", cache_dir={cache!r})
begin = time.perf_counter()
data.map(lambda rows: tokenizer([q + a for q, a in zip(rows["question"], rows["answer"])]), batched=True, num_proc={cores})
print(json.dumps({{"seconds": time.perf_counter() - begin}}))
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=62, help="words a row; the demo's small vocabulary makes about 300 tokens of 62")
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "demo" / "model")
    parser.add_argument("--times", type=int, default=1)
    chosen = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="desktop-ft-doctor-") as folder:
        path = Path(folder) / "rows.jsonl"
        write_file(path, chosen.rows, chosen.words)
        fields = {"path": str(path), "model": str(chosen.model), "cache": str(Path(folder) / "cache"), "cores": cores}
        doctored = [in_child(DOCTOR.format(**fields)) for _ in range(chosen.times)]
        signing = in_child(SIGNING.format(**fields))
        plain = [in_child(PLAIN.format(**fields)) for _ in range(chosen.times)]
        size = path.stat().st_size
    print(json.dumps(_report(chosen.rows, size, cores, doctored, signing[2]["seconds"], plain), indent=1))
    return 0


_Measured = list[tuple[float, float, dict[str, float]]]


def _report(num_rows: int, size: int, cores: int, doctored: _Measured, signing: float, plain: _Measured) -> dict[str, object]:
    median: Callable[[list[float]], float] = statistics.median
    whole, near = median([one[2]["seconds"] for one in doctored]), median([one[2]["near_seconds"] for one in doctored])
    mapped = median([one[2]["seconds"] for one in plain])
    return {
        "what": "data doctor on a file of made-up rows; every check and the tokens of every row, all cores",
        "rows": num_rows,
        "mib": round(size / 2**20, 1),
        "tokens_a_row": round(doctored[0][2]["tokens_a_row"], 1),
        "seconds": round(whole, 1),
        "processor_seconds": round(median([one[2]["processor_seconds"] for one in doctored]), 1),
        "of_which_comparing_near_duplicates": round(near, 1),
        "signing_for_near_duplicates_on_one_core": round(signing, 1),
        "peak_mib": round(max(one[1] for one in doctored)),
        "datasets_map_seconds": round(mapped, 1),
        "ratio_to_datasets_map": round(whole / mapped, 2),
        "machine": {"system": platform.platform(), "cores": cores, "python": platform.python_version()},
    }


if __name__ == "__main__":
    sys.exit(main())
