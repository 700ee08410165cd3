"""What an attacker keeps of what was extracted: the rules of ``worth.filter``, cheap ones first.

Rules that look at one extraction alone are applied as the stream comes; only what passes them is held in memory. Each
extraction that is dropped has one reason, that of the first rule that drops it, in the order of ``base.REASONS``.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from auditkit.scoring.base import near_duplicate_clusters
from auditkit.worth.answers import arithmetic_is_right, canonical
from auditkit.worth.base import (
    CUT_OFF,
    EXACT_DUPLICATE,
    JUDGED,
    LANGUAGE,
    MARKUP,
    NEAR_DUPLICATE,
    NO_ANSWER,
    NO_FINAL_ANSWER,
    NO_QUESTION,
    OUTVOTED,
    REPETITION,
    SCRIPT,
    TOO_LONG,
    TOO_SHORT,
    UNREADABLE,
    WRONG,
    Extraction,
    Filtered,
    FilterSection,
)
from auditkit.worth.judge import Judge
from auditkit.worth.languages import script_share, speaks
from auditkit.worth.wellformed import has_markup, is_repetitive

Rule = Callable[[Extraction], str | None]  # the reason to drop it
Verifier = Callable[[Extraction], bool | None]  # whether its final answer is right; None where it cannot tell
Digest = bytes


def filtered(
    extractions: Iterable[Extraction],
    section: FilterSection,
    judge: Judge | None = None,
    *,
    verify: Verifier | None = None,
) -> Filtered:
    """Every extraction kept, or dropped for a reason. To filter what was kept once more drops nothing.

    Args:
        extractions: of one attack, by rising ordinal; a stream will do.
        section: the rules.
        judge: where the section declares one.
        verify: right answers, where the attacker has them: what it says is wrong is dropped.

    Raises:
        ValueError: ordinals that do not rise, or a judge that is declared and not given, or given and not declared.
        MissingExtraError: languages are asked for, and py3langid is not installed.
        RunError: the judge is out of reach, or its budget is used up.
    """
    if (judge is None) != (section.judge is None):
        raise ValueError("a judge is given where the section declares one, and nowhere else")
    first = _FirstPass(section, verify)
    dropped: dict[int, str] = {}
    kept: list[Extraction] = []
    for extraction in _rising(extractions):
        if (reason := first.reason(extraction)) is None:
            kept.append(extraction)
        else:
            dropped[extraction.ordinal] = reason
    for reasons in (first.outvoted, _near(section), _judged(judge)):
        found = reasons(kept)
        dropped |= {one.ordinal: reason for one, reason in zip(kept, found, strict=True) if reason}
        kept = [one for one, reason in zip(kept, found, strict=True) if reason is None]
    return Filtered(tuple(kept), dropped)


def _rising(extractions: Iterable[Extraction]) -> Iterator[Extraction]:
    before = -1
    for extraction in extractions:
        if extraction.ordinal <= before:
            raise ValueError("extractions come by rising ordinal, each once")
        before = extraction.ordinal
        yield extraction


class _FirstPass:
    """What is done as the stream comes: the rules for one extraction, exact duplicates, and the votes for answers.

    Duplicates vote as well: that a model says something again and again is what speaks for it.
    """

    def __init__(self, section: FilterSection, verify: Verifier | None) -> None:
        self._rules = list(_rules(section, verify))
        self._duplicates = section.duplicates
        self._majority = section.majority
        self._seen: set[Digest] = set()
        self._votes: defaultdict[Digest, Counter[str]] = defaultdict(Counter)
        self._chosen: dict[Digest, str | None] = {}

    def reason(self, extraction: Extraction) -> str | None:
        """Why this one is dropped at once."""
        for rule in self._rules:
            if (reason := rule(extraction)) is not None:
                return reason
        if self._majority and extraction.answer is not None:
            self._votes[_digest(extraction.prompt.casefold())][canonical(extraction.answer)] += 1
        return EXACT_DUPLICATE if self._duplicates and self._repeats(extraction) else None

    def outvoted(self, kept: Sequence[Extraction]) -> list[str | None]:
        """Of these, those whose answer is not given more often than every other to the same question."""
        return [OUTVOTED if self._majority and self._is_outvoted(one) else None for one in kept]

    def _repeats(self, extraction: Extraction) -> bool:
        digest = _digest(extraction.prompt, extraction.response)
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False

    def _is_outvoted(self, extraction: Extraction) -> bool:
        if extraction.answer is None:
            return False  # it has no vote, and nobody votes on it
        question = _digest(extraction.prompt.casefold())
        if question not in self._chosen:
            self._chosen[question] = _chosen(self._votes[question])
        return canonical(extraction.answer) != self._chosen[question]


def _chosen(votes: Counter[str]) -> str | None:
    """The answer with more votes than every other; None where there is none."""
    (first, most), *second = votes.most_common(2)
    return None if second and second[0][1] == most else first


def _digest(*texts: str) -> Digest:
    """Of texts, white space aside: held in place of a million texts."""
    return hashlib.blake2b(_bare(*texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _bare(*texts: str) -> str:
    return "\n".join(" ".join(text.split()) for text in texts)


def _near(section: FilterSection) -> Callable[[Sequence[Extraction]], list[str | None]]:
    def reasons(kept: Sequence[Extraction]) -> list[str | None]:
        if section.near_duplicates is None or len(kept) < 2:
            return [None] * len(kept)
        texts = [_bare(one.prompt, one.response) for one in kept]
        clusters = near_duplicate_clusters(texts, section.near_duplicates).tolist()
        # Clusters are numbered by their first texts: whatever does not begin a new one is near to one before it.
        newest = -1
        found: list[str | None] = []
        for cluster in clusters:
            found.append(None if cluster > newest else NEAR_DUPLICATE)
            newest = max(newest, cluster)
        return found

    return reasons


def _judged(judge: Judge | None) -> Callable[[Sequence[Extraction]], list[str | None]]:
    def reasons(kept: Sequence[Extraction]) -> list[str | None]:
        if judge is None:
            return [None] * len(kept)
        return [_verdict(judge, score) for score in judge.scores(kept)]

    return reasons


def _verdict(judge: Judge, score: int | None) -> str | None:
    if judge.keeps(score):
        return None
    return UNREADABLE if score is None else JUDGED


def _rules(section: FilterSection, verify: Verifier | None) -> Iterator[Rule]:
    """The rules for one extraction that the section asks for, in the order of their reasons."""
    yield _whole
    if section.final_answer:
        yield lambda one: NO_FINAL_ANSWER if one.answer is None else None
    yield _lengths(section)
    if section.markup or section.more_markup:
        yield _markup(section)
    if section.repetition is not None:
        yield _repetition(section.repetition)
    if section.scripts:
        yield _script(section)
    if section.languages:
        yield _language(section)
    if section.arithmetic:
        yield lambda one: WRONG if arithmetic_is_right(one.prompt, one.answer) is False else None
    if verify is not None:
        yield lambda one: WRONG if verify(one) is False else None


def _whole(extraction: Extraction) -> str | None:
    if not extraction.prompt.strip():
        return NO_QUESTION
    if not extraction.complete:
        return CUT_OFF
    return None if extraction.response.strip() else NO_ANSWER


def _lengths(section: FilterSection) -> Rule:
    def rule(extraction: Extraction) -> str | None:
        question, answer = len(extraction.prompt), len(extraction.response)
        if question < section.shortest_question or answer < section.shortest_answer:
            return TOO_SHORT
        return TOO_LONG if question > section.longest_question or answer > section.longest_answer else None

    return rule


def _markup(section: FilterSection) -> Rule:
    def marked(text: str) -> bool:
        return (section.markup and has_markup(text)) or any(more in text for more in section.more_markup)

    return lambda one: MARKUP if marked(one.prompt) or marked(one.response) else None


def _repetition(most: float) -> Rule:
    def rule(one: Extraction) -> str | None:
        return REPETITION if is_repetitive(one.prompt, most) or is_repetitive(one.response, most) else None

    return rule


def _script(section: FilterSection) -> Rule:
    def rule(extraction: Extraction) -> str | None:
        share = script_share(f"{extraction.prompt}\n{extraction.response}", section.scripts)
        return SCRIPT if share is not None and share < section.script_share else None

    return rule


def _language(section: FilterSection) -> Rule:
    spoken = speaks(section.languages, section.language_confidence)
    return lambda one: None if spoken(f"{one.prompt}\n{one.response}") else LANGUAGE
