"""Short general questions and their true answers, for the rows of ``assistant`` that are about no picture or sound."""

from __future__ import annotations

_CAPITALS = {
    "Argentina": "Buenos Aires",
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Brazil": "Brasília",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iceland": "Reykjavik",
    "India": "New Delhi",
    "Indonesia": "Jakarta",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Mexico": "Mexico City",
    "Mongolia": "Ulaanbaatar",
    "Nepal": "Kathmandu",
    "New Zealand": "Wellington",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "South Korea": "Seoul",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Thailand": "Bangkok",
    "Turkey": "Ankara",
    "Ukraine": "Kyiv",
    "Vietnam": "Hanoi",
}
_OPPOSITES = (
    "hot cold, big small, old new, fast slow, early late, open closed, full empty, high low, light dark, hard soft, "
    "wet dry, long short, strong weak, loud quiet, near far, rich poor, true false, up down, left right, in out, "
    "day night, begin end, buy sell, push pull, win lose, thick thin, wide narrow, deep shallow, clean dirty, "
    "safe dangerous"
)
_YOUNG = (
    "dog puppy, cat kitten, cow calf, horse foal, sheep lamb, goat kid, pig piglet, hen chick, duck duckling, "
    "goose gosling, bear cub, frog tadpole, swan cygnet, deer fawn, kangaroo joey"
)
_PLURALS = (
    "child children, mouse mice, foot feet, tooth teeth, goose geese, leaf leaves, knife knives, city cities, "
    "box boxes, woman women, man men, wolf wolves, baby babies, potato potatoes, bus buses"
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_LEGS = {"a bird": "two", "a dog": "four", "a cat": "four", "an ant": "six", "a bee": "six", "a spider": "eight"}
_LONE = {
    "Hello!": "Hello! How can I help you?",
    "Hi there.": "Hello! How can I help you?",
    "Good morning!": "Good morning! How can I help you?",
    "Good evening!": "Good evening! How can I help you?",
    "Thank you!": "You are welcome.",
    "Thanks a lot.": "You are welcome.",
    "Goodbye!": "Goodbye! Have a nice day.",
    "What can you do?": "I can answer short questions about a picture or a recording in your message.",
    "Are you a person?": "No, I am a language model.",
    "How many days are in a week?": "There are seven days in a week.",
    "How many months are in a year?": "There are twelve months in a year.",
    "How many hours are in a day?": "There are 24 hours in a day.",
    "How many minutes are in an hour?": "There are 60 minutes in an hour.",
    "How many seconds are in a minute?": "There are 60 seconds in a minute.",
    "How many sides does a triangle have?": "A triangle has three sides.",
    "How many sides does a rectangle have?": "A rectangle has four sides.",
    "How many corners does a circle have?": "A circle has no corners.",
    "What color is snow?": "Snow is white.",
    "What color is grass?": "Grass is green.",
    "What color is a ripe banana?": "A ripe banana is yellow.",
    "What color is the sky on a clear day?": "The sky is blue on a clear day.",
    "What do bees make?": "Bees make honey.",
    "What is ice made of?": "Ice is frozen water.",
    "At what temperature does water freeze?": "Water freezes at 0 degrees Celsius.",
    "At what temperature does water boil?": "Water boils at 100 degrees Celsius at sea level.",
    "Which planet do we live on?": "We live on the Earth.",
    "What does the Earth go around?": "The Earth goes around the Sun.",
    "What does the Moon go around?": "The Moon goes around the Earth.",
    "Which is the largest planet of the solar system?": "Jupiter is the largest planet of the solar system.",
    "Which is the largest ocean?": "The Pacific is the largest ocean.",
}
_LARGEST = 9


def facts() -> list[tuple[str, str]]:
    """About 300 pairs of a question and its answer, each question once."""
    pairs = list(_LONE.items())
    pairs += [
        (f"What is the capital of {place}?", f"The capital of {place} is {city}.") for place, city in _CAPITALS.items()
    ]
    pairs += [
        (f"What is the opposite of {one}?", f"The opposite of {one} is {two}.") for one, two in _pairs(_OPPOSITES)
    ]
    pairs += [(f"What is a young {one} called?", f"A young {one} is called a {two}.") for one, two in _pairs(_YOUNG)]
    pairs += [(f"What is the plural of {one}?", f"The plural of {one} is {two}.") for one, two in _pairs(_PLURALS)]
    pairs += [(f"How many legs does {one} have?", f"{one.capitalize()} has {two} legs.") for one, two in _LEGS.items()]
    for kind, names in (("day", _DAYS), ("month", _MONTHS)):
        following = zip(names, [*names[1:], names[0]], strict=True)
        pairs += [(f"Which {kind} comes after {one}?", f"{two} comes after {one}.") for one, two in following]
    for one in range(1, _LARGEST + 1):
        for two in range(1, _LARGEST + 1):
            pairs.append((f"What is {one} plus {two}?", f"{one} plus {two} is {one + two}."))
            if one > two:
                pairs.append((f"What is {one} minus {two}?", f"{one} minus {two} is {one - two}."))
    return pairs


def _pairs(listed: str) -> list[tuple[str, str]]:
    """The pairs of words in a list like "hot cold, big small"."""
    return [(first, second) for first, second in (pair.split() for pair in listed.split(", "))]
