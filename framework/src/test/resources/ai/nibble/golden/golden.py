"""Makes references anew for fixtures that the reference stack itself contradicts.

golden.py SHARED HF_MODEL_DIR, on a CPU without AVX512-BF16; writes beside itself.
Needs torch 2.7.1, transformers 5.23, peft 0.21, bitsandbytes 0.50; HF_MODEL_DIR by
shared/bench/hf_model.py.
"""

import json
import os
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, get_scheduler

shared, smollm2 = sys.argv[1:3]
fixtures = f"{shared}/fixtures"
here = os.path.dirname(os.path.abspath(__file__))


def load(path, double_quant=None):
    nf4 = None
    if double_quant is not None:
        nf4 = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_compute_dtype=torch.float32,
        )
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, quantization_config=nf4, device_map={"": "cpu"}
    )


def by_definition(model):
    """Linears of 4 bits as dense ones, of code times absmax: no kernel of any CPU takes part."""
    for parent in list(model.modules()):
        for name, linear in list(parent.named_children()):
            if type(linear).__name__ != "Linear4bit":
                continue
            state = linear.weight.quant_state
            packed = linear.weight.data.flatten().to(torch.int64)
            codes = torch.stack((packed >> 4, packed & 15), 1).flatten()[: state.shape.numel()]
            values = state.code[codes] * state.absmax.repeat_interleave(state.blocksize)[: len(codes)]
            dense = torch.nn.Linear(state.shape[1], state.shape[0], bias=linear.bias is not None)
            dense.weight = torch.nn.Parameter(values.reshape(state.shape), requires_grad=False)
            dense.bias = linear.bias
            setattr(parent, name, dense)
    return model


def adapter_logits(name):
    model = PeftModel.from_pretrained(load(f"{fixtures}/models/llama"), f"{fixtures}/lora/{name}")
    inputs = load_file(f"{fixtures}/lora/{name}/golden.safetensors")
    with torch.no_grad():
        return model.eval()(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
        ).logits


def train(case, base, double_quant, prepared=lambda model: model):
    """The words of golden.json: AdamW, cosine with warm-up, mean over the accumulated targets."""
    folder = f"{fixtures}/train/{case}"
    model = PeftModel.from_pretrained(
        prepared(load(f"{fixtures}/models/{base}", double_quant)),
        f"{folder}/initial",
        is_trainable=True,
    ).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=5e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01
    )
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=2, num_training_steps=10)
    batches = load_file(f"{folder}/batches.safetensors")
    log = []
    for step in range(10):
        micros = [
            {k: batches[f"step{step}_micro{m}_{k}"] for k in ("input_ids", "attention_mask", "labels")}
            for m in range(2)
        ]
        targets = sum((b["labels"][:, 1:] != -100).sum().item() for b in micros)
        loss = 0.0
        for b in micros:
            logits = model(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits
            part = torch.nn.functional.cross_entropy(
                logits[:, :-1].reshape(-1, logits.shape[-1]),
                b["labels"][:, 1:].reshape(-1),
                ignore_index=-100,
                reduction="sum",
            ) / targets
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        log.append(
            {"step": step + 1, "loss": loss, "grad_norm": norm, "lr": schedule.get_last_lr()[0]}
        )
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    final = {
        k.replace(".default", ""): v.detach().contiguous()
        for k, v in model.state_dict().items()
        if "lora_" in k
    }
    return log, final


log, _ = train("llama_fp32", "llama", None)
shipped = json.load(open(f"{fixtures}/train/llama_fp32/golden.json"))["log"]
worst = max(abs(a["loss"] - b["loss"]) for a, b in zip(log, shipped))
print("control: llama_fp32 differs from the shipped losses by", worst)
assert worst < 1e-5

for name in ("llama_layers", "llama_rank_pattern", "llama_regex"):
    save_file({"logits": adapter_logits(name)}, f"{here}/{name}.safetensors")
for case, base, double_quant in (
    ("llama_nf4", "llama", False),
    ("llama_plain_nf4dq", "llama_plain", True),
    ("llama_plain_rslora_nf4", "llama_plain", False),
):
    log, final = train(case, base, double_quant)
    json.dump({"log": log}, open(f"{here}/{case}.json", "w"), indent=1)
    save_file(final, f"{here}/{case}.safetensors")
    print(case, log[0], log[9])

log, _ = train("llama_nf4", "llama", False, by_definition)
anew = json.load(open(f"{here}/llama_nf4.json"))["log"]
worst = max(abs(a["loss"] - b["loss"]) for a, b in zip(log, anew))
print("control: llama_nf4 by definition differs from bitsandbytes' losses by", worst)
assert worst < 1e-5
for case, base in (("qwen3_nf4", "qwen3"), ("gemma3_nf4", "gemma3")):
    log, final = train(case, base, False, by_definition)
    json.dump({"log": log}, open(f"{here}/{case}.json", "w"), indent=1)
    save_file(final, f"{here}/{case}.safetensors")

golden = load_file(f"{fixtures}/smollm2_golden.safetensors")
model = load(smollm2, False)
out = {}
for p in range(4):
    ids = golden[f"prompt{p}_input_ids"]
    # with gradients on: after a forward without, bitsandbytes may repack its weights
    logits = model(input_ids=ids[None]).logits[0, -1].detach().float()
    out[f"prompt{p}_nf4_last_logits"] = logits[::24].clone()
save_file(out, f"{here}/smollm2_nf4.safetensors")
