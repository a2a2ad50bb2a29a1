"""Greedy decoding of transformers on the CPU, one sequence: bfloat16, or NF4 with double quantisation by bitsandbytes.
peer_decode.py HF_DIRECTORY bf16|nf4dq [NEW_TOKENS]
Needs: pip install torch transformers accelerate bitsandbytes."""
import resource
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

directory, mode = sys.argv[1:3]
new = int(sys.argv[3]) if len(sys.argv) > 3 else 128
quantization = None
if mode == "nf4dq":
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
start = time.time()
model = AutoModelForCausalLM.from_pretrained(
    directory, dtype=torch.bfloat16, device_map={"": "cpu"}, quantization_config=quantization
).eval()
load = time.time() - start
tokenizer = AutoTokenizer.from_pretrained(directory)
ids = tokenizer("In 1969, the first humans", return_tensors="pt", add_special_tokens=False).input_ids


def generate(tokens):
    start = time.time()
    model.generate(
        ids, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=2
    )
    return tokens / (time.time() - start)


with torch.no_grad():
    generate(8)
    speed = generate(new)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"python {mode}: {speed:.1f} tokens/s, load {load:.1f} s, peak resident {peak} MiB")
