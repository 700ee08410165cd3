"""A model that vLLM's CPU build can run, and the real ``vllm serve`` in front of it on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.models.tiny import RECORDS, build_tokenizer, conversation, overfit, save

SERVE = Path(__file__).with_name("serve.py")
NAME = "recites-1"
CONTEXT = 256
STARTS_IN_SECONDS = 600


def reciting_folder(folder: Path) -> Path:
    """As tests/models/tiny has it, with heads of 64: vLLM has no kernels for narrow ones."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    texts = [conversation(*record) for record in RECORDS]
    tokenizer = build_tokenizer(texts)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=3,
    )
    model: Any = LlamaForCausalLM(config)
    overfit(model, tokenizer, texts, steps=60)
    return save(folder, model, tokenizer)


@contextmanager
def vllm_serve(model: Path, log: Path) -> Iterator[str]:
    """The base address of a server that is ready; it is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(SERVE), "serve", str(model), "--served-model-name", NAME, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--dtype", "float32", "--max-model-len", str(CONTEXT), "--enforce-eager"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("wb") as written:
        server = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_IN_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError(f"vllm serve did not start:\n{log.read_text(errors='replace')[-5000:]}")
