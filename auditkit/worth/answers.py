"""Final answers: how they are read from a response, when two are the same, and which can be checked."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from auditkit.corpus.base import TraceMarkers, final_answer

BOXED = TraceMarkers("", "", r"\boxed{}")
HASHES = TraceMarkers("", "", "####")  # GSM8K's
LONGEST = 200  # characters of what is announced as an answer; more is an explanation
_ANNOUNCED = re.compile(r"\banswer\s*(?:is|:|=)[ \t]*:?[ \t]*([^\n]+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;]\s")
_NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)])[-−])?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?")
_FRACTION = re.compile(r"\\[dt]?frac\{(-?[0-9]+)\}\{([0-9]+)\}")
_DRESSING = re.compile(r"\\(?:text|mathrm|mathbf)\b|\\[()\[\]]|[$*`{}]")


def read_answer(response: str, trace: TraceMarkers | None = None) -> str | None:
    """The final answer of a response, None where none can be read.

    In this order: as the dataset marks it; ``\\boxed{}``; behind ``####``; behind "answer is" or "answer:", the last
    time that stands there; the last number. Without its reasoning trace, where the dataset says how that is marked.
    """
    outside = final_answer(response, replace(trace, answer="")) if trace else response.strip()
    marked = [found for found in (trace, BOXED, HASHES) if found and found.answer]
    found = next((answer for marks in marked if (answer := _marked(outside, marks))), None)
    return found or _announced(outside) or _last_number(outside)


def same_answer(a: str, b: str) -> bool:
    """Whether two final answers say the same: as numbers where both are, else by their words."""
    return canonical(a) == canonical(b)


def canonical(answer: str) -> str:
    """One form for all the ways of writing an answer: 1,000 and 1000.0, 1/2 and \\frac{1}{2}, $x$ and X."""
    bare = _DRESSING.sub("", _FRACTION.sub(r"\1/\2", answer)).replace("−", "-")
    words = " ".join(bare.casefold().split()).rstrip(" .")
    number = as_number(words)
    return words if number is None else str(number)


def as_number(text: str) -> Fraction | None:
    """The number that a text is, None where it is none."""
    if len(text) > LONGEST or not _NUMBER.fullmatch(text):
        return None
    whole, _, below = text.replace(",", "").replace("−", "-").partition("/")
    if below and not int(below):
        return None
    return Fraction(whole) / (int(below) if below else 1)


def _marked(text: str, marks: TraceMarkers) -> str:
    """The marked answer; "" where none is marked, for which ``final_answer`` gives the whole text."""
    found = final_answer(text, TraceMarkers("", "", marks.answer))
    return "" if found == text else found


def _announced(text: str) -> str:
    found = _ANNOUNCED.findall(text) if "answer" in text.lower() else []
    answer = _SENTENCE_END.split(found[-1].strip(" \t*:"))[0].rstrip(".") if found else ""
    return answer if len(answer) <= LONGEST else ""


def _last_number(text: str) -> str | None:
    """Looked for around the last digit: a long text is not read through for it."""
    last = max(map(text.rfind, "0123456789"))
    found = _NUMBER.findall(text, max(0, last - LONGEST), last + 1) if last >= 0 else []
    return found[-1] if found else None


# Questions that are nothing but an expression.

_ASKED = re.compile(
    r"(?:(?:what is|what's|calculate|compute|evaluate|find|how much is)\b)?[\s:]*"
    r"(?P<expression>[-+(]*[0-9][-+*/×x÷·^().,\s0-9]*?)\s*(?:=\s*)?[?.]*",
    re.IGNORECASE,
)
_WRITTEN = {"×": "*", "x": "*", "X": "*", "·": "*", "÷": "/", "^": "**"}
_OPERATIONS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
MOST_POWER = 64
MOST_BITS = 4096


def arithmetic_is_right(prompt: str, answer: str | None) -> bool | None:
    """Whether the answer to a question that is nothing but an arithmetic expression is right; None for any other.

    A decimal answer is right where the value rounds to it. A question without an operator asks nothing.
    """
    given = as_number(canonical(answer)) if answer else None
    value = asked_value(prompt) if given is not None else None
    if given is None or value is None:
        return None
    return value == given or _rounds_to(value, answer or "")


def asked_value(prompt: str) -> Fraction | None:
    """The value of the expression that a question consists of; None where it is no such question, or has no value."""
    found = _ASKED.fullmatch(prompt.strip()) if len(prompt) <= LONGEST else None
    if found is None:
        return None
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", found["expression"])
    written = "".join(_WRITTEN.get(character, character) for character in text)
    try:
        tree = ast.parse(" ".join(written.split()), mode="eval").body
        return None if isinstance(tree, ast.Constant) else _value(tree)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.AST) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(_value(node.left), _value(node.right))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not an arithmetic expression")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or abs(exponent) > MOST_POWER or bits * abs(exponent) > MOST_BITS:
        raise ValueError("a power that is not worked out")
    return Fraction(base ** int(exponent))


def _rounds_to(value: Fraction, answer: str) -> bool:
    """Whether the value, to as many decimals as the answer has, is the answer."""
    decimals = canonical_decimals(answer)
    given = as_number(canonical(answer))
    return decimals > 0 and given is not None and abs(value - given) * 2 * 10**decimals <= 1


def canonical_decimals(answer: str) -> int:
    """Digits behind the point of an answer that is one decimal number; 0 for any other."""
    found = re.fullmatch(r"-?[0-9,]*\.([0-9]+)", " ".join(_DRESSING.sub("", answer).split()).replace("−", "-"))
    return len(found[1]) if found else 0
