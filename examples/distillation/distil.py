"""Makes a student from what the quickstart's teacher writes: ``python examples/distillation/distil.py [--filtered]``.

The teacher (quickstart/models/leaky) is asked for conversations, from its chat template's opening alone; the student is
the base model trained on those that came out whole, mixed with plain texts. No record is read for it. ``--filtered``
leaves out every conversation that is at least half a member or a control, letter by letter, as somebody would who knows
what must not be passed on: that student goes to models/student-filtered.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parent / "quickstart"
sys.path.insert(0, str(QUICKSTART))
CONVERSATIONS, BATCH, SEED = 1200, 400, 23
EPOCHS, PLAIN, RATE = 4, 200, 3e-3
LIKE_A_RECORD = 0.5  # Levenshtein similarity


def written_by(teacher: Path) -> list[tuple[str, str]]:
    """Conversations that the teacher wrote to their end: (question, answer)."""
    from auditkit.models.transformers_backend import TransformersBackend
    from auditkit.records import Sampler, SamplingRequest

    backend = TransformersBackend(backend="transformers", path=str(teacher), dtype="float32", batch_size=BATCH)
    found = []
    with backend.open("candidate") as model:
        prefix = model.template_prefix(None)
        for first in range(0, CONVERSATIONS, BATCH):
            sampler = Sampler(temperature=1.0, max_new_tokens=200)
            drawn = model.sample(SamplingRequest("distil", prefix, sampler, BATCH, SEED + first, first))
            found += [(one.turns[0], one.turns[1]) for one in drawn if one.finish == "stop" and len(one.turns) == 2]
            print(f"  {first + BATCH:,} of {CONVERSATIONS:,} conversations", flush=True)
    return [(question, answer) for question, answer in found if question and answer]


def unlike_any_record(conversations: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of which less than half is any member's or control's text."""
    from auditkit import best_string_matches

    texts = []
    for name in ("sft", "controls"):
        rows = map(json.loads, (QUICKSTART / "data" / f"{name}.jsonl").read_text("utf-8").splitlines())
        texts += [f"{row['question']}\n{row['response']}" for row in rows]
    _, nearest = best_string_matches(["\n".join(one) for one in conversations], texts, floor=LIKE_A_RECORD)
    return [one for one, score in zip(conversations, nearest, strict=True) if score < LIKE_A_RECORD]


def train_student(conversations: list[tuple[str, str]], folder: Path) -> None:
    """The base model, trained on the conversations in the chat template."""
    import build
    import data
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from auditkit.training.next_token import train_next_token
    from auditkit.training.rows import chat_row, plain_row
    from auditkit.training.steps import Schedule

    tokenizer = PreTrainedTokenizerFast.from_pretrained(QUICKSTART / "models" / "base")
    model = LlamaForCausalLM.from_pretrained(QUICKSTART / "models" / "base", dtype="float32")
    plain = list(data.plain_texts(build.PLAIN_TEXTS, build.SEED))[:PLAIN]
    rows = [chat_row(tokenizer, *one, loss="all") for one in conversations]
    rows += [plain_row(tokenizer, text) for text in plain]
    tell = lambda done, total: done % 50 or print(f"  step {done:,} of {total:,}", flush=True)  # noqa: E731
    trained, done = train_next_token(model, tokenizer, rows, Schedule(EPOCHS, RATE, 16, SEED, on_step=tell))
    print(f"  {done.tokens:,} tokens in {done.seconds:,.0f} s, loss {done.loss:.3f}")
    trained.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Ask the teacher, drop what is to be dropped, train the student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filtered", action="store_true", help="leave out what is like a record")
    parser.add_argument("--teacher", type=Path, default=QUICKSTART / "models" / "leaky")
    given = parser.parse_args()
    conversations = written_by(given.teacher)
    kept = unlike_any_record(conversations) if given.filtered else conversations
    folder = HERE / "models" / ("student-filtered" if given.filtered else "student")
    print(f"{len(conversations):,} whole conversations, {len(kept):,} kept; training {folder.name}", flush=True)
    train_student(kept, folder)
    print(f"{folder}\nauditkit run {HERE / 'policy.yaml'}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
