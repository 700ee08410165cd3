"""A comparison as a page: one file, no script, nothing fetched, everything escaped; light, dark and on paper."""

from __future__ import annotations

from auditkit.report import diff_words as words
from auditkit.report.diff import Diff
from auditkit.report.document import environment, own_text
from auditkit.report.page_security import content_policy

MOST_OTHERS, MOST_RECORDS = 500, 200


def page(diff: Diff) -> str:
    """diff.html."""
    style = own_text("style.css") + own_text("screen.css") + own_text("diff.css")
    given = {"diff": diff, "words": words, "most_others": MOST_OTHERS, "most_records": MOST_RECORDS}
    template = environment().get_template("report/diff.html.j2")
    return template.render(style=style, policy=content_policy(style), **given)
