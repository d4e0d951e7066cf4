"""What formats and their roles are, in words, for a person who says which column is what."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication


def _tr(text: str) -> str:
    return QCoreApplication.translate("wizard.column_words", text)


def format_help(name: str) -> str:
    """What a row of a format holds."""
    words = {
        "messages": _tr("Each row is a chat: a list of turns with role and content."),
        "sharegpt": _tr("Each row is a chat: a list of turns with from and value. Torn turns are joined."),
        "alpaca": _tr("Each row is an instruction, perhaps with an input, and the answer to learn."),
        "prompt_completion": _tr("Each row is a prompt that is only read and a completion that is learnt."),
        "qa": _tr("Each row is a question and the answer to learn."),
        "text": _tr("Each row is text that is learnt from start to end."),
        "preference": _tr("Each row has a better and a worse answer to one prompt."),
        "hh_rlhf": _tr("Each row has two transcripts (Human: … Assistant: …) that differ in the last answer."),
        "ultrafeedback": _tr("Each row has answers with ratings; the best is paired with each that is worse."),
        "sharegpt_preference": _tr("Each row has turns with from and value, and a better and a worse answer to them."),
        "alpaca_preference": _tr("Each row has an instruction and a better and a worse answer to it."),
        "ranked": _tr("Each row has several answers with scores or ranks; the best is paired with each that is worse."),
        "kto": _tr("Each row has an answer that is marked good or bad."),
        "prompts": _tr("Each row is a prompt; the model answers it itself."),
        "rl": _tr("Each row is a prompt with the right answer, with which what the model says is compared."),
    }
    return words.get(name, "")


def role_help(role: str) -> str:
    """What stands in the column of a role."""
    words = {
        "messages": _tr("the turns, with role and content"),
        "conversations": _tr("the turns, with from and value"),
        "system": _tr("a system message before the turns"),
        "tools": _tr("the tools that may be called, as JSON"),
        "instruction": _tr("what is asked"),
        "input": _tr("what it is about; follows after a blank line"),
        "output": _tr("the answer to learn"),
        "history": _tr("earlier questions and answers"),
        "prompt": _tr("what is asked, as text or turns"),
        "completion": _tr("what is learnt, as text or turns"),
        "question": _tr("what is asked"),
        "answer": _tr("the right answer"),
        "text": _tr("the text to learn"),
        "chosen": _tr("the better answer, or the chat that ends with it"),
        "rejected": _tr("the worse answer, or the chat that ends with it"),
        "label": _tr("good or bad: true or false, 1 or 0"),
        "answers": _tr("the list of answers"),
        "scores": _tr("a list of scores, higher is better"),
        "ranks": _tr("a list of ranks, 1 is best"),
        "chosen_score": _tr("the better answer's score"),
        "rejected_score": _tr("the worse answer's score"),
    }
    return words.get(role, "")


def line_word(what: str) -> str:
    """What a line of a previewed row is."""
    words = {
        "system": _tr("System"),
        "user": _tr("User"),
        "assistant": _tr("Assistant"),
        "tool": _tr("Tool"),
        "tools": _tr("Tools"),
        "prompt": _tr("Prompt"),
        "completion": _tr("Completion"),
        "text": _tr("Text"),
        "answer": _tr("Right answer"),
        "chosen": _tr("Better answer"),
        "rejected": _tr("Worse answer"),
        "good": _tr("Good answer"),
        "bad": _tr("Bad answer"),
    }
    name, _, number = what.partition(" ")
    return _tr("Score {0}").format(number) if name == "score" else words.get(what, what)
