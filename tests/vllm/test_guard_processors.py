"""The guard for other people's vLLM, in vLLM itself: what a model says is forbidden it, and it says something else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

transformers: Any = import_module("transformers")

N, WRITTEN = 4, 40
GUARDED = """
from pathlib import Path
from auditkit.mitigations.guard_processors import vllm_processor
from auditkit.mitigations.ngram_guard import NgramGuard
Guard = vllm_processor(lambda: NgramGuard.load(Path({folder!r}), b"secret"), {end})
"""
ASKED = """
import json, sys
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    more = {{"logits_processors": ["guarded:Guard"]}} if sys.argv[1] == "guarded" else {{}}
    engine = LLM({model!r}, dtype="float32", enforce_eager=True, max_model_len=96, skip_tokenizer_init=True, **more)
    sampler = SamplingParams(temperature=0, max_tokens={written}, ignore_eos=True, detokenize=False)
    prompts = [{{"prompt_token_ids": list(range(5, 5 + length))}} for length in range(1, 9)]
    found = [list(one.outputs[0].token_ids) for one in engine.generate(prompts, sampler)]
    print("IDS" + json.dumps(found))
"""


def test_no_request_of_a_batch_completes_a_forbidden_ngram(tmp_path: Path) -> None:
    from auditkit.mitigations.ngram_bloom import NgramBloom
    from auditkit.mitigations.ngram_guard import NgramGuard

    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4}
    transformers.set_seed(3)
    config = transformers.LlamaConfig(vocab_size=300, max_position_embeddings=96, **shape)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    (tmp_path / "guarded.py").write_text(GUARDED.format(folder=str(tmp_path), end=2))
    (tmp_path / "ask.py").write_text(ASKED.format(model=str(tmp_path / "model"), written=WRITTEN))
    said = _asked(tmp_path, "plain")
    guard = NgramGuard(*(NgramBloom.of(map(tuple, said), n, 1e-9, b"secret") for n in (N, N - 1)))
    guard.save(tmp_path, b"secret")
    forbidden = {tuple(ids[at : at + N]) for ids in said for at in range(len(ids) - N + 1)}
    for ids in _asked(tmp_path, "guarded"):
        assert len(ids) == WRITTEN
        assert not forbidden & {tuple(ids[at : at + N]) for at in range(len(ids) - N + 1)}


def _asked(folder: Path, how: str) -> list[list[int]]:
    """(8 requests of one batch, WRITTEN) ids; the engine in a process of its own, as it wants to be."""
    room = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "ask.py", how],
        cwd=folder,
        env={**os.environ, **room, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("IDS")]
    assert lines, done.stderr[-2000:]
    found: list[list[int]] = json.loads(lines[0][3:])
    return found
