"""The size check passes here and fails on what is planted."""

from __future__ import annotations

from pathlib import Path

import pytest
import sizes

from tests.conftest import ROOT


def planted(root: Path, source: str) -> Path:
    file = root / "desktop_ft" / "planted.py"
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    return root


def function(num_lines: int) -> str:
    return "def f() -> None:\n" + "    x = 1\n" * (num_lines - 1)


SHORT = "def g() -> None:\n    x = 1\n\n\n" * 3


def test_this_tree_has_no_problem() -> None:
    assert sizes.problems_of(ROOT) == []


@pytest.mark.parametrize(
    ("source", "problems"),
    [
        ("x = 1\n" * 600, []),
        ("x = 1\n" * 601, ["desktop_ft/planted.py: 601 lines, at most 600"]),
        (SHORT + function(80), []),
        (SHORT + function(81), ["desktop_ft/planted.py: f has 81 lines, at most 80"]),
        (
            SHORT + "class C:\n" + "    def m(self) -> None:\n" + "        x = 1\n" * 80,
            ["desktop_ft/planted.py: m has 81 lines, at most 80"],
        ),
        (function(9), []),
        (function(10), ["desktop_ft: the median function has 10 lines, it must be below 10"]),
    ],
)
def test_planted_lengths(source: str, problems: list[str], tmp_path: Path) -> None:
    assert [problem.replace("\\", "/") for problem in sizes.problems_of(planted(tmp_path, source))] == problems
