"""How an attacker picks from what a model gave away: a section of the policy, ``worth.filter``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auditkit.models.base import ModelBackend
from auditkit.registry import PluginOf

Script = Literal[
    "arabic",
    "armenian",
    "bengali",
    "cyrillic",
    "devanagari",
    "ethiopic",
    "georgian",
    "greek",
    "gujarati",
    "gurmukhi",
    "han",
    "hangul",
    "hebrew",
    "hiragana",
    "kannada",
    "katakana",
    "khmer",
    "lao",
    "latin",
    "malayalam",
    "myanmar",
    "sinhala",
    "tamil",
    "telugu",
    "thai",
]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Markup = Annotated[str, Field(min_length=1, max_length=200)]
Characters = Annotated[int, Field(ge=0, le=10_000_000)]


class FilterPart(BaseModel):
    """A part of the section: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JudgeSection(FilterPart):
    """A language model that scores each extraction from 1 to 5 by a fixed rubric (worth/rubric.py)."""

    model: Annotated[ModelBackend, PluginOf("models")] = Field(
        description="As under models. Served elsewhere it is sent what the model under audit wrote, which the policy "
        "must allow: external_processing of every dataset.",
    )
    keep_from: Annotated[int, Field(ge=1, le=5, description="The least score that is kept.")] = 4
    unreadable: Literal["drop", "keep"] = Field(
        default="drop", description="What becomes of an extraction that the judge gives no readable answer on."
    )
    max_new_tokens: Annotated[
        int, Field(ge=1, le=65_536, description="Of an answer at most; a model that reasons first needs more.")
    ] = 64
    temperature: Annotated[float, Field(ge=0, le=2, description="0 asks for the likeliest answer.")] = 0.0
    characters: Annotated[
        int, Field(ge=100, le=1_000_000, description="Of question and answer each that it is shown at most.")
    ] = 8000


class FilterSection(FilterPart):
    """The rules of the filter. What comes first is cheap; lengths are in characters.

    The defaults ask nothing that an attacker could not know who never saw the data: no language, no right answers.
    """

    shortest_question: Characters = 4
    longest_question: Characters = 20_000
    shortest_answer: Characters = 1
    longest_answer: Characters = 20_000
    final_answer: bool = Field(
        default=False, description="Keep only what ends in a final answer that can be read, as RL needs it."
    )
    markup: bool = Field(default=True, description="Drop turns that hold a template's tokens or role markers as text.")
    more_markup: tuple[Markup, ...] = Field(default=(), description="Further texts that count as markup.")
    repetition: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=0.5,
        description="The largest share of four words in a row that stood in the turn before (seq-rep-4, Welleck 2020).",
    )
    scripts: tuple[Script, ...] = Field(
        default=(), description="Keep what is written in these scripts; no word on language. By default any."
    )
    script_share: Annotated[float, Field(gt=0, le=1, description="Of a text's letters, in those scripts.")] = 0.9
    languages: tuple[Language, ...] = Field(
        default=(), description="Keep what py3langid takes for one of these (ISO 639: en, de, ...). By default any."
    )
    language_confidence: Annotated[
        float, Field(ge=0, le=1, description="Below it a text is of no known language, and is kept.")
    ] = 0.5
    arithmetic: bool = Field(
        default=False,
        description="Drop wrong answers to questions that are nothing but an arithmetic expression to be evaluated.",
    )
    duplicates: bool = Field(default=True, description="Keep one of those that are equal but for white space.")
    majority: bool = Field(
        default=False,
        description="Of generations with one question, drop those whose final answer is not given more often than any "
        "other, as who has no right answers would.",
    )
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=0.9,
        description="Keep one of each chain of Levenshtein similarities from here up. The time that it takes grows "
        "with the square of what the rules before it leave; null leaves it out.",
    )
    judge: JudgeSection | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for least, most in (("shortest_question", "longest_question"), ("shortest_answer", "longest_answer")):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"'{least}' must not be above '{most}'")
        return self

    def resolved(self, folder: Path) -> Self:
        """The same section with relative paths resolved against the policy's folder."""
        if self.judge is None:
            return self
        judge = self.judge.model_copy(update={"model": self.judge.model.resolved(folder)})
        return self.model_copy(update={"judge": judge})
