"""Templates without markers, and hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_ft.core.data.records import Message
from desktop_ft.core.data.template import ChatTemplate
from desktop_ft.core.errors import DesktopFtError
from tests.core.data.tiny import CHATML, SMOL, SPECIAL

CHAT = (Message("user", "Hi"), Message("assistant", "user"), Message("user", "more"), Message("assistant", " Yo "))


def _learnt(source: str, chat: tuple[Message, ...] = CHAT) -> list[str]:
    rendered = ChatTemplate(source, {"eos_token": "</s>"}, SPECIAL).render_with_assistant_spans(chat)
    return [rendered.text[start:end] for start, end in rendered.spans]


def test_words_and_end_token_without_header_and_newline() -> None:
    assert _learnt(CHATML) == ["user<|im_end|>", " Yo <|im_end|>"]
    assert _learnt(SMOL) == ["user<|im_end|>", " Yo <|im_end|>"]


def test_a_template_that_ignores_the_generation_prompt() -> None:
    source = CHATML.partition("{% if add_generation_prompt")[0]
    assert _learnt(source) == ["user<|im_end|>", " Yo <|im_end|>"]


def test_end_tokens_that_nobody_named() -> None:
    source = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ' #END# ' }}{% endfor %}"
    assert _learnt(source) == ["user #END#", " Yo  #END#"]


def test_a_template_without_end_token_learns_the_words() -> None:
    source = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    assert _learnt(source) == ["user", " Yo "]


def test_reasoning_that_the_template_moves() -> None:
    source = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if '</think>' in m['content'] %}"
        "{{ '<think>' + m['content'].split('</think>')[0].strip() + '</think>' + m['content'].split('</think>')[1] }}{% else %}"
        "{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    chat = (CHAT[0], Message("assistant", " so </think>Yes"))
    assert _learnt(source, chat) == ["<think>so</think>Yes<|im_end|>"]


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m['role'] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] + m['content'] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ messages[-1]['content'] | length }}",
    ],
)
def test_what_cannot_be_proven_is_refused(source: str) -> None:
    with pytest.raises(DesktopFtError) as caught:
        _learnt(source)
    assert caught.value.code == "template_spans_unknown"
    assert "generation" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("{{ raise_exception('take turns!') }}", "template_refused", "take turns!"),
        ("{{ messages[9]['role'].x }}", "template_refused", "no element 9"),
        ("{% for %}", "template_invalid", "Line 1"),
        ("{% include '/etc/passwd' %}", "template_refused", ""),
        ("{{ ''.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}", "template_refused", "__class__"),
        ("{{ messages.append(1) }}", "template_refused", "append"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "template_refused", "calls itself"),
        ("{{ 1 // 0 }}", "template_refused", "zero"),
        ("{{ range(10000000) | list }}", "template_refused", "Range too big"),
    ],
)
def test_templates_that_fail_or_attack(source: str, code: str, words: str) -> None:
    with pytest.raises(DesktopFtError) as caught:
        ChatTemplate(source, {}).render(CHAT)
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_failed_tracked_rendering_leaves_the_next_one_clean(tmp_path: Path) -> None:
    source = (
        "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% if m['content'] == 'x' %}{{ raise_exception('x') }}"
    )
    template = ChatTemplate(source + "{% endif %}{% endfor %}", {})
    with pytest.raises(DesktopFtError):
        template.render_with_assistant_spans((Message("assistant", "x"),))
    assert template.render_with_assistant_spans((Message("assistant", "abc"),)).spans == ((0, 3),)
