"""Word problems of arithmetic with a known number of steps, made by rule."""

from random import Random

import attrs

_MOST_STEPS = 8
_NAMES = ("Ida", "Omar", "Lena", "Felix", "Nora", "Samir", "Greta", "Hugo", "Mira", "Pavel")
_THINGS = ("stickers", "apples", "nails", "tickets", "books", "marbles", "bottles", "tiles", "stamps", "eggs")
_SHOPS = ("market", "fair", "workshop", "school", "station", "harbour")
_ASIDES = (
    "It is a sunny day.", "The colours are red and green.", "{name} likes {things} very much.",
    "The {shop} is near the river.", "A friend watches.", "The {shop} opens early.",
)  # fmt: skip
_STEPS = (
    "{name} gets {n} more at the {shop}.",
    "Then {name} gives {n} of the {things} to {other}.",
    "{other} brings {m} bags with {n} {things} each.",
    "Half of them are sold at the {shop}.",
    "{p}% of the {things} turn out to be broken and are thrown away.",
    "{other} has {m} times as many as {name}.",
    "{name} buys {m} boxes of {n} {things} for ${n} per box.",
    "Every day {name} uses {m} of them, for {n} days.",
    "A third of the rest goes to {other}.",
    "{other} has {n} fewer {things} than {name}.",
    "The remaining {things} are split equally between {m} friends.",
    "{name} earns ${n} an hour and works {m} hours a week at the {shop}.",
    "If more than {n} are left, {other} takes {m} of them.",
    "Each of them costs ${n}, with a discount of {p}%.",
)
_QUESTIONS = (
    "How many {things} does {name} have now?", "How many {things} are left?",
    "How many do they have in total?",
    "How much money does {name} spend?", "How many more {things} does {name} have than {other}?",
)  # fmt: skip


@attrs.frozen
class Sum:
    """A problem.

    Attributes:
        text: What is asked.
        steps: Operations that it takes.
    """

    text: str
    steps: int


def word_problems(random: Random, count: int) -> list[Sum]:
    """Make problems of one to eight steps, as many of each."""
    return [_problem(random, 1 + place % _MOST_STEPS) for place in range(count)]


def _problem(random: Random, steps: int) -> Sum:
    name, other = random.sample(_NAMES, 2)
    words = {"name": name, "other": other, "things": random.choice(_THINGS), "shop": random.choice(_SHOPS)}
    sentences = ["{name} has {n} {things}.", *random.sample(_STEPS, steps)]
    for _ in range(random.randrange(3)):
        sentences.insert(random.randrange(len(sentences) + 1), random.choice(_ASIDES))
    sentences.append(random.choice(_QUESTIONS))
    return Sum(" ".join(_filled(sentence, words, random) for sentence in sentences), steps)


def _filled(sentence: str, words: dict[str, str], random: Random) -> str:
    numbers = {"n": random.randint(3, 90), "m": random.randint(2, 9), "p": random.randrange(5, 60, 5)}
    return sentence.format(**words, **numbers)
