"""Speed and peak memory of a QLoRA step of transformers + peft + bitsandbytes on the CPU: NF4 with double
quantisation, rank 16 on every linear, AdamW, random tokens that all carry loss.
peer_train.py HF_DIRECTORY none|block [STEPS] [SEQUENCES] [TOKENS]
Needs: pip install torch transformers peft accelerate bitsandbytes."""
import os
import resource
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

directory, mode = sys.argv[1:3]
steps, sequences, tokens = (int(value) for value in (sys.argv[3:] + ["8", "2", "512"][len(sys.argv) - 3 :])[:3])
torch.set_num_threads(os.cpu_count())
model = AutoModelForCausalLM.from_pretrained(
    directory,
    dtype=torch.bfloat16,
    device_map={"": "cpu"},
    attn_implementation="sdpa",
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    ),
)
model = prepare_model_for_kbit_training(
    model,
    use_gradient_checkpointing=mode == "block",
    gradient_checkpointing_kwargs={"use_reentrant": False},
)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0)
generator = torch.Generator().manual_seed(0)
seconds = []
for step in range(steps):
    ids = torch.randint(100, 40000, (sequences, tokens), generator=generator)
    start = time.time()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.time() - start)
    print(f"step {step} {seconds[-1]:.2f} s", file=sys.stderr, flush=True)
median = statistics.median(seconds[2:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(
    f"python checkpointing {mode}: {sequences * tokens / median:.1f} tokens/s"
    f" (median step {median:.2f} s), peak resident {peak} MiB"
)
