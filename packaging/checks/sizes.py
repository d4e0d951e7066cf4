"""Fails when a file is no longer a room or a function no longer a thought. Standard library only."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
MAX_MEDIAN_FUNCTION_LINES = 10
FOLDERS = ("desktop_ft", "packaging", "tests")
MEDIAN_FOLDER = "desktop_ft"


@dataclass(frozen=True)
class Function:
    """One function with its length in lines, signature and docstring included, decorators not."""

    file: Path
    name: str
    num_lines: int


def functions_of(file: Path, source: str) -> Iterator[Function]:
    """Every function and method of a file, nested ones too."""
    for node in ast.walk(ast.parse(source, filename=str(file))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(file, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)


def problems_of(root: Path, folders: Iterable[str] = FOLDERS) -> list[str]:
    """One line for each file or function that is too long, and for a median that is.

    Args:
        root: The checkout's top folder.
        folders: Folders below it that are looked at.
    """
    problems: list[str] = []
    median_lengths: list[int] = []
    for folder in folders:
        for file in sorted((root / folder).rglob("*.py")):
            source = file.read_text(encoding="utf-8")
            functions = list(functions_of(file.relative_to(root), source))
            problems += _too_long(file.relative_to(root), source, functions)
            if folder == MEDIAN_FOLDER:
                median_lengths += [function.num_lines for function in functions]
    return problems + _median_problems(median_lengths)


def _too_long(file: Path, source: str, functions: Iterable[Function]) -> Iterator[str]:
    num_lines = len(source.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield f"{file}: {num_lines} lines, at most {MAX_FILE_LINES}"
    for function in functions:
        if function.num_lines > MAX_FUNCTION_LINES:
            yield f"{file}: {function.name} has {function.num_lines} lines, at most {MAX_FUNCTION_LINES}"


def _median_problems(lengths: list[int]) -> list[str]:
    median = statistics.median(lengths) if lengths else 0.0
    if median < MAX_MEDIAN_FUNCTION_LINES:
        return []
    return [f"{MEDIAN_FOLDER}: the median function has {median:g} lines, it must be below {MAX_MEDIAN_FUNCTION_LINES}"]


def main() -> int:
    """Prints the problems of this checkout; the exit status is 1 if there are any."""
    problems = problems_of(Path(__file__).resolve().parents[2])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
