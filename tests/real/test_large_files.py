"""Files larger than the memory that reading may take, in a child whose address space is limited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="the address space is limited on Linux")]
NUM_BYTES = 200 * 2**20
LIMIT_BYTES = 160 * 2**20
"""Less than the file: who held it would fail. An interpreter with the rooms that read takes about 60 MB of address space."""
_CHILD = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from desktop_ft.core.data.index import build_index, row_slice
from desktop_ft.core.data.source import RowSource
source = RowSource(Path(sys.argv[1]))
index = build_index(source)
print(index.num_rows, len(row_slice(source, index.num_rows - 10, index.num_rows, index)))
"""


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "b.json", "a.csv"])
def test_a_large_file_is_read_in_little_memory(name: str, tmp_path: Path) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 100
    row = {"a.csv": f'"{text}",1\n'}.get(name, json.dumps({"text": text, "n": 1}) + ("\n" if name == "a.jsonl" else ",\n"))
    before = {"a.csv": "text,n\n", "a.json": "[", "b.json": '{"about": 1, "things": ['}.get(name, "")
    after = {"a.json": '{"text": "last"}]', "b.json": '{"text": "last"}]}'}.get(name, "")
    count = NUM_BYTES // len(row)
    with (tmp_path / name).open("w", encoding="utf-8") as file:
        file.write(before)
        for _ in range(count // 1000):
            file.write(row * 1000)
        file.write(after)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path / name), str(LIMIT_BYTES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(count // 1000 * 1000 + bool(after)), "10"]
