"""The import rules that import-linter cannot state: submodules of a package, and files that a branch may not have yet."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TORCH_STACK = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets")


@dataclass(frozen=True)
class Rule:
    """What the files under one path may not import.

    Attributes:
        where: Path below the checkout: a folder or a file.
        forbidden: Dotted names; each forbids the module and all below it.
        allowed: Exceptions to ``forbidden``.
    """

    where: str
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    def is_broken_by(self, module: str) -> bool:
        """Whether importing ``module`` breaks the rule."""
        return _is_below(module, self.forbidden) and not _is_below(module, self.allowed)


RULES = (
    Rule("desktop_ft/jobs", ("PySide6",), allowed=("PySide6.QtCore",)),
    Rule("desktop_ft/cli.py", (*TORCH_STACK, "PySide6", "desktop_ft.engine", "desktop_ft.jobs", "desktop_ft.ui")),
    Rule("desktop_ft/__main__.py", (*TORCH_STACK, "desktop_ft.engine")),
)


def problems_of(root: Path) -> list[str]:
    """One line for each import that breaks a rule, wherever in the file it stands."""
    return [
        f"{file.relative_to(root).as_posix()}:{line}: imports {module}"
        for rule in RULES
        for file in _files(root / rule.where)
        for line, module in _imports(file)
        if rule.is_broken_by(module)
    ]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path] if path.is_file() else []


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _is_below(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def main() -> int:
    """Prints the problems of this checkout; the exit status is 1 if there are any."""
    problems = problems_of(Path(__file__).resolve().parents[2])
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
