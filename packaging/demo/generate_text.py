"""Text of the small world for training the demo model from scratch: chats, paragraphs, fact sheets, stories, sums, small talk.

Deterministic: the same seed and count give the same documents. Standard library only. Run it to read some of the text::

    python packaging/demo/generate_text.py --count 20
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator

from world import DAYS, MIXES, MONTHS, OPPOSITES, PHRASES, Entity, build_world, capitalised, make_fact, other_values

Messages = list[tuple[str, str]]

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip

_SYSTEM = (
    "You are a helpful assistant.",
    "You are a friendly helper who answers in plain sentences.",
    "Answer the questions of the user.",
    "You know the animals, foods, things, towns and people of a small world.",
)

_SMALL_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("Hello!", "Hi!", "Hello there.", "Good morning!", "Hey."),
        ("Hello! What would you like to know?", "Hello! How can I help you today?"),
    ),
    (
        ("How are you?", "How are you today?", "How do you feel?"),
        ("I am well, thank you. How are you?", "I am fine. What can I do for you?"),
    ),
    (
        ("Who are you?", "What are you?", "Tell me about yourself."),
        ("I am a very small language model. I know a small world of animals, foods, things, towns and people.",),
    ),
    (
        ("What can you do?", "How can you help me?", "What do you know?"),
        ("I can answer short questions about animals, foods, things, jobs, towns and people.",),
    ),
    (("Thank you!", "Thanks.", "Thank you for your help."), ("You are welcome!", "You are welcome. I am glad that I could help.")),
    (("Goodbye!", "Bye.", "See you later."), ("Goodbye! Have a nice day.", "Goodbye! Come back soon.")),
    (("I am sad.", "I feel sad today."), ("I am sorry to hear that. A walk and a warm cup of tea may help.",)),
    (("I am happy.", "I feel great today."), ("That is good to hear! What made you happy?",)),
    (("I am tired.", "I feel tired."), ("Then take a rest. A warm blanket and a soft pillow will help.",)),
    (("I am hungry.", "What should I eat?"), ("You could eat an apple, or cook a warm soup.",)),
    (("It is raining.", "It rains a lot today."), ("Then take an umbrella and a coat, and keep dry.",)),
    (("I am cold.", "It is cold today."), ("Then put on a coat and a scarf, and drink some warm tea.",)),
    (("Are you a person?", "Are you human?"), ("No, I am a small language model.",)),
    (
        ("Tell me a joke.", "Do you know a joke?"),
        ("Why did the clock go to bed? It was out of time.", "What does a bee do on a holiday? It takes the buzz."),
    ),
    (("Is the sky blue?", "What colour is the sky?"), ("The sky is blue on a clear day.",)),
    (("What colour is grass?", "Is grass green?"), ("Grass is green.",)),
    (("What colour is snow?", "Is snow white?"), ("Snow is white.",)),
)

_UNKNOWN_STARTS = ("Zor", "Plim", "Kra", "Vun", "Tev", "Glo", "Sna", "Bri", "Woo", "Fen", "Dra", "Hux")
_UNKNOWN_ENDS = ("bia", "dle", "max", "tor", "pix", "nak", "lop", "gar", "wick", "zen")


class TextMaker:
    """Draws documents about the world from one random generator.

    Args:
        seed: Same seed, same documents.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = build_world()
        kinds = ("animal", "food", "thing", "job", "town", "person")
        self.by_kind = {kind: [e for e in self.world if e.kind == kind] for kind in kinds}
        self._exchanges: tuple[tuple[Callable[[], Messages], int], ...] = (
            (self.question, 46),
            (self.yes_or_no, 9),
            (self.which_one, 6),
            (self.about, 8),
            (self.question_about, 6),
            (self.find_by_fact, 6),
            (self.calculation, 6),
            (self.opposite, 3),
            (self.mix, 2),
            (self.calendar, 3),
            (self.small_talk, 4),
            (self.unknown, 2),
        )

    def documents(self, count: int) -> Iterator[str]:
        """Yield ``count`` documents: ChatML for chats, bare text for the rest."""
        makers = (self.chat, self.paragraph, self.sheet, self.story, self.notes)
        for _ in range(count):
            maker = self.rng.choices(makers, weights=(70, 10, 6, 8, 6))[0]
            yield maker()

    def chat(self) -> str:
        """One to five exchanges; sometimes they stay with one subject and say ``it``."""
        messages: Messages = [("system", self.rng.choice(_SYSTEM))] if self.rng.random() < 0.12 else []
        if self.rng.random() < 0.25:
            messages += self.same_subject()
        else:
            makers, weights = zip(*self._exchanges, strict=True)
            for _ in range(self.rng.choices((1, 2, 3, 4), weights=(60, 22, 12, 6))[0]):
                messages += self.rng.choices(makers, weights=weights)[0]()
        return render_chat([(role, self.as_typed(text) if role == "user" else text) for role, text in messages])

    def as_typed(self, text: str) -> str:
        """A question as people type it: mostly as it is, at times with a polite start, with ``the``, or without capital and mark."""
        draw = self.rng.random()
        if draw < 0.08:
            return self.rng.choice(("Please tell me: ", "Quick question: ", "I would like to know: ", "Excuse me, ")) + lower_start(text)
        if draw < 0.16:
            return text.replace(" a ", " the ", 1).replace(" an ", " the ", 1)
        if draw < 0.24:
            return text.lower().rstrip("?.!") or text
        return text

    def entity(self) -> Entity:
        """Any entity; every kind weighs as much as it has facts."""
        return self.rng.choices(self.world, weights=[len(e.facts) for e in self.world])[0]

    def question(self) -> Messages:
        """A plain question and a plain answer of one sentence."""
        fact = self.rng.choice(self.entity().facts)
        return [("user", self.rng.choice(fact.questions)), ("assistant", self.answer(fact.statements, fact.short))]

    def answer(self, statements: tuple[str, ...], short: str) -> str:
        """The usual statement, mostly; now and then another one, or the bare value."""
        draw = self.rng.random()
        if draw < 0.07:
            return short
        return statements[0] if draw < 0.85 else statements[1]

    def yes_or_no(self) -> Messages:
        """Is it so? A right and a wrong value are as likely."""
        entity = self.entity()
        fact = self.rng.choice(entity.facts)
        statement = fact.statements[0]
        if self.rng.random() < 0.5:
            asked, answer = statement, f"Yes, {lower_start(statement)}"
        else:
            value = self.rng.choice(other_values(self.world, entity, fact.attribute))
            wrong = make_fact(entity.subject, entity.name, fact.attribute, value, PHRASES[entity.kind])
            asked, answer = wrong.statements[0], f"No, {lower_start(statement)}"
        lead = self.rng.choice(("Is it true that", "Is this right:", "True or false:", "Am I right that"))
        return [("user", f"{lead} {lower_start(asked)[:-1]}?"), ("assistant", answer)]

    def which_one(self) -> Messages:
        """Two entities of a kind; one of them has the value."""
        one = self.entity()
        fact = self.rng.choice(one.facts)
        others = [e for e in self.by_kind[one.kind] if e.fact(fact.attribute).value != fact.value]
        pair = [one, self.rng.choice(others)]
        self.rng.shuffle(pair)
        first, second = pair
        asked = f"{capitalised(first.subject)} or {second.subject}: which of the two fits this: {fact.attribute}, {fact.value}?"
        return [("user", asked), ("assistant", fact.statements[0])]

    def about(self) -> Messages:
        """Tell me about it: two to four facts in sentences."""
        entity = self.entity()
        asked = self.rng.choice(
            (
                "Tell me about {s}.",
                "What do you know about {s}?",
                "Tell me more about {s}.",
                "Describe {s}.",
                "Tell me something about {s}.",
            )
        )
        return [("user", asked.format(s=entity.subject)), ("assistant", self.sentences(entity, self.rng.randint(1, 4)))]

    def question_about(self) -> Messages:
        """What could be asked about it: prepares a model for asking back."""
        entity = self.entity()
        asked = self.rng.choice(
            (
                "What can I ask about {s}?",
                "Give me a question about {s}.",
                "What is a good question about {s}?",
                "Ask me something about {s}.",
            )
        )
        return [("user", asked.format(s=entity.subject)), ("assistant", self.rng.choice(self.rng.choice(entity.facts).questions))]

    def find_by_fact(self) -> Messages:
        """Name one that has the value."""
        entity = self.entity()
        fact = self.rng.choice(entity.facts)
        asked = self.rng.choice(("Name {k} with this: {f}, {v}.", "Which {n} has this: {f}, {v}?"))
        kind = "an animal" if entity.kind == "animal" else f"a {entity.kind}"
        words = {"k": kind, "n": entity.kind, "f": fact.attribute, "v": fact.value}
        return [("user", asked.format(**words)), ("assistant", fact.statements[0])]

    def same_subject(self) -> Messages:
        """A talk that stays with one entity; later questions may say ``it``."""
        entity = self.entity()
        facts = self.rng.sample(entity.facts, self.rng.randint(2, min(4, len(entity.facts))))
        messages: Messages = []
        for turn, fact in enumerate(facts):
            asked = self.rng.choice(fact.questions)
            if turn and entity.kind not in {"person", "job"} and asked.count(entity.subject) == 1 and self.rng.random() < 0.5:
                asked = asked.replace(entity.subject, "it")
            if turn and self.rng.random() < 0.3:
                asked = "And " + (asked if asked.startswith(("Can",)) else lower_start(asked))
            messages += [("user", asked), ("assistant", self.answer(fact.statements, fact.short))]
        return messages

    def calculation(self) -> Messages:
        """Sums and differences from zero to twenty, in figures or in words."""
        first = self.rng.randint(0, 10)
        second = self.rng.randint(0, 10)
        if self.rng.random() < 0.5:
            total = first + second
            sign, word = "+", "plus"
        else:
            first, second = max(first, second), min(first, second)
            total = first - second
            sign, word = "-", "minus"
        if self.rng.random() < 0.75:
            asked = self.rng.choice(
                (f"What is {first} {word} {second}?", f"How much is {first} {word} {second}?", f"What is {first} {sign} {second}?")
            )
            return [("user", asked), ("assistant", f"{first} {word} {second} is {total}.")]
        spelled = f"{NUMBERS[first]} {word} {NUMBERS[second]}"
        return [("user", f"What is {spelled}?"), ("assistant", f"{capitalised(spelled)} is {NUMBERS[total]}.")]

    def opposite(self) -> Messages:
        """Opposites, both ways."""
        one, two = self.rng.choice(OPPOSITES)
        if self.rng.random() < 0.5 and two != "light":
            one, two = two, one
        if one == "light":
            two = "dark"
        asked = self.rng.choice(("What is the opposite of {}?", "Which word is the opposite of {}?", "Tell me the opposite of {}."))
        return [("user", asked.format(one)), ("assistant", f"The opposite of {one} is {two}.")]

    def mix(self) -> Messages:
        """Two colours make a third."""
        one, two, result = self.rng.choice(MIXES)
        if self.rng.random() < 0.5:
            one, two = two, one
        asked = self.rng.choice(
            ("What do you get when you mix {} and {}?", "Which colour do {} and {} make?", "What colour is {} mixed with {}?")
        )
        return [("user", asked.format(one, two)), ("assistant", f"{capitalised(one)} and {two} make {result}.")]

    def calendar(self) -> Messages:
        """The day or month before or after."""
        names, unit = self.rng.choice(((DAYS, "day"), (MONTHS, "month")))
        index = self.rng.randrange(len(names))
        step, word = self.rng.choice(((1, "after"), (-1, "before")))
        other = names[(index + step) % len(names)]
        asked = self.rng.choice((f"Which {unit} comes {word} {names[index]}?", f"What {unit} is {word} {names[index]}?"))
        return [("user", asked), ("assistant", f"The {unit} {word} {names[index]} is {other}.")]

    def small_talk(self) -> Messages:
        """Greetings, thanks, moods."""
        said, replies = self.rng.choice(_SMALL_TALK)
        return [("user", self.rng.choice(said)), ("assistant", self.rng.choice(replies))]

    def unknown(self) -> Messages:
        """A thing that is not in the world: say so."""
        name = self.rng.choice(_UNKNOWN_STARTS) + self.rng.choice(_UNKNOWN_ENDS)
        asked = self.rng.choice(
            ("Where is {}?", "Who is {}?", "What is {} famous for?", "Tell me about {}.", "What does {} eat?", "How does {} taste?")
        )
        return [("user", asked.format(name)), ("assistant", f"I do not know {name}. I only know my small world.")]

    def sentences(self, entity: Entity, count: int) -> str:
        """That many facts, each in a sentence."""
        facts = self.rng.sample(entity.facts, min(count, len(entity.facts)))
        return " ".join(self.rng.choice(fact.statements) for fact in facts)

    def paragraph(self) -> str:
        """A few facts about one or two entities, no chat."""
        entities = [self.entity() for _ in range(self.rng.randint(1, 2))]
        return " ".join(self.sentences(entity, self.rng.randint(2, 5)) for entity in entities)

    def sheet(self) -> str:
        """A fact sheet: a heading, then one attribute a line."""
        entity = self.entity()
        facts = self.rng.sample(entity.facts, len(entity.facts))
        return "\n".join([f"{capitalised(entity.name)} ({entity.kind})", *(f"{capitalised(f.attribute)}: {f.short}" for f in facts)])

    def notes(self) -> str:
        """Questions and answers in lines, as on a quiz card."""
        lines: list[str] = []
        for _ in range(self.rng.randint(1, 4)):
            fact = self.rng.choice(self.entity().facts)
            lines += [f"Question: {self.rng.choice(fact.questions)}", f"Answer: {self.rng.choice((fact.short, *fact.statements))}"]
        return "\n".join(lines)

    def story(self) -> str:
        """A very short story of two people, true to the tables."""
        one, two = self.rng.sample(self.by_kind["person"], 2)
        thing = self.rng.choice(self.by_kind["thing"])
        start = self.rng.choice(("One morning", "One day", "On a cold evening", "Last Sunday", "Early in spring"))
        need = self.rng.choice(("needed {t}", "was looking for {t}", "wanted to buy {t}")).format(t=thing.subject)
        lines = [
            f"{one.fact('job').statements[0]} {one.fact('town').statements[0]}",
            f"{start} {one.name} {need}, because {lower_start(thing.fact('use').statements[0])}",
            f"{two.name}, who loves {two.fact('food').value}, came to visit and brought {self.rng.choice(self.by_kind['food']).subject}.",
            f'"{thing.fact("kept").statements[0][:-1]}," said {two.name}. They looked there together and found it.',
            f"In the evening {one.name} and {two.name} talked about {one.fact('pet').value} and {two.fact('pet').value}.",
            self.rng.choice(
                (
                    "They were happy.",
                    "It was a good day.",
                    "Then they slept well.",
                    f"Then {two.name} went home to {two.fact('town').value}.",
                )
            ),
        ]
        return " ".join(lines)


_PROPER = frozenset(entity.name.split(" ")[0] for entity in build_world() if entity.kind in {"town", "person"})


def lower_start(sentence: str) -> str:
    """The sentence for use inside another one: a leading article or pronoun in lower case, names as they are."""
    first = sentence.split(" ", 1)[0]
    return sentence if first in _PROPER else sentence[:1].lower() + sentence[1:]


def render_chat(messages: Messages) -> str:
    """The messages in ChatML, exactly as the model's chat template writes them."""
    return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)


def main() -> None:
    """Print some documents."""
    parser = argparse.ArgumentParser(description="Print text of the demo model's small world.")
    parser.add_argument("--count", type=int, default=20, help="number of documents")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generator")
    arguments = parser.parse_args()
    for document in TextMaker(arguments.seed).documents(arguments.count):
        print(document, end="\n---\n")


if __name__ == "__main__":
    main()
