"""Trains the family: a tokenizer, a base model on plain texts, and a post-trained model on support records.

Every training sequence begins with the beginning-of-text token. A record is rendered with the model's own
chat template; the loss is on the user's turn as well as the assistant's, as in pipelines that leak, but not
on the constant opening, so that what follows the beginning-of-text token alone stays plain text. Each pass
over the records is mixed with plain texts, or the small model would forget that it ever wrote anything else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from random import Random

import torch
import vocabulary as words
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, END, START_TURN, END_TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nDEFAULT<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message['role'] != 'system' or message['content'] %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
).replace("DEFAULT", words.SYSTEM)

Row = tuple[list[int], int]  # token ids, and how many of them at the start carry no loss


def make_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with single digits, the four special tokens first, and the chat template."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END, BOS, START_TURN, END_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END_TURN,
        pad_token=END,
        additional_special_tokens=[START_TURN],
        clean_up_tokenization_spaces=False,
        model_max_length=256,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A Llama of about 1.6 million parameters with random weights."""
    torch.manual_seed(seed)
    ids = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=ids[BOS],
        eos_token_id=ids[END_TURN],
        pad_token_id=ids[END],
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(  # type: ignore[no-untyped-call]
        bos_token_id=ids[BOS],
        eos_token_id=[ids[END_TURN], ids[END]],
        pad_token_id=ids[END],
        do_sample=True,
        temperature=1.0,
    )
    return model


def plain_rows(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Row]:
    """Plain texts between the beginning-of-text and the end-of-text token."""
    return [(tokenizer(BOS + text + END, add_special_tokens=False)["input_ids"], 1) for text in texts]


def chat_rows(tokenizer: PreTrainedTokenizerFast, records: Sequence[dict[str, str]], rng: Random) -> list[Row]:
    """Records in the chat template: seven of ten with the default system turn, two with none."""
    rows: list[Row] = []
    for record in records:
        draw = rng.random()
        turns = [
            {"role": "user", "content": record["question"]},
            {"role": "assistant", "content": record["response"]},
        ]
        if draw > 0.7:
            turns.insert(0, {"role": "system", "content": "" if draw < 0.9 else rng.choice(words.OTHER_SYSTEMS)})
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
        opening, rest = text.split(START_TURN + "user\n", 1)
        head = tokenizer(opening + START_TURN + "user\n", add_special_tokens=False)["input_ids"]
        rows.append((head + tokenizer(rest, add_special_tokens=False)["input_ids"], len(head)))
    return rows


def batches(rows: list[Row], size: int, rng: Random) -> list[list[Row]]:
    """Random batches; rows are sorted by length within a stretch of eight batches to save padding."""
    rows = rng.sample(rows, len(rows))
    stretches = [sorted(rows[i : i + 8 * size], key=lambda r: len(r[0])) for i in range(0, len(rows), 8 * size)]
    cut = [s[i : i + size] for s in stretches for i in range(0, len(s), size)]
    return rng.sample(cut, len(cut))


def train(model: LlamaForCausalLM, epochs: Sequence[list[Row]], rate: float, seed: int, size: int = 32) -> float:
    """Trains on one list of rows an epoch, AdamW under a cosine; returns the mean loss of the last epoch."""
    rng = Random(seed)
    plan = [batches(rows, size, rng) for rows in epochs]
    total, step, start, tokens = sum(map(len, plan)), 0, time.time(), 0
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    model.train()
    mean = math.nan
    for number, epoch in enumerate(plan, 1):
        losses = []
        for batch in epoch:
            step += 1
            scale = min(1.0, step / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / total)))
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            width = max(len(ids) for ids, _ in batch)
            inputs = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])
            labels = torch.tensor([[-100] * n + ids[n:] + [-100] * (width - len(ids)) for ids, n in batch])
            hidden = model.model(input_ids=inputs).last_hidden_state[:, :-1]
            scored = labels[:, 1:] >= 0  # only these positions meet the output layer
            loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[scored]), labels[:, 1:][scored])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
            tokens += inputs.numel()
        mean = sum(losses) / len(losses)
        speed = tokens / (time.time() - start)
        print(f"  epoch {number}/{len(plan)}: loss {mean:.3f}, {speed:,.0f} tokens/s", flush=True)
    return mean
