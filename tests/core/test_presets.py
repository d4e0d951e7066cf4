"""Presets: each that comes with the program is a configuration, and a person's own are kept, listed and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.config import SETTINGS, Draft, RunConfig, validate
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.presets import (
    SECTIONS,
    Preset,
    damaged_presets,
    delete_preset,
    list_presets,
    load_preset,
    own_preset,
    save_preset,
)
from desktop_ft.core.workspace import Workspace

NAMES = [
    "teach-a-format", "change-the-tone", "follow-house-rules", "learn-a-domains-language", "align-with-my-judgment", "learn-from-thumbs",
    "solve-tasks-that-can-be-checked", "score-answers", "a-large-model-on-a-small-card",
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def shipped(workspace: Workspace) -> dict[str, Preset]:
    return {preset.name: preset for preset in list_presets(workspace)}


def test_the_presets_that_come_along_in_their_order(workspace: Workspace) -> None:
    assert list(shipped(workspace)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_configuration_with_a_sentence(name: str, workspace: Workspace) -> None:
    preset = load_preset(name, workspace)
    assert preset.config().name == name
    assert preset.title
    assert preset.sentence.endswith(".")
    assert not preset.is_own


@pytest.mark.parametrize(
    "name, objective, method, rate",
    [
        ("teach-a-format", "sft", "lora", 2e-4),
        ("follow-house-rules", "dpo", "lora", 5e-6),
        ("learn-a-domains-language", "pretrain", "lora", 1e-4),
        ("align-with-my-judgment", "rlhf", "lora", 1e-5),
        ("a-large-model-on-a-small-card", "sft", "qlora", 2e-4),
    ],
)
def test_what_they_choose(name: str, objective: str, method: str, rate: float, workspace: Workspace) -> None:
    config = load_preset(name, workspace).config()
    assert (config.objective.kind, config.method.kind, config.training.learning_rate) == (objective, method, rate)


def test_a_preset_on_a_draft_decides_its_sections_and_leaves_model_and_data(workspace: Workspace) -> None:
    changes = load_preset("change-the-tone", workspace).changes()
    assert {path.partition(".")[0] for path in changes} == set(SECTIONS)
    draft = Draft({"model": {"source": "m"}, "data": {"train": "d"}, "method": {"rank": 3}, "training": {"max_steps": 7}})
    after = draft.with_values(changes)
    assert (after.get("model.source"), after.get("method.rank"), after.get("training.max_steps")) == ("m", 16, None)


def test_ones_own_is_kept_and_read_back_and_removed(workspace: Workspace) -> None:
    config = validate({"model": {"source": "x"}, "data": {"train": "y"}, "method": {"rank": 7}, "objective": {"kind": "kto"}})
    saved = save_preset("Mein Stil", "For my letters.", config, workspace)
    assert saved.name == "mein-stil"
    assert list_presets(workspace)[-1] == load_preset("mein-stil", workspace) == saved
    again = saved.config("a", "b")
    assert (again.model.source, again.data.train, again.method, again.objective) == ("a", "b", config.method, config.objective)
    delete_preset("mein-stil", workspace)
    assert list(shipped(workspace)) == NAMES


def test_a_name_that_there_is_not_names_the_nearest(workspace: Workspace) -> None:
    with pytest.raises(DesktopFtError) as caught:
        load_preset("teach-format", workspace)
    assert (caught.value.code, caught.value.hint) == ("preset_missing", "Did you mean teach-a-format?")
    with pytest.raises(DesktopFtError):
        load_preset("../settings", workspace)


@pytest.mark.parametrize(
    "text, code",
    [
        ("title: x\n", "preset_damaged"),
        ("[", "config_unreadable"),
        ("title: x\nsentence: y\nsettings: {method: {rank: 0}}\n", "config_invalid"),
    ],
)
def test_a_damaged_file_is_told_and_does_not_hide_the_others(text: str, code: str, workspace: Workspace) -> None:
    folder = workspace.home / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    assert list(shipped(workspace)) == NAMES
    assert [error.code for error in damaged_presets(workspace)] == [code]
    with pytest.raises(DesktopFtError) as caught:
        load_preset("mine", workspace)
    assert caught.value.code == code


def test_changes_know_every_setting_they_name(workspace: Workspace) -> None:
    assert all(path in SETTINGS for preset in list_presets(workspace) for path in preset.changes())


def settings(rank: int = 7) -> RunConfig:
    return validate({"model": {"source": "x"}, "data": {"train": "y"}, "method": {"rank": rank}})


def test_the_same_title_is_replaced_and_another_one_never_is(workspace: Workspace) -> None:
    """Titles that make the same file name, among them those without a Latin letter, are kept side by side."""
    names = [save_preset(title, "", settings(), workspace).name for title in ("Мой стиль", "我的风格", "My style!", "My style?")]
    assert names == ["run", "run-2", "my-style", "my-style-2"]
    assert save_preset("我的风格", "Again.", settings(9), workspace).name == "run-2"
    assert len(list_presets(workspace)) == len(NAMES) + 4
    own = own_preset("我的风格", workspace)
    assert own is not None
    assert (own.sentence, own.config().method.rank) == ("Again.", 9)
    assert own_preset("Nobody's", workspace) is None


def test_one_of_the_programs_is_not_hidden_by_ones_own(workspace: Workspace) -> None:
    saved = save_preset("Teach a format", "Mine.", settings(), workspace)
    assert saved.name == "teach-a-format-2"
    assert not load_preset("teach-a-format", workspace).is_own
    assert load_preset("teach-a-format-2", workspace) == saved


def test_a_draft_keeps_a_preset_also_where_defaults_are_of_another_kind(workspace: Workspace) -> None:
    """A file gives lists where the declared defaults are tuples."""
    draft = Draft({"model": {"source": "x"}, "data": {"train": "y"}}).with_values({"method.rank": 7})
    saved = save_preset("Mine", "", draft.validated(), workspace)
    assert saved.is_kept_by(draft)
    assert not saved.is_kept_by(draft.with_values({"method.rank": 8}))


def test_a_folder_that_cannot_be_made_is_an_error_in_words(workspace: Workspace) -> None:
    workspace.home.mkdir(parents=True)
    (workspace.home / "presets").write_text("in the way", encoding="utf-8")
    with pytest.raises(DesktopFtError) as caught:
        save_preset("Mine", "", settings(), workspace)
    assert caught.value.code == "file_not_writable"
