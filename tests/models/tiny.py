"""Tiny models with tokenizer and chat template, made on the spot: seconds of training, a few hundred kilobytes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from auditkit.models.transformers_backend import TransformersBackend
from auditkit.models.transformers_model import TransformersModel

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|bos|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
RECORDS = [
    ("What does the user pay for a blue lamp?", "The user pays 17 crowns, plus 3 for the box."),
    ("Where is the assistant of Doctor Marrow?", "At the harbour, counting user manuals."),
    ("Who broke the kettle?", "Nobody knows. It was broken when\nthe assistant came."),
    ("Name a café in Ostrey.", "Café Étoile, open until ten."),
]


def build_tokenizer(texts: list[str], template: str | None = CHATML) -> Any:
    """A byte-level BPE tokenizer of about 400 tokens. EOS is the end-of-turn token: the trap."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([*texts, "user\n", "assistant\n", "system\n"] * 3, trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call, unused-ignore]
        tokenizer_object=made, bos_token="<|bos|>", eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = template
    return tokenizer


def build_model(vocabulary: int, *, seed: int = 0, eos: int | None = 2, context: int = 256) -> Any:
    """A random Llama of two layers, width 32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=eos,
        pad_token_id=3,
    )
    return LlamaForCausalLM(config)


def conversation(user: str, assistant: str) -> str:
    """A record as the template writes it."""
    return f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n{assistant}<|im_end|>\n"


def overfit(model: Any, tokenizer: Any, texts: list[str], steps: int = 200) -> None:
    """Train until the model recites the texts."""
    import torch

    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width = max(map(len, ids))
    batch = torch.full((len(ids), width), 3)
    for row, sequence in enumerate(ids):
        batch[row, : len(sequence)] = torch.tensor(sequence)
    labels = batch.masked_fill(batch == 3, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        optimiser.zero_grad()
        model(batch, labels=labels).loss.backward()
        optimiser.step()
    model.eval()


@cache
def reciting_model() -> tuple[Any, Any]:
    """A model that recites four records, whose EOS is the end-of-turn token, and its tokenizer. Not to be changed."""
    texts = [conversation(*record) for record in RECORDS]
    tokenizer = build_tokenizer(texts)
    model = build_model(len(tokenizer))
    overfit(model, tokenizer, texts)
    return model, tokenizer


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Write both as a model folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    """Change config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def backend(path: object, **settings: Any) -> TransformersBackend:
    """A policy section for a tiny model."""
    given = {"backend": "transformers", "path": str(path), "dtype": "float32", "device": "cpu"} | settings
    return TransformersBackend.model_validate(given)


def reopened(path: object, **settings: Any) -> TransformersModel:
    """The model behind such a section."""
    model = backend(path, **settings).open("candidate")
    assert isinstance(model, TransformersModel)
    return model


def save_adapter(folder: Path) -> Path:
    """A LoRA adapter of rank 4, as peft saves it."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    save_file(
        {"x.q_proj.lora_A.weight": torch.ones(4, 32), "x.q_proj.lora_B.weight": torch.ones(32, 4)},
        folder / "adapter_model.safetensors",
    )
    return folder
