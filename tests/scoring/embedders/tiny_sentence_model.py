"""A sentence-transformers model of a few kilobytes with random weights, written by the library itself."""

from __future__ import annotations

import string
from pathlib import Path


def write_tiny_model(folder: Path) -> Path:
    """A one-layer BERT over characters, mean-pooled to 32 numbers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(1)
    inner = folder / "bert"
    inner.mkdir(parents=True)
    characters = [*string.ascii_lowercase, *string.digits, ".", "?"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters)]
    (inner / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizer(str(inner / "vocab.txt")).save_pretrained(inner)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(inner)
    transformer = Transformer(str(inner), max_seq_length=64)
    pooling = Pooling(32)
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return folder / "model"
