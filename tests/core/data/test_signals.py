"""What each objective learns from a record, and what it refuses."""

from __future__ import annotations

import pytest

from desktop_ft.core.config.objectives import OBJECTIVES
from desktop_ft.core.data.records import Conversation, Example, Judged, Message, PlainText, Preference, PromptCompletion, Ranked, Task
from desktop_ft.core.data.signals import SIGNALS, Signal, adapt, natural_signal, objectives_for
from desktop_ft.core.errors import DesktopFtError

HI, HELLO, NO = Message("user", "Hi"), Message("assistant", "Hello"), Message("assistant", "No")
CHAT = Conversation((HI, HELLO))
TEXT_PAIR, CHAT_PAIR = Preference("Hi", "Hello", "No"), Preference((HI,), (HELLO,), (NO,))
RANKED, TIE = Ranked("Hi", ("No", "Hello", "Hm", "Hello!"), (0, 3, 1, 3)), Ranked("Hi", ("Hello", "No"), (1, 1))
HH = Preference("\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Tell.\n\nAssistant:", " It is so.", " No.")
HH_TURNS = (HI, Message("assistant", "Yes?"), Message("user", "Tell."))


@pytest.mark.parametrize(
    ("example", "signal", "as_chat", "learnt"),
    [
        (CHAT, "answers", True, (CHAT,)),
        (PlainText("a"), "answers", True, (PlainText("a"),)),
        (PromptCompletion("Hi", "Hello"), "answers", True, (PromptCompletion("Hi", "Hello"),)),
        (TEXT_PAIR, "answers", True, (CHAT,)),
        (CHAT_PAIR, "answers", True, (CHAT,)),
        (TEXT_PAIR, "answers", False, (PromptCompletion("Hi", "Hello"),)),
        (Preference("", "One", "Two"), "answers", True, (PlainText("One"),)),
        (Preference((), (HI, HELLO), (NO,)), "answers", True, (CHAT,)),
        (Judged("Hi", "Hello", is_good=True), "answers", True, (CHAT,)),
        (Judged("Hi", "No", is_good=False), "answers", True, ()),
        (PlainText("a"), "text", True, (PlainText("a"),)),
        (TEXT_PAIR, "pairs", True, (CHAT_PAIR,)),
        (TEXT_PAIR, "pairs", False, (TEXT_PAIR,)),
        (Preference("", "One", "Two"), "pairs", True, (Preference("", "One", "Two"),)),
        (HH, "pairs", False, (HH,)),
        (HH, "pairs", True, (Preference(HH_TURNS, (Message("assistant", "It is so."),), (Message("assistant", "No."),)),)),
        (CHAT_PAIR, "judgments", True, (Judged((HI,), (HELLO,), is_good=True), Judged((HI,), (NO,), is_good=False))),
        (Judged("Hi", "No", is_good=False), "judgments", True, (Judged((HI,), (NO,), is_good=False),)),
        (Judged("Hi", "No", is_good=False), "judgments", False, (Judged("Hi", "No", is_good=False),)),
        (CHAT, "prompts", True, (Task((HI,), "Hello"),)),
        (Conversation((HI, HELLO, HI, NO)), "prompts", True, (Task((HI, HELLO, HI), "No"),)),
        (PromptCompletion("Hi", "Hello"), "prompts", True, (Task((HI,), "Hello"),)),
        (PromptCompletion("Hi", "Hello"), "prompts", False, (Task("Hi", "Hello"),)),
        (PromptCompletion((HI,), (HELLO,)), "prompts", True, (Task((HI,), "Hello"),)),
        (CHAT_PAIR, "prompts", True, (Task((HI,), "Hello"),)),
        (HH, "prompts", True, (Task(HH_TURNS, "It is so."),)),
        (Judged("Hi", "No", is_good=False), "prompts", True, (Task((HI,), None),)),
        (RANKED, "pairs", True, (Preference((HI,), (HELLO,), (Message("assistant", "Hm"),)), CHAT_PAIR)),
        (RANKED, "judgments", True, (Judged((HI,), (HELLO,), is_good=True), Judged((HI,), (NO,), is_good=False))),
        (RANKED, "answers", True, (CHAT,)),
        (RANKED, "prompts", True, (Task((HI,), "Hello"),)),
        (TIE, "pairs", True, ()),
        (TIE, "judgments", True, ()),
        (TIE, "answers", True, (CHAT,)),
        (Task("Hi", "42"), "prompts", True, (Task((HI,), "42"),)),
        (Task("Hi"), "prompts", False, (Task("Hi"),)),
    ],
)
def test_a_record_becomes_what_is_learnt(example: Example, signal: Signal, as_chat: bool, learnt: tuple[Example, ...]) -> None:
    assert adapt(example, 1, signal, as_chat=as_chat) == learnt


@pytest.mark.parametrize(
    ("example", "signal", "held", "suited"),
    [
        (CHAT, "pairs", "conversations", "sft, grpo, rloo, ppo"),
        (CHAT, "text", "conversations", "sft, grpo, rloo, ppo"),
        (PlainText("a"), "prompts", "plain text", "sft, pretrain"),
        (CHAT_PAIR, "text", "preference pairs", "sft, dpo, orpo, kto, reward, grpo, rloo, ppo, rlhf"),
        (Task("a"), "answers", "prompts without", "grpo, rloo, ppo"),
        (Judged("a", "b", is_good=True), "pairs", "marked good or bad", "sft, kto, grpo, rloo, ppo"),
    ],
)
def test_what_does_not_suit_is_refused_with_what_would(example: Example, signal: Signal, held: str, suited: str) -> None:
    with pytest.raises(DesktopFtError) as caught:
        adapt(example, 1, signal, as_chat=True)
    assert caught.value.code == "data_wrong_for_objective"
    assert held in caught.value.message
    assert f"({suited})" in caught.value.hint
    assert ", ".join(objectives_for(example)) == suited


@pytest.mark.parametrize(
    ("example", "signal"),
    [
        (Preference((), (HI, HELLO), (NO,)), "pairs"),
        (Preference((Message("system", "a"),), (HELLO,), (NO,)), "judgments"),
        (Preference("", "One", "Two"), "prompts"),
        (Conversation((HELLO,)), "prompts"),
    ],
)
def test_a_row_without_a_question_is_named(example: Example, signal: Signal) -> None:
    with pytest.raises(DesktopFtError, match="Row 7: ") as caught:
        adapt(example, 7, signal, as_chat=True)
    assert caught.value.code == "data_row_malformed"


def test_every_record_suits_its_natural_signal_and_every_objective_has_one() -> None:
    for example in (CHAT, PlainText("a"), TEXT_PAIR, Judged("a", "b", is_good=True), Task("a")):
        signal = natural_signal(example)
        assert len(adapt(example, 1, signal, as_chat=True)) == 1
        assert any(SIGNALS[objective] == signal for objective in objectives_for(example))
    assert set(SIGNALS) == set(OBJECTIVES)


CALL = Message("assistant", "", '{"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}')


@pytest.mark.parametrize(
    ("example", "signal"),
    [
        (Preference((HI,), (CALL,), (NO,)), "pairs"),
        (Judged((HI,), (CALL,), is_good=True), "judgments"),
        (Conversation((HI, CALL)), "prompts"),
        (Conversation((HI, HELLO), "[{}]"), "prompts"),
        (Ranked((HI,), ((CALL,), (NO,)), (1, 0)), "pairs"),
    ],
)
def test_tool_calls_are_learnt_by_sft_alone(example: Example, signal: Signal) -> None:
    with pytest.raises(DesktopFtError, match="Row 7: it holds tool calls"):
        adapt(example, 7, signal, as_chat=True)
    assert adapt(example, 7, "answers", as_chat=True)
