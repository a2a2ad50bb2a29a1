"""What transformers makes of SmolLM2's GGUF file: prompts by its chat template, and greedy answers.

gguf_alone.py DIR OUT: DIR holds the GGUF file with the configuration, the tokenizer and the template of
its Hugging Face form; OUT is the JSON file to write. The weights are dequantised from the file and
computed in float32. Needs transformers 5.23, gguf and torch 2.7.1 on a CPU.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 32
CONVERSATIONS = [
    [("user", "Name three colours of the rainbow.")],
    [("system", "You answer in one short sentence."), ("user", "What is 17 + 25?")],
    [("user", "Why is the sky blue?"), ("assistant", "Because air scatters blue light."),
     ("user", "And why is the sunset red?")],
    [("user", "Translate to French: the café's naïve cat isn't there…\nKeep it short.")],
    [("user", "Write a Python function that adds two numbers, a and b.")],
]

folder, out = Path(sys.argv[1]), sys.argv[2]
file = next(folder.glob("*.gguf")).name
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
results = []
for conversation in CONVERSATIONS:
    messages = [{"role": role, "content": content} for role, content in conversation]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    all_ids = torch.tensor([ids])
    least = float("inf")
    with torch.no_grad():
        cache = None
        step = all_ids
        answer = []
        while len(answer) < TOKENS:
            result = model(step, past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            best = torch.topk(result.logits[0, -1], 2)
            least = min(least, (best.values[0] - best.values[1]).item())
            answer.append(best.indices[0].item())
            if answer[-1] == tokenizer.eos_token_id:
                break
            step = best.indices[:1][None]
    results.append({"messages": messages, "text": text, "input_ids": ids, "greedy": answer,
                    "answer": tokenizer.decode(answer, skip_special_tokens=True),
                    "least_margin": round(least, 5)})
    print(results[-1]["least_margin"], repr(results[-1]["answer"]))
Path(out).write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")
