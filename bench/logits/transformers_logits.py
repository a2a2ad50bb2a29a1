"""transformers' logits of every position, as ai.nibble.bench.Logits writes them: MODEL DTYPE IDS OUT"""
import sys

import torch
from transformers import AutoModelForCausalLM

path, dtype, ids, out = sys.argv[1:5]
model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
with open(out, "wb") as file, torch.no_grad():
    for line in open(ids):
        logits = model(torch.tensor([[int(i) for i in line.split()]])).logits[0]
        file.write(logits.float().numpy().tobytes())
