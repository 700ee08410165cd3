"""Makes models/randomised: the base model post-trained on the same records, each in a template drawn for it.

``python examples/quickstart/randomise.py`` runs the mitigation of randomise.yaml and keeps its weights. It takes about
ten minutes on two cores; what is interrupted has to be begun again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main() -> None:
    """Train, and put the weights beside the others."""
    import build
    import data

    from auditkit import load_policy
    from auditkit.auditing import runner
    from auditkit.auditing.progress import Silent

    plain = HERE / "plain.jsonl"
    texts = data.plain_texts(build.PLAIN_TEXTS, build.SEED)
    plain.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = runner.start(load_policy(HERE / "randomise.yaml"), Path(folder), Silent())
            made = result.folder / "weights" / "template_randomisation" / "weights"
            shutil.rmtree(HERE / "models" / "randomised", ignore_errors=True)
            shutil.copytree(made, HERE / "models" / "randomised")
    finally:
        plain.unlink()


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
