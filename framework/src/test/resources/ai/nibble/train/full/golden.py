"""Writes the golden values beside it: python golden.py (torch 2.7.1, transformers 5.24).

Ten steps of training all weights of two tiny Llamas from random weights, in float32: one with a tied
head, one with an untied head and biases everywhere. Matrices decay, vectors do not.
"""
import json
import random
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

STEPS, LR, DECAY, CLIP = 10, 1e-2, 0.1, 1.0
SHAPE = dict(vocab_size=53, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
             head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.1, bos_token_id=1, eos_token_id=2,
             pad_token_id=None)
CASES = {"tied": dict(tie_word_embeddings=True),
         "biases": dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True)}


def batches():
    """Steps of micro-batches of rows that count upwards; a label that is False carries no loss."""
    rng = random.Random(5)

    def row():
        start, stride = rng.randrange(50), rng.choice([1, 1, 1, 7])
        return [3 + (start + stride * i) % 50 for i in range(rng.randrange(3, 18))]

    rows = lambda n: [row() for _ in range(n)]
    steps = [[rows(rng.randrange(1, 5)) for _ in range(1 + s % 3)] for s in range(STEPS)]
    return [[[{"ids": ids, "loss": [rng.random() < 0.8 for _ in ids[:-1]] + [True]} for ids in micro] for micro in step] for step in steps]


def train(model, steps):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=DECAY), dict(params=vectors, weight_decay=0.0)], lr=LR)
    log = []
    for step in steps:
        rows = [row for micro in step for row in micro]
        count = sum(sum(row["loss"][1:]) for row in rows)
        total = 0.0
        for row in rows:
            ids = torch.tensor([row["ids"]])
            labels = torch.tensor([i if l else -100 for i, l in zip(row["ids"], row["loss"])])
            logits = model(input_ids=ids).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum") / count
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item()
        optimizer.step()
        optimizer.zero_grad()
        log.append({"loss": total, "grad_norm": norm})
    return log


steps = batches()
golden = {"lr": LR, "weight_decay": DECAY, "max_grad_norm": CLIP, "steps": steps, "log": {}}
for name, more in CASES.items():
    torch.manual_seed(3)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, **more, attn_implementation="eager", dtype="float32")).float()
    for p in model.parameters():
        if p.dim() == 1:
            torch.nn.init.normal_(p, 0.5 if p.mean() > 0.5 else 0.0, 0.1)
    model.save_pretrained(name)
    golden["log"][name] = train(model, steps)
    weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
    if more["tie_word_embeddings"]:
        del weights["lm_head.weight"]
    save_file(weights, f"{name}/final.safetensors")
with open("golden.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
