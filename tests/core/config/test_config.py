"""The configuration: every problem at once, hints that help, YAML there and back, older and newer files."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desktop_ft.core.config import (
    DEMO,
    SCHEMA_VERSION,
    SETTINGS,
    Draft,
    RunConfig,
    config_from_values,
    dump_config,
    json_schema,
    load_config,
    parse_override,
    problems_of,
    save_config,
    set_value,
    validate,
)
from desktop_ft.core.config import files as config_files
from desktop_ft.core.config.fields import SettingInfo
from desktop_ft.core.errors import ConfigError, DesktopFtError

LEAST: dict[str, object] = {"model": {"source": DEMO}, "data": {"train": DEMO}}


def with_values(**changes: object) -> dict[str, object]:
    values = LEAST
    for path, value in changes.items():
        values = set_value(values, path.replace("__", "."), value)
    return values


def problem(path: str, value: object) -> tuple[str, str]:
    """The message and hint of the only problem."""
    found = problems_of(set_value(LEAST, path, value))
    assert [one.path for one in found] == [path]
    return found[0].message, found[0].hint


# --- problems --------------------------------------------------------------------------------------------------------


def test_the_least_configuration_is_valid() -> None:
    config = validate(LEAST)
    assert (config.method.rank, config.training.learning_rate, config.evaluation.eval_steps) == (16, 2e-4, "auto")


def test_every_problem_is_told_at_once() -> None:
    values = {
        "modle": {},
        "name": "a/b",
        "data": {"train": "x.jsonl", "max_length": 1},
        "method": {"rank": 0, "alhpa": 2, "use_dora": "perhaps"},
        "training": {"micro_batch_size": 3, "global_batch_size": 16, "seed": 1},
    }
    with pytest.raises(ConfigError) as caught:
        validate(values, "my.yaml")
    assert [one.path for one in caught.value.problems] == [
        "model.source",
        "data.max_length",
        "method.rank",
        "method.use_dora",
        "method.alhpa",
        "training.seed",
        "modle",
        "training.global_batch_size",
        "name",
    ]
    assert caught.value.message.startswith("9 problems in my.yaml:\n  model.source: is missing.")
    assert len(cast("list[object]", caught.value.to_dict()["problems"])) == 9


@pytest.mark.parametrize(
    ("path", "value", "message", "hint"),
    [
        ("method.rnak", 8, "there is no setting 'rnak' here", "Did you mean 'rank'?"),
        ("training.rank", 8, "there is no setting 'rank' here", "It belongs to method.rank."),
        ("output.zzz", 8, "there is no setting 'zzz' here", "Known here: save_steps, keep_best, save_total_limit."),
        ("method.rank", 1025, "1025 is not allowed: input should be less than or equal to 1024", "at least 1 and at most 1024"),
        ("training.learning_rate", 0, "greater than 0", "above 0 and at most 1"),
        ("training.learning_rate", float("nan"), "finite", "above 0 and at most 1"),
        ("training.micro_batch_size", 0, "greater than or equal to 1", "auto or a whole number at least 1"),
        ("method.kind", "galore", "'lora', 'qlora' or 'full'", "Expected lora or qlora or full."),
        ("method.rank", True, "true is not a number", "a whole number at least 1"),
        ("training.micro_batch_size", False, "false is not a number", "auto or a whole number"),
        ("seed", 2**32, "less than or equal to 4294967295", "at most 4294967295"),
        ("method", 7, "is a section", "Known here: kind, rank, alpha"),
        ("name", "..", "cannot name a folder", "letters, digits"),
        ("name", " ", "cannot name a folder", "letters, digits"),
        ("method.target_modules", [], "the list of modules is empty", "all-linear"),
    ],
)
def test_a_problem_names_the_value_and_what_to_write(path: str, value: object, message: str, hint: str) -> None:
    told = problem(path, value)
    assert message in told[0]
    assert hint in told[1]


@pytest.mark.parametrize(("micro", "whole", "nearest", "divisor"), [(3, 16, "15 or 18", 2), (5, 4, "5", 4), (7, 16, "14 or 21", 8)])
def test_a_batch_that_does_not_divide_names_the_nearest_that_does(micro: int, whole: int, nearest: str, divisor: int) -> None:
    found = problems_of(with_values(training__micro_batch_size=micro, training__global_batch_size=whole))
    assert [one.path for one in found] == ["training.global_batch_size"]
    assert found[0].hint == f"Set global_batch_size to {nearest}, or micro_batch_size to {divisor}."


def test_full_fine_tuning_cannot_go_on_from_an_adapter() -> None:
    assert [one.path for one in problems_of(with_values(method__kind="full", model__adapter="x"))] == ["model.adapter"]


def test_an_empty_section_sets_nothing() -> None:
    assert validate({**LEAST, "method": None, "data": {"train": DEMO, "split": None}}) == validate(LEAST)
    assert [one.path for one in problems_of({"model": None, "data": {"train": DEMO}})] == ["model.source"]


# --- YAML ------------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def value_of(info: SettingInfo) -> st.SearchStrategy[object]:
    """Something that suits a setting, by its declaration."""
    choices = [st.sampled_from(info.choices)] if info.choices else []
    low, high = info.bounds.get("ge", info.bounds.get("gt", 0)), info.bounds.get("le", info.bounds.get("lt", 1e6))
    by_control: Mapping[str, st.SearchStrategy[object]] = {
        "int": st.integers(int(low), int(high)),
        "float": st.floats(low, high, exclude_min="gt" in info.bounds, exclude_max="lt" in info.bounds),
        "bool": st.booleans(),
        "text": TEXTS,
        "mapping": st.dictionaries(TEXTS, TEXTS, max_size=3),
        "list": st.lists(TEXTS, min_size=1, max_size=3),
    }
    suits = [*choices, *([by_control[info.control]] if info.control in by_control else [])]
    if info.path == "data.fixes":
        return st.lists(st.sampled_from(["drop_malformed_rows", "drop_empty_answers"]), unique=True)
    if info.path == "objective.rewards.rules":
        rules = st.fixed_dictionaries({"kind": st.just("regex"), "weight": st.floats(-10, 10), "pattern": TEXTS})
        return st.lists(rules, max_size=2)
    return st.one_of(*suits, *([st.none()] if info.optional else []))


FIXED = {"schema_version": SCHEMA_VERSION, "objective.kind": "sft", "training.global_batch_size": 16, "training.micro_batch_size": "auto"}
PATHS_IN_FILES = ("model.source", "model.adapter", "data.train", "data.eval", "objective.rewards.model", "objective.rlhf.prompts")


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    values: dict[str, object] = {}
    for path, info in SETTINGS.items():
        value = FIXED[path] if path in FIXED else DEMO if path in PATHS_IN_FILES else draw(value_of(info))
        values = set_value(values, path, value)
    values = set_value(values, "name", draw(st.text(string.ascii_letters + "äß -_", min_size=1).filter(str.strip)))
    return RunConfig.model_validate(set_value(values, "model.adapter", None))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)
@given(configs())
def test_every_configuration_comes_back_from_yaml(config: RunConfig) -> None:
    values = cast("dict[str, object]", yaml.safe_load(dump_config(config)))
    assert RunConfig.model_validate(config_files.resolve_paths(values, Path("/elsewhere"))) == config


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    config = validate(with_values(name="Größe", evaluation__sample_prompts=["a: b", "c\nd"]))
    save_config(config, tmp_path / "run.yaml")
    assert load_config(tmp_path / "run.yaml") == config
    assert (tmp_path / "run.yaml").read_text(encoding="utf-8").startswith("schema_version: 1\nname: Größe\n")


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = "\ufeffmodel: {source: demo}\ndata: {train: demo}\ntraining: {learning_rate: 2e-5}\nname: 'on'\n"
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "run.yaml")
    assert (config.training.learning_rate, config.name) == (2e-5, "on")


@pytest.mark.parametrize(
    "text", ["", "- a\n", "just words", "a: [", "a: b: c", "\t", "{" * 5000, "!!python/object:os.system x", "a: 2026-99-99"]
)
def test_a_file_that_holds_no_settings_is_told_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DesktopFtError) as caught:
        load_config(tmp_path / "run.yaml")
    assert caught.value.code in {"config_unreadable", "config_invalid"}


def test_a_file_that_is_missing_or_no_text_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        load_config(tmp_path / "run.yaml")
    assert caught.value.code == "config_missing"
    (tmp_path / "run.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(DesktopFtError) as caught:
        load_config(tmp_path / "run.yaml")
    assert caught.value.code == "config_unreadable"


# --- versions --------------------------------------------------------------------------------------------------------


def test_a_newer_file_is_refused() -> None:
    with pytest.raises(DesktopFtError, match="schema version 2") as caught:
        config_from_values({**LEAST, "schema_version": 2}, Path(), "run.yaml")
    assert caught.value.code == "config_too_new"


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.5])
def test_a_version_that_is_none_is_a_problem(version: object) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_values({**LEAST, "schema_version": version}, Path(), "run.yaml")
    assert [one.path for one in caught.value.problems] == ["schema_version"]


def test_older_files_are_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(values: dict[str, object]) -> dict[str, object]:
        return {("model" if key == "base" else key): value for key, value in values.items()}

    def add_train(values: dict[str, object]) -> dict[str, object]:
        return {**values, "data": {"train": DEMO}}

    monkeypatch.setattr(config_files, "MIGRATIONS", {-1: rename, 0: add_train})
    old: dict[str, object] = {"schema_version": -1, "base": {"source": DEMO}}
    assert config_from_values(old, Path(), "run.yaml") == validate(LEAST)


# --- paths -----------------------------------------------------------------------------------------------------------


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    text = "model: {source: base, adapter: ./ad}\ndata: {train: rows.jsonl, eval: ../eval.jsonl}\n"
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "run.yaml")
    assert (config.model.source, config.model.adapter) == (str(tmp_path / "base"), str(tmp_path / "ad"))
    assert (config.data.train, config.data.eval) == (str(tmp_path / "rows.jsonl"), str(tmp_path / "../eval.jsonl"))


@pytest.mark.parametrize("source", [DEMO, "org/name", "name"])
def test_what_is_no_folder_stays_a_name(source: str, tmp_path: Path) -> None:
    config = config_from_values(with_values(model__source=source), tmp_path, "run.yaml")
    assert (config.model.source, config.data.train) == (source, DEMO)


def test_a_home_folder_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config = config_from_values(with_values(data__train="~/rows.jsonl"), Path("/x"), "run.yaml")
    assert Path(config.data.train) == tmp_path / "rows.jsonl"


# --- overrides, drafts, the schema -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("method.rank=8", 8),
        ("method.use_dora=false", False),
        ("name=a=b", "a=b"),
        ("data.eval=null", None),
        ("a=[x, y]", ["x", "y"]),
        (" a =", None),
    ],
)
def test_an_override_is_a_path_and_yaml(text: str, value: object) -> None:
    assert parse_override(text) == (text.partition("=")[0].strip(), value)


@pytest.mark.parametrize("text", ["method.rank", "=8", "a=[", ""])
def test_an_override_that_is_malformed_is_an_error(text: str) -> None:
    with pytest.raises(DesktopFtError) as caught:
        parse_override(text)
    assert caught.value.code == "override_malformed"


def test_setting_a_value_changes_nothing_else() -> None:
    before = json.dumps(LEAST)
    assert set_value(LEAST, "method.rank", 8) == {**LEAST, "method": {"rank": 8}}
    assert json.dumps(LEAST) == before


def test_a_draft_knows_defaults_and_problems_and_never_changes() -> None:
    draft = Draft()
    later = draft.with_values({"model.source": DEMO, "method.rank": 8})
    assert (draft.get("method.rank"), later.get("method.rank")) == (16, 8)
    assert (draft.is_set("method.rank"), later.is_set("method.rank")) == (False, True)
    assert {one.path for one in draft.problems()} == {"model.source", "data.train"}
    assert later.with_values({"data.train": DEMO}).validated().method.rank == 8
    with pytest.raises(AssertionError):
        draft.with_values({"method.rnak": 8})


def test_every_setting_is_declared_with_help_and_a_bound_default() -> None:
    assert len(SETTINGS) > 35
    for info in SETTINGS.values():
        assert info.description.endswith((".", "?")), info.path
        assert info.control != "choice" or info.choices, info.path
    assert dict(SETTINGS["method.rank"].bounds) == {"ge": 1, "le": 1024}
    assert dict(SETTINGS["training.micro_batch_size"].bounds) == {"ge": 1}
    assert (SETTINGS["training.micro_batch_size"].control, SETTINGS["training.micro_batch_size"].choices) == ("int", ("auto",))
    assert set(cast("dict[str, object]", json_schema()["properties"])) >= {"model", "data", "method", "training"}
