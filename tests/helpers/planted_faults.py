"""A file of questions and answers with planted faults, and beside each kind rows that look alike and are none.

Everything is made from templates with a seed; no real person's data are in it.
"""

# ruff: noqa: E501, RUF001 (sentences in many languages)

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Row = tuple[str, str]
Maker = Callable[[random.Random, "Words"], Row]

_NOUNS = (
    "lamp bridge kettle garden ladder window basket pillow bucket candle mirror hammer saddle anchor blanket curtain helmet drawer shovel rudder "
    "violin orchard tunnel lantern quilt compass barrel chimney gutter hinge pulley sieve trowel wrench beacon canoe harbour meadow cellar attic"
).split()
_VERBS = "clean mend paint carry polish measure store lift label oil balance cover repair sharpen weigh shake rinse tighten loosen inspect".split()
_PLACES = (
    "Alder Bay|Birchfield|Corran|Dunmere|Elmstead|Farrow|Glenby|Holloway|Inver|Jarrow|Kelso|Lowick|Marden|Norham|Oakley|Penrith|Quarn|Ryton"
).split("|")
_ADJECTIVES = (
    "old heavy wooden narrow bright rusty gentle hollow quiet sturdy crooked silver muddy clever foggy mild brisk amber frosty calm".split()
)
_TIMES = (
    "in the morning|after the rain|before winter|every second week|when the wind drops|at low tide|during the harvest|on market day".split(
        "|"
    )
)
_ASKS = (
    "How do I {verb} a {adjective} {noun} {time}?|Explain how people in {place} {verb} a {noun}.|Why should one {verb} the {noun} {time}?"
    "|Describe a {adjective} {noun} from {place}.|What are good ways to {verb} a {adjective} {noun}?|Tell me about the {noun} of {place}."
).split("|")
_SAYS = (
    "Take the {adjective} {noun} and {verb} it {time}.|In {place} they {verb} the {noun} with a {adjective} cloth.|Never {verb} a {noun} near the {other}."
    "|A {adjective} {noun} lasts longer if you {verb} it {time}.|Most people keep the {noun} beside the {other} and {verb} both."
    "|The {noun} in {place} was {adjective} and it stood behind the {other}.|First {verb} the {other}, and then look at the {noun} again."
).split("|")


@dataclass
class Words:
    """Makes harmless text; no two of its rows are alike."""

    rnd: random.Random

    def fill(self, template: str) -> str:
        pick = self.rnd.choice
        return template.format(
            verb=pick(_VERBS), noun=pick(_NOUNS), other=pick(_NOUNS), place=pick(_PLACES), adjective=pick(_ADJECTIVES), time=pick(_TIMES)
        )

    def ask(self) -> str:
        return self.fill(self.rnd.choice(_ASKS))

    def say(self, sentences: int = 0) -> str:
        return " ".join(self.fill(self.rnd.choice(_SAYS)) for _ in range(sentences or self.rnd.randint(3, 6)))

    def amid(self, piece: str) -> str:
        """The piece between two sentences."""
        return f"{self.say(2)} {piece} {self.say(2)}"

    def token(self, length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(self.rnd.choice(alphabet) for _ in range(length))

    def digits(self, length: int) -> str:
        return self.token(length, string.digits)


@dataclass
class Planted:
    """What was written.

    Attributes:
        train: The training file.
        eval: The evaluation file.
        faults: By code the 0-based rows that have the fault.
        look_alikes: By code how many rows look like it and are none.
    """

    train: Path
    eval: Path
    faults: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    look_alikes: dict[str, int] = field(default_factory=dict[str, int])


def _misread(text: str) -> str:
    return "".join(chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252") for byte in text.encode("utf-8"))


_ACCENTED = (
    "Le café près de la forêt était fermé.|A gente não sabe se o pão já está à mesa.|Die Größe der Schüssel hängt vom Gefäß ab.|It’s a “nice” day – really…"
    "|El niño comió piña en la montaña.|Tiếng Việt rất khó đối với người nước ngoài.|Så här gör man en bra lampa på sjön.|The price was £5, about 6 €."
).split("|")
_HONEST = (
    "Le château a été bâti près d'une forêt; « c'est là », dit-elle.|Não há pão à mesa: a maçã já está aqui, disse o João. “AMANHÔ, disse.|Người Việt nói tiếng Việt rất nhanh ở đây."
    "|Größe und Maß heißen hier gleich – ja!|EL NIÑO COMIÓ… Y SE FUE.|The word “CAFÉ…” stood on the door.|A length of 1.5 Å–2.0 Å is short.|Voilà\u00a0! Où\u00a0? À\u00a0Paris."
).split("|")


def _mojibake(rnd: random.Random, words: Words) -> Row:
    broken = _misread(rnd.choice(_ACCENTED)) if rnd.random() < 0.85 else "The caf\ufffd was closed."
    return words.ask(), words.amid(broken)


def _no_mojibake(rnd: random.Random, words: Words) -> Row:
    return words.ask(), words.amid(rnd.choice(_HONEST))


def _html(rnd: random.Random, words: Words) -> Row:
    say = words.say(2)
    kinds = (
        f"<p>{say}</p><p>{words.say(1)}</p>", f"{say}<br><br>{words.say(1)}", f"{say}&nbsp;{words.say(1)}", f"{say} Salt &amp; water. {words.say(1)}",
        f'{say} <a href="/p/{words.digits(4)}">Read more</a>', f'<div class="post"><span>{say}</span></div>', f"<li>{say}</li><li>{words.say(1)}</li>",
        f"It&#39;s so. {say}", f"<b>Note:</b> {say}", f"{say} <!-- end of post -->", f"<h2>{words.say(1)}</h2>{say}",
    )  # fmt: skip
    return words.ask(), rnd.choice(kinds)


def _no_html(rnd: random.Random, words: Words) -> Row:
    say = words.say(2)
    kinds = (
        (words.ask(), f"{say}\n```html\n<p>{words.say(1)}</p>\n<br>\n```"), ("How do I make a word bold in HTML?", f"Use <b>word</b>. {say}"),
        (f"Write a web page about a {rnd.choice(_NOUNS)}.", f"<html><body><p>{say}</p></body></html>"), (words.ask(), f"Type `<br>` or `&nbsp;` there. {say}"),
        (words.ask(), f"If a < b and c > d; then R&D; {say}"), (words.ask(), f"A List<String> or Map<K, V> holds it. {say}"),
        (f"What does the tag <em> do? {words.ask()}", f"It is for emphasis: <em>so</em>. {say}"), (words.ask(), f"Replace <name> and <place> by your own. {say}"),
    )  # fmt: skip
    return rnd.choice(kinds)


_REFUSALS = (
    "I'm sorry, but I can't assist with that.|As an AI language model, I don't have personal opinions. {say}|I cannot help with that request. {say}"
    "|I am unable to provide advice on this topic. {say}|As an AI, I cannot visit places. {say}|I apologize, but I cannot fulfill this request."
    "|Sorry, but as a large language model I have no access to that. {say}|I won't be able to help with this.|{say} However, as an AI language model, I cannot be sure."
).split("|")
_NO_REFUSALS = (
    'He said, "I cannot help with that," and went home. {say}|I can\'t help but smile at it. {say}|As an AI researcher, I often {say}|The phrase "As an AI language model" is worn out. {say}'
    "|Dear Ann, I'm sorry, but I can't make it to the meeting. {say}|We are sorry for the delay of the parcel. {say}|A large language model predicts the next word. {say}"
    "|I cannot find the {noun} in {place}; look in the attic. {say}|She could not help with that, so they waited. {say}"
).split("|")


def _refusals(rnd: random.Random, words: Words) -> Row:
    return words.ask(), rnd.choice(_REFUSALS).replace("{say}", words.say(2))


def _no_refusals(rnd: random.Random, words: Words) -> Row:
    return words.ask(), words.fill(rnd.choice(_NO_REFUSALS).replace("{say}", "{{}}")).replace("{}", words.say(2))


def _api_keys(rnd: random.Random, words: Words) -> Row:
    t = words.token
    kinds = (
        f"sk-{t(48)}", f"sk-proj-{t(64)}", f"AKIA{t(16, string.ascii_uppercase + '234567')}", f"ghp_{t(36)}", f"xoxb-{words.digits(12)}-{t(24)}", f"AIza{t(35)}",
        f"sk_live_{t(24)}", f"hf_{t(34)}", f"glpat-{t(20)}", f"SG.{t(22)}.{t(43)}", f"npm_{t(36)}",
    )  # fmt: skip
    return words.ask(), words.amid(f"The key is {rnd.choice(kinds)} here.")


def _no_api_keys(rnd: random.Random, words: Words) -> Row:
    kinds = (
        "sk-" + "x" * 48, "YOUR_API_KEY", "AKIAIOSFODNN7EXAMPLE", f"commit {words.token(40, '0123456789abcdef')}", "ghp_" + "X" * 36, "api_key = os.environ['KEY']",
        f"{words.token(8, '0123456789abcdef')}-1234-4bcd-9876-{words.token(12, '0123456789abcdef')}", "sk-your-key-goes-here", "sk-1234567890abcdefghijklmnopqrstuvwxyz1234567890",
    )  # fmt: skip
    return words.ask(), words.amid(f"It reads {rnd.choice(kinds)} there.")


def _emails(rnd: random.Random, words: Words) -> Row:
    host = f"{words.token(7, string.ascii_lowercase)}.{rnd.choice(('com', 'org', 'de', 'co.uk', 'io'))}"
    name = rnd.choice(("{0}.{1}", "{0}_{1}", "{0}{1}+news", "{0}")).format(
        words.token(5, string.ascii_lowercase), words.token(6, string.ascii_lowercase)
    )
    return words.ask(), words.amid(rnd.choice(("Write to {0}.", "Mail: <{0}>", "({0}) knows more.")).format(f"{name}@{host}"))


def _no_emails(rnd: random.Random, words: Words) -> Row:
    kinds = (
        "user@example.com", "jane@mail.example.org", "root@localhost", "git@github.com:team/tool.git", "a@b", "@maker on the web", "react@18.2.0", "picture@2x.png",
        "admin@site.test", "ops@printer.local",
    )  # fmt: skip
    return words.ask(), words.amid(f"Such as {rnd.choice(kinds)} for instance.")


def _phones(rnd: random.Random, words: Words) -> Row:
    d = words.digits
    first = rnd.choice("23456789")
    kinds = (
        f"+49 30 {d(6)}", f"+1 ({first}{d(2)}) {first}{d(2)}-{d(4)}", f"({first}{d(2)}) {first}{d(2)}-{d(4)}", f"{first}{d(2)}-{first}{d(2)}-{d(4)}", f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}",
        f"020 7{d(3)} {d(4)}", f"+4479{d(8)}", f"0151 {d(8)}", f"+91 9{d(4)} {d(5)}",
    )  # fmt: skip
    return words.ask(), words.amid(f"Call {rnd.choice(kinds)} then.")


def _no_phones(rnd: random.Random, words: Words) -> Row:
    d = words.digits
    kinds = (
        f"Order 4{d(9)}", "On 2024-05-12 14:30", "The host 192.168.10.250", "Version 10.0.19045.3570", "ISBN 978-3-16-148410-0", f"Invoice {d(4)}-{d(5)}", "From 1990-2000 to 2020",
        f"A total of {rnd.randint(1, 9)},{d(3)},{d(3)}", "On 12.05.2023", f"Ticket #{d(3)}-{d(3)}-{d(4)}", "The years 2019 2020 2021",
    )  # fmt: skip
    return words.ask(), words.amid(f"{rnd.choice(kinds)} it was.")


def _check_digit(digits: str) -> str:
    doubled = [int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(digits))]
    return str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def _card_number(rnd: random.Random, words: Words) -> str:
    begin, length = rnd.choice((("4", 16), ("53", 16), ("2345", 16), ("37", 15), ("6011", 16)))
    body = begin + words.digits(length - len(begin) - 1)
    return body + _check_digit(body)


def _grouped(number: str, sign: str) -> str:
    return sign.join((number[:4], number[4:10], number[10:]) if len(number) == 15 else (number[:4], number[4:8], number[8:12], number[12:]))


def _cards(rnd: random.Random, words: Words) -> Row:
    number = _card_number(rnd, words)
    return words.ask(), words.amid(f"The card {rnd.choice((number, _grouped(number, ' '), _grouped(number, '-')))} was taken.")


def _no_cards(rnd: random.Random, words: Words) -> Row:
    number = _card_number(rnd, words)
    wrong = number[:-1] + str((int(number[-1]) + rnd.randint(1, 9)) % 10)
    kinds = (
        f"The card {_grouped(wrong, ' ')}",
        f"Order {number}",
        "The test card 4242 4242 4242 4242",
        "IBAN DE89 3704 0044 0532 0130 00",
        f"The number {wrong}",
    )
    return words.ask(), words.amid(f"{rnd.choice(kinds)} was shown.")


def _tool_calls(rnd: random.Random, words: Words) -> Row:
    noun = rnd.choice(_NOUNS)
    kinds = (
        f'<tool_call>\n{{"name": "find", "arguments": {{"what": "{noun}"}}\n</tool_call>', f"<tool_call>{{'name': 'find', 'arguments': {{'what': '{noun}'}}}}</tool_call>",
        f'<tool_call>\n{{"arguments": {{"what": "{noun}"}}}}\n</tool_call>', f'<tool_call>\n{{"name": "find", "arguments": {{"what": "{noun}"}}}}',
        f'<tool_call>\nfind(what="{noun}")\n</tool_call>',
    )  # fmt: skip
    return words.ask(), f"{words.say(1)}\n{rnd.choice(kinds)}"


def _no_tool_calls(rnd: random.Random, words: Words) -> Row:
    noun = rnd.choice(_NOUNS)
    kinds = (
        f'<tool_call>\n{{"name": "find", "arguments": {{"what": "{noun}"}}}}\n</tool_call>', "The <tool_call> tag begins a call.", "It stands in `<tool_call>{oops}</tool_call>` then.",
        '<tool_call>\n[{"name": "find", "arguments": "{}"}]\n</tool_call>', f"```\n<tool_call>{{broken {noun}\n```",
    )  # fmt: skip
    return words.ask(), f"{words.say(2)}\n{rnd.choice(kinds)}"


_FOREIGN = (
    "Der alte Eimer steht nicht im Keller, aber er ist noch gut und wird bald wieder gebraucht.|Le vieux seau est dans la cave et il ne faut pas le laisser sous la pluie."
    "|El cubo viejo está en la casa y no se puede usar porque tiene un agujero.|O balde velho está na cozinha e não pode ser usado, mas ainda é bom."
    "|Il vecchio secchio è nella cantina e non si può usare perché ha un buco.|De oude emmer staat in de kelder en wordt niet meer gebruikt door de mensen."
    "|Старое ведро стоит в подвале, и его больше никто не берёт с собой.|旧桶在地下室里，没有人再用它了。|古いバケツは地下室にあり、もう誰も使っていません。"
).split("|")
_LANGUAGES = "German|French|Spanish|Portuguese|Italian|Dutch|Russian|Chinese|Japanese".split("|")


def _language_mix(rnd: random.Random, words: Words) -> Row:
    return words.ask(), f"{rnd.choice(_FOREIGN)} {words.digits(3)}"


def _no_language_mix(rnd: random.Random, words: Words) -> Row:
    which = rnd.randrange(len(_FOREIGN))
    kinds = (
        (f"Translate into {_LANGUAGES[which]}: {words.say(1)}", f"{_FOREIGN[which]} {words.digits(3)}"),
        (f"{words.ask()} Answer in {_LANGUAGES[which]}.", f"{_FOREIGN[which]} {words.digits(3)}"),
        (words.ask(), f'{words.say(4)} In another tongue: "{_FOREIGN[which][:40]}"'),
        (words.ask(), f"```\nfor {rnd.choice(_NOUNS)} in range({words.digits(2)}): print({words.digits(4)})\n```"),
    )
    return rnd.choice(kinds)


def _one_word(rnd: random.Random, words: Words) -> Row:
    return f"{words.ask()} {words.fill('Think of the {other} too.')}", rnd.choice(("Yes", "Ok", "Sure.", "Fine", "No", "Maybe", "Done"))


def _no_one_word(rnd: random.Random, words: Words) -> Row:
    noun = rnd.choice(_NOUNS)
    kinds = (
        (words.fill("Is the {adjective} {noun} from {place} near the {other}?"), rnd.choice(("Yes", "No."))), (f"Which is heavier, a feather or a {noun}? {words.say(1)} Answer in one word.", noun.title()),
        (f"Classify the mood: {words.say(2)}", rnd.choice(("Positive", "Negative"))), (f"What is {words.digits(3)} + {words.digits(3)}?", words.digits(3)),
        (f"{words.say(2)} Where does it stand?", rnd.choice(_PLACES).split()[0]), (f"Translate '{noun}' with care: {words.say(1)}", "Ding"), (words.ask(), f"旧桶在地下室里没有人再用它了{words.digits(3)}"),
    )  # fmt: skip
    return rnd.choice(kinds[:6])


def _empty(rnd: random.Random, words: Words) -> Row:
    return words.ask(), rnd.choice(("", " ", "\n\n", "\u200b", "...", "—"))


def _no_empty(rnd: random.Random, words: Words) -> Row:
    return f"What is {words.digits(4)} minus {words.digits(4)}? {words.say(1)}", rnd.choice((words.digits(1), f"-{words.digits(2)}", "0."))


MAKERS: dict[str, tuple[Maker, Maker]] = {
    "mojibake": (_mojibake, _no_mojibake),
    "html": (_html, _no_html),
    "refusals": (_refusals, _no_refusals),
    "api_keys": (_api_keys, _no_api_keys),
    "emails": (_emails, _no_emails),
    "phones": (_phones, _no_phones),
    "cards": (_cards, _no_cards),
    "tool_calls": (_tool_calls, _no_tool_calls),
    "language_mix": (_language_mix, _no_language_mix),
    "one_word_answers": (_one_word, _no_one_word),
    "empty_answers": (_empty, _no_empty),
}
"""By code: what makes a row with the fault, and one that looks alike."""
OF_TWO = ("exact_duplicates", "near_duplicates", "leakage")
"""Faults of a row beside another."""


def _edited(rnd: random.Random, text: str) -> str:
    """The same text after a light hand: another case, one word more, one letter less, other punctuation."""
    words = text.split(" ")
    at = rnd.randrange(1, len(words) - 1)
    match rnd.randrange(4):
        case 0:
            words[at] = words[at].upper()
        case 1:
            words.insert(at, "really")
        case 2:
            words[at] = words[at][:-2] or "x"
        case _:
            words = " ".join(words).replace(",", " -").replace(".", "!").split(" ")
    return " ".join(words)


def _templated(words: Words) -> list[Row]:
    """Two rows of one template that differ in what they are about."""
    made: list[Row] = []
    for noun in words.rnd.sample(_NOUNS, 2):
        number = words.digits(6)
        answer = f"A {noun} should be dry before you {{0}} it. Put the {noun} on a table, take a soft cloth, and wipe the {noun} twice; that takes {number} minutes."
        made.append((f"How do I care for my {noun} when I come home?", answer.format("store")))
    return made


def plant(folder: Path, num_rows: int, num_faults: int, num_look_alikes: int, seed: int) -> Planted:
    """Write a training and an evaluation file.

    Args:
        folder: Where to.
        num_rows: About so many rows.
        num_faults: Rows with each fault.
        num_look_alikes: Rows that look like each fault and are none.
        seed: Of everything.
    """
    rnd = random.Random(seed)
    words = Words(rnd)
    rows: list[tuple[Row, str | None]] = []
    planted = Planted(folder / "train.jsonl", folder / "eval.jsonl")
    for code, (fault, look_alike) in MAKERS.items():
        rows += [(fault(rnd, words), code) for _ in range(num_faults)]
        rows += [(look_alike(rnd, words), None) for _ in range(num_look_alikes)]
        planted.look_alikes[code] = num_look_alikes
    held_out = [(words.ask(), words.say()) for _ in range(num_faults * 3)]
    for at in range(num_faults):
        question, answer = held_out[at]
        rows.append(((question, answer if at % 2 else _edited(rnd, answer)), "leakage"))
    for _ in range(num_look_alikes // 2):
        rows += [(row, None) for row in _templated(words)]
    rows += [((words.ask(), words.say()), None) for _ in range(num_rows - len(rows) - 2 * num_faults)]
    rnd.shuffle(rows)
    harmless = [row for row, code in rows if code is None and len(row[1].split()) > 20]
    for at, original in enumerate(rnd.sample(harmless, 2 * num_faults)):
        is_exact = at % 2 == 0
        rows.append(
            (original if is_exact else (original[0], _edited(rnd, original[1])), "exact_duplicates" if is_exact else "near_duplicates")
        )
    for code in (*MAKERS, *OF_TWO):
        planted.faults[code] = {index for index, (_, mark) in enumerate(rows) if mark == code}
    _write(planted.train, [row for row, _ in rows])
    _write(planted.eval, held_out)
    return planted


def _write(path: Path, rows: list[Row]) -> None:
    lines = [json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n" for question, answer in rows]
    path.write_text("".join(lines), encoding="utf-8")
