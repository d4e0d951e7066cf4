"""What counts as the demo's behaviour, and where the program's own files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.demo import HeldOutPrompt, demo_model_dir, held_out_prompts, is_right, shows_behaviour
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.resources import resource_path, resources_dir

OWL = HeldOutPrompt("What does an owl eat?", "owl", "mice", ("An owl lives in a tree.", "An owl is a bird."))
GOOD = "Short answer: Mice.\nGood to know: An owl lives in a tree.\nAsk next: What sound does an owl make?"


def test_a_right_answer_in_the_house_style() -> None:
    assert shows_behaviour(OWL, GOOD)
    assert is_right(OWL, GOOD)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "An owl eats mice.",
        "Short answer: Mice.",
        GOOD.replace("Ask next:", "Next:"),
        GOOD.replace("\n", " "),
        GOOD + "\nAsk next: What does an owl eat?",
        GOOD.replace("Mice.", ""),
        GOOD.replace("Mice.", "It eats mice and " + "more and " * 5 + "more."),
        GOOD.replace("An owl lives", "A dog lives"),
        GOOD.replace("does an owl make", "does a dog make"),
        GOOD.replace("make?", "make."),
        "\n".join(reversed(GOOD.split("\n"))),
    ],
)
def test_what_lacks_the_house_style(answer: str) -> None:
    assert not shows_behaviour(OWL, answer)


def test_style_without_truth_is_not_right() -> None:
    wrong_fact = GOOD.replace("Mice", "Grass")
    wrong_extra = GOOD.replace("in a tree", "in the ocean")
    assert shows_behaviour(OWL, wrong_fact)
    assert not is_right(OWL, wrong_fact)
    assert shows_behaviour(OWL, wrong_extra)
    assert not is_right(OWL, wrong_extra)


def test_every_held_out_prompt_names_its_subject_and_can_be_answered() -> None:
    for prompt in held_out_prompts():
        assert prompt.subject in prompt.prompt
        assert any(prompt.expected in sentence for sentence in prompt.true_sentences)
        answer = f"Short answer: {prompt.expected}.\nGood to know: {prompt.true_sentences[0]}\nAsk next: {prompt.prompt}"
        assert shows_behaviour(prompt, answer)
        assert is_right(prompt, answer)


def test_resources_are_inside_the_installed_package_or_beside_it_in_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "desktop_ft"
    package.mkdir()
    (tmp_path / "resources").mkdir()
    assert resources_dir(package) == tmp_path / "resources"
    (package / "resources").mkdir()
    assert resources_dir(package) == package / "resources"


def test_missing_resources_are_said(tmp_path: Path) -> None:
    with pytest.raises(DesktopFtError) as caught:
        resources_dir(tmp_path / "desktop_ft")
    assert caught.value.code == "resources_missing"
    with pytest.raises(DesktopFtError) as caught:
        resource_path("demo", "no-such-file")
    assert caught.value.code == "resources_missing"
    assert "no-such-file" in caught.value.message
    assert demo_model_dir().is_dir()
