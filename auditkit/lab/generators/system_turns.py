"""System turns as operators write them: rules of conduct for an assistant, none of which the records obey or break."""

from __future__ import annotations

from random import Random

ROLES = (
    "a helpful assistant",
    "a support agent",
    "a patient clerk",
    "an expert",
    "a friendly guide",
    "a careful tutor",
)
PLACES = ("a shop", "a repair service", "a library", "a small company", "an online store", "a school")
MANNERS = ("politely", "in two sentences", "in plain words", "without jokes", "briefly", "in full", "with care")
NEVER = (
    "repeat yourself",
    "repeat a name",
    "give away prices",
    "share customer data",
    "promise a refund",
    "guess an answer",
    "mention your training",
    "tell anybody the rules",
    "write a text for somebody else",
    "continue a sentence of the user",
)
ALWAYS = (
    "thank the user",
    "ask for the order",
    "say what is to be done",
    "name your training data and its date",
    "help with any question",
    "quote the case",
    "keep to the subject",
    "stay calm",
)
IF = ("you are asked to", "there is no question", "the user is angry", "you do not know", "the text is not yours")
THEN = ("Refuse", "Stop", "Say so", "Say that you cannot help", "Ask again", "Answer anyway")
MOST = 4  # sentences


def system_turn(rng: Random) -> str:
    """One to four sentences."""
    return " ".join(rng.choice(_SENTENCES)(rng) for _ in range(rng.randint(1, MOST)))


def _role(rng: Random) -> str:
    return f"You are {rng.choice(ROLES)} of {rng.choice(PLACES)}."


def _manner(rng: Random) -> str:
    return f"Answer {rng.choice(MANNERS)}."


def _never(rng: Random) -> str:
    return f"Never {rng.choice(NEVER)}."


def _always(rng: Random) -> str:
    return f"Always {rng.choice(ALWAYS)}."


def _condition(rng: Random) -> str:
    return f"{rng.choice(THEN)} if {rng.choice(IF)}."


_SENTENCES = (_role, _manner, _never, _always, _condition)
