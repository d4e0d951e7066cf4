"""The small world that the demo model knows: its things, what is true of them, and how to ask and say it.

Pure data and string work; imports nothing but the standard library. Some of it is true everywhere (a banana is yellow), some of it
only here (the towns, the countries and the people are invented).
"""

from __future__ import annotations

from dataclasses import dataclass

_ANIMALS = """
dog|mammal|fur|four|meat|in a house|puppy|barks
cat|mammal|fur|four|fish|in a house|kitten|purrs
horse|mammal|hair|four|grass|in a stable|foal|neighs
cow|mammal|hair|four|grass|on a farm|calf|moos
sheep|mammal|wool|four|grass|on a hill|lamb|bleats
goat|mammal|hair|four|leaves|on a mountain|kid|bleats
pig|mammal|bristles|four|corn|on a farm|piglet|grunts
lion|mammal|fur|four|meat|on the plains|cub|roars
bear|mammal|fur|four|berries|in a cave|cub|growls
wolf|mammal|fur|four|meat|in the forest|pup|howls
fox|mammal|fur|four|mice|in a den|kit|yelps
rabbit|mammal|fur|four|carrots|in a burrow|bunny|squeaks
mouse|mammal|fur|four|seeds|in a hole|pup|squeaks
elephant|mammal|thick skin|four|leaves|on the plains|calf|trumpets
whale|mammal|smooth skin|no|tiny shrimp|in the ocean|calf|sings
bat|mammal|fur|two|moths|in a cave|pup|clicks
hedgehog|mammal|spines|four|worms|in a garden|hoglet|snuffles
squirrel|mammal|fur|four|nuts|in a tree|kitten|chatters
hen|bird|feathers|two|grain|in a coop|chick|clucks
duck|bird|feathers|two|water plants|on a pond|duckling|quacks
goose|bird|feathers|two|grass|by a lake|gosling|honks
owl|bird|feathers|two|mice|in a tree|owlet|hoots
eagle|bird|feathers|two|rabbits|on a cliff|eaglet|screams
swan|bird|feathers|two|water plants|on a lake|cygnet|hisses
penguin|bird|feathers|two|fish|on the ice|chick|honks
parrot|bird|feathers|two|fruit|in the jungle|chick|talks
frog|amphibian|wet skin|four|flies|in a pond|tadpole|croaks
snake|reptile|scales|no|mice|in the desert|snakelet|hisses
turtle|reptile|a hard shell|four|water plants|in a river|hatchling|grunts
lizard|reptile|scales|four|insects|on a warm rock|hatchling|chirps
crocodile|reptile|scales|four|fish|in a river|hatchling|bellows
salmon|fish|scales|no|shrimp|in a river|fry|makes no sound
shark|fish|rough skin|no|fish|in the ocean|pup|makes no sound
bee|insect|fine hair|six|nectar|in a hive|larva|buzzes
ant|insect|a hard shell|six|crumbs|in a nest|larva|makes no sound
butterfly|insect|tiny scales|six|nectar|in a meadow|caterpillar|makes no sound
"""

_FOODS = """
a banana|fruit|yellow|sweet|on a tall plant|make a smoothie
an apple|fruit|red|sweet|on a tree|bake a pie
a pear|fruit|green|sweet|on a tree|make a tart
a cherry|fruit|red|sweet|on a tree|bake a cake
a lemon|fruit|yellow|sour|on a tree|make lemonade
an orange|fruit|orange|juicy|on a tree|press juice
a plum|fruit|purple|sweet|on a tree|cook jam
a peach|fruit|orange|juicy|on a tree|make a tart
a strawberry|fruit|red|sweet|on a low plant|cook jam
a blueberry|fruit|blue|sweet|on a bush|bake muffins
a raspberry|fruit|pink|sour|on a bush|cook jam
a grape|fruit|purple|juicy|on a vine|press juice
a lime|fruit|green|sour|on a tree|make lemonade
a melon|fruit|green|juicy|on a vine|make a fruit salad
a coconut|fruit|brown|nutty|on a palm tree|make a curry
a carrot|vegetable|orange|sweet|under the ground|cook soup
a potato|vegetable|brown|mild|under the ground|make mash
an onion|vegetable|white|sharp|under the ground|cook soup
a tomato|vegetable|red|juicy|on a vine|make a sauce
a cucumber|vegetable|green|fresh|on a vine|make a salad
a pumpkin|vegetable|orange|mild|on the ground|cook soup
a cabbage|vegetable|green|mild|on the ground|make a stew
a radish|vegetable|pink|sharp|under the ground|make a salad
a pepper|vegetable|red|fresh|on a bush|make a sauce
a beetroot|vegetable|purple|earthy|under the ground|make a salad
spinach|vegetable|green|earthy|on the ground|fill a pie
garlic|vegetable|white|sharp|under the ground|make a sauce
rice|grain|white|mild|in wet fields|make a curry
wheat|grain|golden|nutty|in dry fields|bake bread
corn|grain|yellow|sweet|in tall fields|make porridge
a walnut|nut|brown|nutty|on a tree|bake a cake
a hazelnut|nut|brown|nutty|on a bush|make a spread
mint|herb|green|fresh|in a garden|brew tea
basil|herb|green|fresh|in a pot|make a sauce
ginger|spice|golden|hot|under the ground|brew tea
cinnamon|spice|brown|warm|on a tree|bake muffins
"""

_THINGS = """
a hammer|steel|drive nails|in a toolbox
a saw|steel|cut wood|in a workshop
a spoon|metal|eat soup|in a drawer
a knife|steel|cut bread|in a drawer
a pot|metal|cook soup|on a shelf
a cup|clay|drink tea|in a cupboard
a plate|clay|serve dinner|in a cupboard
a bottle|glass|carry water|in a bag
a candle|wax|light a room|on a table
a lamp|brass|light a room|on a desk
a book|paper|read stories|on a shelf
a pencil|wood|draw pictures|in a box
a brush|wood|paint walls|in a jar
a chair|wood|sit down|in a kitchen
a bed|wood|sleep|in a bedroom
a blanket|wool|keep warm|on a bed
a pillow|cotton|rest your head|on a bed
a scarf|wool|keep warm|on a hook
a coat|wool|keep dry|on a hook
an umbrella|cloth|keep dry|by the door
a boot|leather|walk in mud|by the door
a rope|cotton|tie a boat|in a shed
a ladder|wood|reach high places|in a shed
a bucket|metal|carry water|in a shed
a broom|straw|sweep the floor|in a corner
a key|brass|open a lock|in a pocket
a mirror|glass|see your face|on a wall
a clock|brass|tell the time|on a wall
a window|glass|let in light|in a wall
a basket|straw|carry fruit|in a pantry
a needle|steel|sew clothes|in a box
a kite|paper|play in the wind|in an attic
"""

_JOBS = """
a baker|bakes bread|in a bakery|an oven
a farmer|grows food|on a farm|a tractor
a teacher|teaches children|in a school|chalk
a doctor|treats sick people|in a hospital|a stethoscope
a nurse|cares for patients|in a hospital|a thermometer
a pilot|flies planes|at an airport|a radio
a sailor|steers ships|on a ship|a compass
a fisher|catches fish|at a harbour|a net
a carpenter|builds furniture|in a workshop|a saw
a tailor|sews clothes|in a small shop|a needle
a painter|paints pictures|in a studio|a brush
a gardener|looks after plants|in a garden|a spade
a librarian|lends books|in a library|a catalogue
a cook|prepares meals|in a kitchen|a knife
a smith|shapes iron|in a forge|a hammer
a miner|digs for ore|in a mine|a pickaxe
a potter|makes cups|in a pottery|a wheel
a shepherd|looks after sheep|on a hill|a crook
a postman|brings letters|on the road|a bicycle
a clockmaker|repairs clocks|in a small shop|a tiny screwdriver
a beekeeper|collects honey|in a meadow|a smoker
a dancer|dances on stage|in a theatre|soft shoes
"""

_TOWNS = """
Tolmar|Aldoria|the Sill|glass bells|rainy|leek pie
Veldin|Aldoria|the Arrow|old bridges|windy|onion soup
Korvik|Brennia|the Ash|warm springs|snowy|salted fish
Ostaven|Brennia|the Frost|carved boats|cold|barley bread
Larento|Corvane|the Amber|lemon trees|sunny|lemon cake
Mirasol|Corvane|the Amber|painted doors|warm|tomato rice
Pellam|Dunmere|the Reed|floating markets|foggy|duck stew
Harrowby|Dunmere|the Thorn|apple orchards|mild|apple dumplings
Quill|Dunmere|the Reed|paper mills|rainy|mushroom toast
Saphira|Estelle|the Opal|blue towers|sunny|fig bread
Nomi|Estelle|the Opal|night gardens|warm|mint noodles
Brask|Ferrow|the Iron|clock towers|cold|potato cakes
Underhill|Ferrow|the Iron|crystal caves|mild|walnut stew
Juna|Galdera|the Drift|kite festivals|windy|peach soup
Port Lumen|Galdera|the Lantern|a tall lighthouse|stormy|crab pancakes
Wexley|Galdera|the Drift|wool carpets|foggy|sheep cheese
"""

_PEOPLE = """
Mira|baker|Tolmar|a cat|cherries|paint stars
Oskar|fisher|Korvik|a dog|potatoes|carve spoons
Lena|teacher|Larento|a parrot|lemons|sing
Tomas|carpenter|Veldin|a goat|walnuts|play chess
Aya|doctor|Saphira|a turtle|peaches|swim
Bruno|cook|Mirasol|a hen|tomatoes|dance
Nils|sailor|Port Lumen|a mouse|coconuts|tell stories
Ida|gardener|Nomi|a hedgehog|strawberries|read maps
Pavel|smith|Brask|a horse|onions|play the drum
Rosa|tailor|Wexley|a sheep|plums|fly kites
Felix|pilot|Juna|an owl|grapes|watch birds
Greta|librarian|Quill|a cat|pears|write letters
Samir|painter|Saphira|a rabbit|melons|play the flute
Hanna|nurse|Harrowby|a duck|apples|ride a bicycle
Jonas|miner|Underhill|a dog|carrots|collect stones
Wanda|potter|Pellam|a frog|blueberries|bake cakes
Emil|shepherd|Wexley|a dog|cabbages|whistle
Clara|dancer|Mirasol|a swan|oranges|cook
Otto|clockmaker|Brask|a mouse|radishes|solve puzzles
Vera|beekeeper|Juna|a goose|pumpkins|plant trees
"""

# attribute -> (ways to ask, ways to say, the short value). {s} a dog, {S} A dog, {n} dog, {v} the value, {a} the value with its article.
_Phrases = dict[str, tuple[tuple[str, ...], tuple[str, ...], str]]

_ANIMAL_PHRASES: _Phrases = {
    "kind": (
        ("What kind of animal is {s}?", "What sort of animal is {s}?", "Which group of animals does {s} belong to?"),
        ("{S} is {a}.", "{S} counts as {a}."),
        "{a}",
    ),
    "covering": (
        ("What covers the body of {s}?", "What is {s} covered with?", "What does {s} have on its body?"),
        ("The body of {s} is covered with {v}.", "{S} is covered with {v}."),
        "{v}",
    ),
    "legs": (
        ("How many legs does {s} have?", "Can you tell me how many legs {s} has?", "What number of legs does {s} have?"),
        ("{S} has {v} legs.", "You can count {v} legs on {s}."),
        "{v} legs",
    ),
    "food": (
        ("What does {s} eat?", "What does {s} like to eat?", "What should I feed {s}?", "What is the food of {s}?"),
        ("{S} eats {v}.", "{S} likes to eat {v}."),
        "{v}",
    ),
    "home": (
        ("Where does {s} live?", "Where can I find {s}?", "Where is the home of {s}?"),
        ("{S} lives {v}.", "You can find {s} {v}."),
        "{v}",
    ),
    "young": (
        ("What is a young {n} called?", "What do you call a baby {n}?", "What is the name for a young {n}?"),
        ("A young {n} is called {a}.", "The baby of {s} is called {a}."),
        "{a}",
    ),
    "sound": (
        ("What sound does {s} make?", "What noise does {s} make?", "How does {s} sound?"),
        ("{S} {v}.", "If you listen, {s} {v}."),
        "it {v}",
    ),
}

_FOOD_PHRASES: _Phrases = {
    "kind": (
        ("What kind of food is {s}?", "What sort of food is {s}?", "Which group of foods does {s} belong to?"),
        ("{S} is {a}.", "{S} counts as {a}."),
        "{a}",
    ),
    "colour": (
        ("What colour is {s}?", "Which colour does {s} have?", "What is the colour of {s}?", "Can you tell me the colour of {s}?"),
        ("{S} is {v}.", "The colour of {s} is {v}."),
        "{v}",
    ),
    "taste": (
        ("How does {s} taste?", "What does {s} taste like?", "What is the taste of {s}?"),
        ("{S} tastes {v}.", "The taste of {s} is {v}."),
        "{v}",
    ),
    "grows": (
        ("Where does {s} grow?", "Where can I see {s} grow?", "Where do farmers find {s}?"),
        ("{S} grows {v}.", "You can find {s} {v}."),
        "{v}",
    ),
    "use": (
        ("What can I make with {s}?", "What is {s} good for?", "What can you do with {s} in the kitchen?"),
        ("You can {v} with {s}.", "Many people use {s} to {v}."),
        "you can {v}",
    ),
}

_THING_PHRASES: _Phrases = {
    "made": (
        ("What is {s} made of?", "Which material is {s} made of?", "What do people make {s} from?"),
        ("{S} is made of {v}.", "People make {s} from {v}."),
        "{v}",
    ),
    "use": (
        ("What is {s} for?", "What do people use {s} for?", "What can I do with {s}?", "Why would I need {s}?"),
        ("You use {s} to {v}.", "{S} helps you to {v}."),
        "to {v}",
    ),
    "kept": (
        ("Where do people keep {s}?", "Where should I look for {s}?", "Where does {s} belong?"),
        ("People keep {s} {v}.", "{S} belongs {v}."),
        "{v}",
    ),
}

_JOB_PHRASES: _Phrases = {
    "task": (
        ("What does {s} do?", "What is the job of {s}?", "What does {s} do all day?"),
        ("{S} {v}.", "Every day {s} {v}."),
        "{s} {v}",
    ),
    "place": (
        ("Where does {s} work?", "Where can I meet {s}?", "In which place does {s} work?"),
        ("{S} works {v}.", "You can meet {s} {v}."),
        "{v}",
    ),
    "tool": (
        ("What does {s} use?", "Which tool does {s} use?", "What does {s} need for work?"),
        ("{S} uses {v}.", "{S} needs {v} for work."),
        "{v}",
    ),
}

_TOWN_PHRASES: _Phrases = {
    "country": (
        ("In which country is {s}?", "Where is {s}?", "Which country does {s} belong to?"),
        ("{S} is a town in {v}.", "{S} lies in {v}."),
        "in {v}",
    ),
    "river": (
        ("Which river flows through {s}?", "What is the river in {s} called?", "Is there a river in {s}?"),
        ("{v_cap} flows through {s}.", "The river in {s} is called {v}."),
        "{v}",
    ),
    "fame": (
        ("What is {s} famous for?", "What is {s} known for?", "Why do people visit {s}?"),
        ("{S} is famous for {v}.", "People visit {s} for {v}."),
        "{v}",
    ),
    "weather": (
        ("How is the weather in {s}?", "What is the weather like in {s}?", "What weather can I expect in {s}?"),
        ("The weather in {s} is {v}.", "It is often {v} in {s}."),
        "{v}",
    ),
    "dish": (
        ("What do people eat in {s}?", "Which dish should I try in {s}?", "What is the best dish in {s}?"),
        ("People in {s} love {v}.", "The best dish in {s} is {v}."),
        "{v}",
    ),
}

_PERSON_PHRASES: _Phrases = {
    "job": (
        ("What is the job of {s}?", "What does {s} do for a living?", "What work does {s} do?"),
        ("{S} is {a}.", "{S} works as {a}."),
        "{a}",
    ),
    "town": (
        ("Where does {s} live?", "In which town does {s} live?", "What is the home town of {s}?"),
        ("{S} lives in {v}.", "The home of {s} is in {v}."),
        "in {v}",
    ),
    "pet": (
        ("Which pet does {s} have?", "What animal does {s} keep?", "Does {s} have a pet?"),
        ("{S} has {v}.", "{S} keeps {v} as a pet."),
        "{v}",
    ),
    "food": (
        ("What does {s} like to eat?", "What is the favourite food of {s}?", "Which food does {s} love?"),
        ("{S} loves {v}.", "The favourite food of {s} is {v}."),
        "{v}",
    ),
    "hobby": (
        ("What does {s} do for fun?", "What is the hobby of {s}?", "What does {s} like to do in the evening?"),
        ("{S} likes to {v}.", "In the evening {s} likes to {v}."),
        "to {v}",
    ),
}

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("day", "night"), ("happy", "sad"), ("fast", "slow"), ("old", "new"),
    ("light", "dark"), ("open", "closed"), ("full", "empty"), ("wet", "dry"), ("loud", "quiet"), ("hard", "soft"), ("long", "short"),
    ("high", "low"), ("rich", "poor"), ("strong", "weak"), ("early", "late"), ("left", "right"), ("near", "far"), ("clean", "dirty"),
    ("heavy", "light"), ("thick", "thin"), ("deep", "shallow"), ("brave", "afraid"), ("kind", "mean"), ("true", "false"),
)  # fmt: skip

MIXES: tuple[tuple[str, str, str], ...] = (
    ("red", "yellow", "orange"), ("red", "blue", "purple"), ("blue", "yellow", "green"), ("red", "white", "pink"),
    ("black", "white", "grey"), ("red", "green", "brown"),
)  # fmt: skip

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def with_article(word: str) -> str:
    """``puppy`` -> ``a puppy``; words that take no article stay as they are."""
    if word == "fry":
        return word
    return ("an " if word[0] in "aeiou" else "a ") + word


def capitalised(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    """One true thing.

    Attributes:
        attribute: What it is about, such as ``colour``.
        value: As in the table, such as ``yellow``.
        questions: Ways to ask for it.
        statements: Ways to say it, whole sentences.
        short: The bare answer, capitalised, with a full stop.
    """

    attribute: str
    value: str
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    short: str


@dataclass(frozen=True)
class Entity:
    """One thing of the world.

    Attributes:
        kind: ``animal``, ``food``, ``thing``, ``job``, ``town`` or ``person``.
        subject: As it stands in a sentence: ``a dog``, ``rice``, ``Tolmar``.
        name: Without the article.
        facts: Everything that is known of it.
    """

    kind: str
    subject: str
    name: str
    facts: tuple[Fact, ...]

    def fact(self, attribute: str) -> Fact:
        """The fact with that attribute."""
        return next(fact for fact in self.facts if fact.attribute == attribute)


def make_fact(subject: str, name: str, attribute: str, value: str, phrases: _Phrases) -> Fact:
    """Fill in the ways to ask and to say one value."""
    questions, statements, short = phrases[attribute]
    words = {
        "s": subject, "S": capitalised(subject), "n": name, "v": value, "a": with_article(value), "v_cap": capitalised(value),
    }  # fmt: skip
    return Fact(
        attribute,
        value,
        tuple(question.format(**words) for question in questions),
        tuple(statement.format(**words) for statement in statements),
        capitalised(short.format(**words)) + ".",
    )


PHRASES: dict[str, _Phrases] = {
    "animal": _ANIMAL_PHRASES,
    "food": _FOOD_PHRASES,
    "thing": _THING_PHRASES,
    "job": _JOB_PHRASES,
    "town": _TOWN_PHRASES,
    "person": _PERSON_PHRASES,
}


def _entities(kind: str, table: str) -> list[Entity]:
    phrases = PHRASES[kind]
    found: list[Entity] = []
    for line in table.strip().splitlines():
        first, *values = line.split("|")
        assert len(values) == len(phrases), line
        subject = with_article(first) if kind == "animal" else first
        name = subject.removeprefix("a ").removeprefix("an ")
        facts = tuple(make_fact(subject, name, key, value, phrases) for key, value in zip(phrases, values, strict=True))
        found.append(Entity(kind, subject, name, facts))
    return found


def build_world() -> tuple[Entity, ...]:
    """Every entity, in the order of the tables."""
    tables = {"animal": _ANIMALS, "food": _FOODS, "thing": _THINGS, "job": _JOBS, "town": _TOWNS, "person": _PEOPLE}
    return tuple(entity for kind, table in tables.items() for entity in _entities(kind, table))


def other_values(world: tuple[Entity, ...], entity: Entity, attribute: str) -> tuple[str, ...]:
    """Values that the attribute takes in other entities of the kind, and not in this one: wrong answers, in table order."""
    right = entity.fact(attribute).value
    values = dict.fromkeys(other.fact(attribute).value for other in world if other.kind == entity.kind)
    return tuple(value for value in values if value != right)
