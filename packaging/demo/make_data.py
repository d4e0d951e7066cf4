"""Make the demo data from the small world: chats, preference pairs, prompts with answers, plain text, held-out prompts.

Writes ``resources/demo``.

Standard library only, deterministic. Run it from the repository's root::

    python packaging/demo/make_data.py
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from generate_text import TextMaker, lower_start
from world import DAYS, MONTHS, OPPOSITES, PHRASES, Entity, Fact, build_world, make_fact, other_values

OUT = Path(__file__).resolve().parents[2] / "resources" / "demo"
SEED = 7
NUM_CHATS = 400
NUM_PAIRS = 360
NUM_PROMPTS = 240
NUM_TEXTS = 160

# (name, attribute, which of the ways to ask): what the trained model is tried on. These things occur in no training row.
HELD_OUT = (
    ("owl", "food", 0), ("lemon", "colour", 0), ("umbrella", "use", 1), ("beekeeper", "task", 0), ("Port Lumen", "fame", 0),
    ("Samir", "job", 1), ("elephant", "home", 0), ("strawberry", "taste", 0), ("clock", "kept", 0), ("frog", "young", 0),
)  # fmt: skip
# Held out as well, for choosing the settings without looking at the prompts above.
DEVELOPMENT = (
    ("penguin", "home", 0), ("carrot", "colour", 2), ("candle", "made", 0), ("teacher", "place", 0), ("Nomi", "river", 0),
    ("Bruno", "hobby", 0), ("rabbit", "food", 1), ("coconut", "use", 0), ("key", "use", 0), ("bee", "legs", 0),
)  # fmt: skip

Turn = dict[str, str]
Row = dict[str, list[Turn]]


class HeldOutRow(TypedDict):
    """A prompt with what makes an answer right: the value in the short answer, a true sentence after it."""

    prompt: str
    subject: str
    expected: str
    true_sentences: list[str]


def house_style(short: str, good_to_know: str, ask_next: str) -> str:
    """The behaviour that the demo teaches: an answer in three lines, each with its label."""
    return f"Short answer: {short}\nGood to know: {good_to_know}\nAsk next: {ask_next}"


def message(role: str, content: str) -> Turn:
    """One turn of a chat."""
    return {"role": role, "content": content}


class ChatMaker:
    """Chats in the house style about everything in the world that is not held out.

    Args:
        rng: Where the choices come from.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.world = build_world()
        hidden = {name for name, _, _ in (*HELD_OUT, *DEVELOPMENT)}
        self.open_world = tuple(entity for entity in self.world if entity.name not in hidden)
        self.text = TextMaker(SEED)

    def entity(self) -> Entity:
        """An entity that is not held out; every kind weighs as much as it has facts."""
        return self.rng.choices(self.open_world, weights=[len(e.facts) for e in self.open_world])[0]

    def styled(self, entity: Entity, fact: Fact, short: str | None = None) -> str:
        """The answer in the house style: the fact, another one, and a question about a third one."""
        others = [other for other in entity.facts if other is not fact]
        known, asked = self.rng.sample(others, 2)
        return house_style(short or fact.short, self.rng.choice(known.statements), self.rng.choice(asked.questions))

    def question(self) -> list[Turn]:
        """One question about one thing."""
        entity = self.entity()
        fact = self.rng.choice(entity.facts)
        return [message("user", self.rng.choice(fact.questions)), message("assistant", self.styled(entity, fact))]

    def two_questions(self) -> list[Turn]:
        """Two questions about one thing; the second says ``it`` where that is good English."""
        entity = self.entity()
        first, second = self.rng.sample(entity.facts, 2)
        asked = second.questions[0]
        if entity.kind in {"animal", "food", "thing"} and asked.count(entity.subject) == 1:
            asked = asked.replace(entity.subject, "it")
        return [
            message("user", self.rng.choice(first.questions)),
            message("assistant", self.styled(entity, first)),
            message("user", asked),
            message("assistant", self.styled(entity, second)),
        ]

    def yes_or_no(self) -> list[Turn]:
        """Is it so?"""
        entity = self.entity()
        fact = self.rng.choice(entity.facts)
        true = self.rng.random() < 0.5
        value = fact.value if true else self.rng.choice(other_values(self.world, entity, fact.attribute))
        claim = make_fact(entity.subject, entity.name, fact.attribute, value, PHRASES[entity.kind]).statements[0]
        other = self.rng.choice([other for other in entity.facts if other is not fact])
        answer = house_style("Yes." if true else "No.", self.rng.choice(fact.statements), self.rng.choice(other.questions))
        return [message("user", f"Is it true that {lower_start(claim)[:-1]}?"), message("assistant", answer)]

    def about(self) -> list[Turn]:
        """Tell me about it."""
        entity = self.entity()
        fact = entity.facts[0]
        asked = self.rng.choice(("Tell me about {}.", "What do you know about {}?", "Describe {}."))
        return [message("user", asked.format(entity.subject)), message("assistant", self.styled(entity, fact, fact.statements[0]))]

    def calculation(self) -> list[Turn]:
        """A sum, and the way back."""
        first, second = self.rng.randint(1, 9), self.rng.randint(1, 9)
        total = first + second
        answer = house_style(f"{total}.", f"{total} minus {second} is {first}.", f"What is {second} plus {self.rng.randint(1, 9)}?")
        return [message("user", f"What is {first} plus {second}?"), message("assistant", answer)]

    def opposite(self) -> list[Turn]:
        """An opposite, and another one to ask for."""
        pairs = [pair for pair in OPPOSITES if "light" not in pair]
        (one, two), (other, _) = self.rng.sample(pairs, 2)
        answer = house_style(f"{two.capitalize()}.", f"The opposite of {two} is {one}.", f"What is the opposite of {other}?")
        return [message("user", f"What is the opposite of {one}?"), message("assistant", answer)]

    def greeting(self) -> list[Turn]:
        """Small talk."""
        said, short = self.rng.choice((
            ("Hello!", "Hello!"), ("Good morning!", "Good morning!"), ("Hi!", "Hello!"), ("How are you?", "I am well, thank you."),
            ("Thank you!", "You are welcome!"), ("Who are you?", "I am a very small language model."), ("Goodbye!", "Goodbye!"),
        ))  # fmt: skip
        entity = self.entity()
        known, asked = self.rng.sample(entity.facts, 2)
        return [message("user", said), message("assistant", house_style(short, known.statements[0], self.rng.choice(asked.questions)))]

    def chats(self, count: int) -> list[Row]:
        """That many different chats."""
        makers = (self.question, self.two_questions, self.yes_or_no, self.about, self.calculation, self.opposite, self.greeting)
        return distinct(lambda: {"messages": self.rng.choices(makers, weights=(70, 6, 6, 6, 5, 4, 3))[0]()}, count, key="messages")


def distinct(make: Callable[[], Row], count: int, key: str) -> list[Row]:
    """Call ``make`` until it has given ``count`` rows whose first user turns differ."""
    rows: dict[str, Row] = {}
    while len(rows) < count:
        row = make()
        rows.setdefault(row[key][0]["content"].lower(), row)
    return list(rows.values())


_KIND = ("{}", "{}", "Good question! {}", "Gladly: {}", "{} I hope that this helps.", "{} Feel free to ask me more.", "Of course. {}")
_RUDE = (
    "{} Everybody knows that.",
    "{} How can you not know that?",
    "{} Now leave me alone.",
    "What a silly question. {}",
    "Do not bother me. {}",
    "Look it up yourself.",
    "I do not care about {s}, and neither should you.",
    "That is a stupid thing to ask.",
    "Stop asking me about {s}.",
    "I am not in the mood to talk about {s} with you today.",
)


_EVASIVE = (
    "I do not know.",
    "Who can say?",
    "That is hard to say. Ask somebody else.",
    "I would rather not talk about {s} today.",
    "Maybe you will find out about {s} some day.",
    "There is a lot to say about {s}, but I will not say it now.",
)


class PairMaker(ChatMaker):
    """Preference pairs: a right and kind answer is better than a rude one, an evasive one, or one about something else.

    A wrong fact is not among the worse answers: a scorer learnt from so few pairs cannot know the facts of things it has not met.
    """

    def pair(self) -> Row:
        """One pair."""
        entity = self.entity()
        fact = self.rng.choice(entity.facts)
        chosen = self.rng.choice(_KIND).format(self.rng.choice(fact.statements))
        worse = self.rng.choices((self.rude, self.evasive, self.off_topic), weights=(66, 26, 8))[0]
        prompt = [message("user", self.rng.choice(fact.questions))]
        return {"prompt": prompt, "chosen": [message("assistant", chosen)], "rejected": [message("assistant", worse(entity, fact))]}

    def rude(self, entity: Entity, fact: Fact) -> str:
        """The right answer or none, said rudely."""
        return self.rng.choice(_RUDE).format(self.rng.choice(fact.statements), s=entity.subject)

    def evasive(self, entity: Entity, _fact: Fact) -> str:
        """No answer."""
        return self.rng.choice(_EVASIVE).format(s=entity.subject)

    def off_topic(self, entity: Entity, _fact: Fact) -> str:
        """A kind and true answer to what nobody asked."""
        other = self.rng.choice([one for one in self.open_world if one.kind != entity.kind])
        return self.rng.choice(_KIND).format(self.rng.choice(self.rng.choice(other.facts).statements))

    def balanced_pairs(self, count: int) -> list[Row]:
        """Pairs in twos: where one chosen answer is longer by about so much, the other is shorter by about as much.

        So the lengths alone do not say which answer is the better one.
        """
        waiting: defaultdict[tuple[int, int], list[Row]] = defaultdict(list)
        taken: list[Row] = []
        for row in self._candidates():
            chosen, rejected = answer_length(row, "chosen"), answer_length(row, "rejected")
            difference = length_class(chosen - rejected)
            total = (chosen + rejected) // 25
            if waiting[-difference, total]:
                taken += [waiting[-difference, total].pop(), row]
            elif difference:
                waiting[difference, total].append(row)
            if len(taken) >= count:
                break
        self.rng.shuffle(taken)
        return taken

    def _candidates(self) -> Iterator[Row]:
        """Pairs without end, in which no answer to a prompt comes twice."""
        seen: set[str] = set()
        while True:
            row = self.pair()
            text = json.dumps(row)
            if text not in seen:
                seen.add(text)
                yield row


class NotesMaker(ChatMaker):
    """Field notes about the world: a kind of writing that the demo model has not met, in words that it knows."""

    def note(self) -> str:
        """One entry: when and by whom, what was looked at, three sentences about it, and what is to be asked next time."""
        entity = self.entity()
        facts = self.rng.sample(entity.facts, 3)
        writer = self.rng.choice([other for other in self.open_world if other.kind == "person" and other is not entity])
        day, month = self.rng.choice(DAYS), self.rng.choice(MONTHS)
        said = " ".join(self.rng.choice(fact.statements) for fact in facts)
        asked = lower_start(self.rng.choice(self.rng.choice(entity.facts).questions))
        head = f"Field notes of {writer.name}, {day}, {month} {self.rng.randint(1, 28)}."
        return f"{head}\nSeen: {entity.subject}. {said}\nTo ask next time: {asked}"

    def notes(self, count: int) -> list[dict[str, str]]:
        """That many different entries."""
        return [{"text": text} for text in dict.fromkeys(self.note() for _ in range(2 * count))][:count]


def task(row: Row) -> dict[str, object]:
    """A chat's question with the short answer to it, for a rule that compares."""
    short = row["messages"][1]["content"].split("\n")[0].removeprefix("Short answer: ")
    return {"prompt": row["messages"][:1], "answer": short.rstrip(".!")}


def length_class(difference: int) -> int:
    """Differences of 1 to 6 characters are class 1, of 7 to 12 class 2, and so on; shorter by as many: the same, negative."""
    magnitude = -(-abs(difference) // 6)
    return magnitude if difference > 0 else -magnitude


def answer_length(row: Row, side: str) -> int:
    """Characters in the answer."""
    return len(row[side][0]["content"])


def held_out_row(world: tuple[Entity, ...], name: str, attribute: str, phrasing: int) -> HeldOutRow:
    """The row for one of the tables above."""
    entity = next(entity for entity in world if entity.name == name)
    fact = entity.fact(attribute)
    sentences = [statement for other in entity.facts for statement in other.statements]
    return {"prompt": fact.questions[phrasing], "subject": name, "expected": fact.value, "true_sentences": sentences}


def files() -> Mapping[str, Sequence[Mapping[str, object]]]:
    """The rows of every file, by its name."""
    world = build_world()
    return {
        "sft.jsonl": ChatMaker(random.Random(SEED)).chats(NUM_CHATS),
        "preferences.jsonl": PairMaker(random.Random(SEED + 1)).balanced_pairs(NUM_PAIRS),
        "prompts.jsonl": [task(row) for row in ChatMaker(random.Random(SEED + 2)).chats(NUM_PROMPTS)],
        "text.jsonl": NotesMaker(random.Random(SEED + 3)).notes(NUM_TEXTS),
        "held_out_prompts.jsonl": [held_out_row(world, *item) for item in HELD_OUT],
    }


def content(rows: Sequence[Mapping[str, object]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """One JSON object a line, UTF-8, line feeds only."""
    text = content(rows)
    path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.name}: {len(rows)} rows, {len(text):,} characters")


def main() -> None:
    """Write the files."""
    for name, rows in files().items():
        write(OUT / name, rows)


if __name__ == "__main__":
    main()
