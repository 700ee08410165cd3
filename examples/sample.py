"""``make sample``: docs/sample from the two audits of the quickstart: each format as a user gets it, and its pages.

The data of the quickstart are made up, so that here the full reports may be shown too. Evidence and keys stay away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from demo_audit import auditkit, make_keys, run_audit  # noqa: E402

QUICKSTART, SAMPLE = HERE / "quickstart", HERE.parent / "docs" / "sample"
FILES = (
    *("report.html", "report.pdf", "report.redacted.html", "report.redacted.pdf", "audit.redacted.json"),
    *("report.annex.pdf", "report.redacted.annex.pdf"),
    *("results.sarif", "results.junit.xml", "bom.cdx.json", "summary.md"),
    *("attestation.dsse.json", "policy.lock.yaml", "events.jsonl"),
)
PAGES = (1, 2, 3, 4, 21)
WIDTH, HEIGHT = 1000, 1400


def main() -> int:
    """0 when the sample was written."""
    make_keys()
    out = HERE.parent / "reports" / "for-sample"
    runs = [audited(QUICKSTART / name, out) for name in ("clean.yaml", "policy.yaml")]
    shutil.rmtree(SAMPLE / "run", ignore_errors=True)
    (SAMPLE / "run").mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(runs[1] / name, SAMPLE / "run" / name)
    auditkit("diff", *map(str, runs), "--out", str(SAMPLE / "diff"), "--format", "html", "--format", "markdown")
    pictures(runs[1], SAMPLE / "pictures")
    return 0


def audited(policy: Path, out: Path) -> Path:
    """The run folder of a policy that was registered before."""
    policy = Path(os.path.relpath(policy))
    registered = policy.with_name(f"{policy.stem}.registration.dsse.json").exists()
    auditkit("register", str(policy), "--reports", str(out), *(["--again"] if registered else []))
    before = set(out.glob("*/"))
    print(run_audit(policy, out))
    (made,) = set(out.glob("*/")) - before
    return made


def pictures(run: Path, folder: Path) -> None:
    """Pages of both PDFs by pdftoppm, and the top of the HTML page in Chromium, light, dark and narrow."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pages = [(name, page) for name in ("report", "report.redacted") for page in PAGES]
    for name, page in [*pages, ("report.annex", 2), ("report.redacted.annex", 2)]:
        one = ["-f", str(page), "-l", str(page), "-singlefile"]
        command = ["pdftoppm", "-r", "60", "-png", *one, run / f"{name}.pdf", folder / f"{name}-page-{page:02}"]
        subprocess.run(command, check=True)
    for name, width, *options in (
        ("light", WIDTH),
        ("dark", WIDTH, "--blink-settings=preferredColorScheme=0"),
        ("narrow", 500),
    ):
        target = [f"--screenshot={folder / f'html-{name}.png'}", (run / "report.html").resolve().as_uri()]
        size = f"--window-size={width},{HEIGHT}"
        command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", size, *options, *target]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
