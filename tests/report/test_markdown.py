"""The summary for a pull request: what it says, and that nothing in it acts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from auditkit.report.base import AuditReport, DeclaredWaiver, Verdict
from auditkit.report.history import EarlierRuns
from auditkit.report.html_format import HtmlFormat
from auditkit.report.markdown_format import MOST_BYTES, MarkdownFormat, summary
from auditkit.report.markdown_text import code, prose
from auditkit.report.waivers import WaivedRule, Waiver
from tests.report.builder import build_report, rule, small_report, with_texts
from tests.report.hostile import HOSTILE

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ACTS = {
    **HOSTILE,
    "pipe": "a | b || c \\| d",
    "backticks": "`x` ``y`` ``` z",
    "mention": "@octocat and @octo-org/team, mail release@example.com",
    "reference": "#123 GH-123 octo-org/repo#1 !12 ~label %v1 JIRA-99",
    "digest": "3fa94c1b0d",
    "links": "[x](https://evil.example) https://evil.example www.evil.example <https://evil.example>",
    "pictures": "![x](https://evil.example/x.png) [![a]][b]",
    "emphasis": "**bold** _it_ ~~gone~~ __init__",
    "blocks": "# heading\n\n- list\n1. one\n> quote\n```\nfence",
    "entity": "&lt;script&gt; &#64;octocat",
    "emoji": ":tada: :+1:",
    "footnote": "[^1] [^1]: x",
    "mathematics": "$x$ $$y$$ $`z`$",
}
# What GitHub makes something of, after Markdown was read, in any text that is not code.
POST = re.compile(r"(?:^|\W)@\w|#\d|\bGH-\d|https?://|www\.|:\w+:|[!~%]\d", re.IGNORECASE)


def shown(markdown: str) -> tuple[set[str], str]:
    """(kinds of tokens, all text outside code) of what a renderer makes of it."""
    kinds, texts = set(), []
    for token in MARKDOWN.parse(markdown):
        kinds.add(token.type)
        for child in token.children or ():
            kinds.add(child.type)
            if child.type == "text":
                texts.append(child.content)
    return kinds, "\n".join(texts)


PLAIN = {
    *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "code_inline"),
    *("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close"),
    *("th_open", "th_close", "td_open", "td_close", "code_block", "softbreak"),
    *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
}


def everywhere(text: str) -> AuditReport:
    report = small_report()
    rules = [rule(outcome, text, 0.5, 0.01, reason=text, rule=text, attack=text) for outcome in ("fail", "waived")]
    return report.model_copy(
        update={
            "verdict": Verdict(outcome="fail", arm=text, rules=rules, cautions=[text, text]),
            "findings": [f.model_copy(update={"file": text, "dataset": text}) for f in report.findings],
            "datasets": [data.model_copy(update={"name": text}) for data in report.datasets],
            "release": report.release.model_copy(update={"organisation": text, "auditor": text}),
            "policy": report.policy.model_copy(update={"name": text, "file": text, "weaker_than_preset": [text]}),
            "signature": report.signature.model_copy(update={"label": text}),
        }
    )


@pytest.mark.parametrize("name", ACTS)
def test_nothing_that_others_wrote_acts(name: str) -> None:
    written = summary(everywhere(ACTS[name]))
    kinds, text = shown(written)
    assert kinds <= PLAIN
    assert not POST.search(text), POST.search(text)
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert all(line.count("|") == rows[0].count("|") for line in rows[:4])  # no name makes a cell of its own
    assert not set(written) & set("\x00\x1b\x07\x9b\u202e\u200b\r")


@given(st.text(max_size=60))
def test_a_name_is_one_code_span_whatever_it_is(text: str) -> None:
    (token,) = (child for block in MARKDOWN.parse(code(text)) for child in block.children or ())
    assert token.type == "code_inline" or token.content == "—"
    assert "|" not in code(text, cell=True)


@given(st.text(max_size=80))
def test_prose_is_text_and_code_alone(text: str) -> None:
    kinds, plain = shown(f"x {prose(text)}")
    assert kinds <= {"paragraph_open", "inline", "text", "code_inline", "paragraph_close"}
    assert not POST.search(plain.removeprefix("x "))
    assert "|" not in prose(text, cell=True)


def test_plain_sentences_stay_as_they_are() -> None:
    sentence = "The interval holds the limit: more samples (or controls) would narrow it, by 12.5 % or more."
    assert prose(sentence) == sentence
    assert prose("template_prefix asks release@example.com.") == "`template_prefix` asks `release@example.com`."


def test_it_says_what_was_decided_and_why(tmp_path: Path) -> None:
    report = build_report("fail")
    (path,) = MarkdownFormat().write(report, tmp_path)
    text = path.read_text()
    assert text.startswith("## ▲ Fail: `support-bot-1.2`")
    for found in report.verdict.rules:
        assert f"`{found.dataset}` ({found.view})" in text
    first = max(report.findings, key=lambda finding: finding.score)
    assert f"`{first.record}`" in text and f"`{first.file}:{first.line}`" in text
    assert report.policy.sha256 in text and f"seed {report.seed}" in text
    assert "… and 894 more leaked records, in the report." in text  # 914 in all
    for command in ("run", "verify", "report"):
        assert f"    auditkit {command} " in text


def test_a_waived_rule_stands_there_with_its_reason() -> None:
    made = rule("waived", "sft-support", 0.5, 0.01, reason="waived by legal until 2026-12-31: a public dataset")
    report = small_report(verdict=Verdict(outcome="pass", arm="baseline", rules=[made], cautions=[]))
    (row,) = (line for line in summary(report).splitlines() if "○ waived" in line)
    assert "waived by legal until 2026-12-31: a public dataset" in row.replace("`", "")


def test_it_holds_no_word_of_the_data() -> None:
    report = with_texts(small_report(), "Zephyrine Quillfeather owes money", "Zephyrine Quillfeather owes more")
    assert not {"Zephyrine", "Quillfeather"} & set(re.findall(r"\w+", summary(report)))


def test_unsigned_is_said_at_once() -> None:
    report = small_report()
    unsigned = report.model_copy(update={"signature": report.signature.model_copy(update={"signed": False})})
    assert "UNSIGNED" in summary(unsigned).splitlines()[0]
    assert "UNSIGNED" not in summary(report)


@pytest.mark.parametrize("text", ["🦊" * 20_000, "a " * 100_000, "|`" * 50_000])
def test_it_stays_short(text: str) -> None:
    report = everywhere(text)
    rules: list[Any] = list(report.verdict.rules) * 40
    many = report.model_copy(update={"verdict": report.verdict.model_copy(update={"rules": rules})})
    written = summary(many)
    assert len(written.encode()) <= MOST_BYTES
    assert "## ▲ Fail" in written


def _waived_report() -> AuditReport:
    waiver = Waiver(
        rule=WaivedRule(metric="adjusted_coverage", attack="*", dataset="*", view="*", max=0.01, at_most=None),
        reason="a public dataset",
        who="J. Doe",
        issued="2026-11-01",
        expires="2026-12-31",
    )
    made = rule("waived", "sft-support", 0.5, 0.01, reason="waived by J. Doe").model_copy(update={"waivers": [1]})
    verdict = Verdict(outcome="pass", arm="baseline", rules=[made], cautions=[])
    declared = DeclaredWaiver(number=1, waiver=waiver, state="in force", applied=[made.rule])
    report = build_report("pass", verdict=verdict, waivers=[declared])
    first, *others = report.findings
    marked = first.model_copy(update={"waived": "waived by J. Doe until 2026-12-31 (waiver 2): published"})
    return report.model_copy(update={"findings": [marked, *others]})


def test_a_pass_by_waiver_is_none_without_it_and_every_waiver_is_listed() -> None:
    text = summary(_waived_report()).replace("`", "")
    assert text.startswith("## ○ Pass, with 1 waiver:")
    assert "### Waivers" in text and "by J. Doe until 2026-12-31: a public dataset" in text


def test_a_waived_record_says_so() -> None:
    report = _waived_report()
    rows = [line for line in summary(report).replace("`", "").splitlines() if report.findings[0].record in line]
    assert rows and "waived by J. Doe until 2026-12-31 (waiver 2): published" in rows[0]


def test_it_says_whether_the_bar_was_set_before_the_result() -> None:
    report = small_report(earlier_runs=EarlierRuns(total=2))
    text = summary(report)
    assert "The policy was not registered before the run" in text and "2 earlier runs" in text


def test_page_one_says_who_waived_until_when_and_why(tmp_path: Path) -> None:
    for path in HtmlFormat().write(_waived_report(), tmp_path):
        page_one = path.read_text(encoding="utf-8").partition('<nav class="contents"')[0]
        assert "Waiver 1, by J. Doe until 2026-12-31" in page_one and "a public dataset" in page_one
