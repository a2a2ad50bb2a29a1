"""Writes modules_to_save.json beside it: python modules_to_save.py FIXTURES (peft 0.21).

The batches and first adapter of train/llama_fp32 with the embedding and the head trained whole too; the base ties the
two. AdamW 5e-3, betas 0.9 0.95, weight decay 0.01, cosine with 2 of 10 steps of warm-up, gradients clipped to 1.
"""
import json, pathlib, sys
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

fixtures = pathlib.Path(sys.argv[1])
case = fixtures / "train" / "llama_fp32"
initial = load_file(case / "initial" / "adapter_model.safetensors")
batches = load_file(case / "batches.safetensors")
settings = json.load(open(case / "initial" / "adapter_config.json"))


def run(modules):
    base = AutoModelForCausalLM.from_pretrained(fixtures / "models" / "llama", dtype=torch.float32)
    lora = LoraConfig(r=settings["r"], lora_alpha=settings["lora_alpha"], lora_dropout=0.0, task_type="CAUSAL_LM",
                      target_modules=settings["target_modules"], modules_to_save=modules)
    model = get_peft_model(base, lora)
    model.load_state_dict({k.replace(".weight", ".default.weight"): v for k, v in initial.items()}, strict=False)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 2, 10)
    log = []
    for step in range(10):
        micros = [{k: batches[f"step{step}_micro{m}_{k}"] for k in ("input_ids", "attention_mask", "labels")} for m in (0, 1)]
        targets = sum(int((m["labels"][:, 1:] != -100).sum()) for m in micros)
        total = 0.0
        for m in micros:
            logits = model(input_ids=m["input_ids"], attention_mask=m["attention_mask"]).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), m["labels"][:, 1:].reshape(-1),
                                                     ignore_index=-100, reduction="sum") / targets
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0).item()
        log.append({"loss": total, "grad_norm": norm, "lr": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return log


published = json.load(open(case / "golden.json"))["log"]
for ours, theirs in zip(run(None), published):
    assert abs(ours["loss"] - theirs["loss"]) < 1e-5 and abs(ours["grad_norm"] - theirs["grad_norm"]) < 1e-4, (ours, theirs)
cases = {"+".join(m): run(m) for m in (["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"])}
with open(pathlib.Path(__file__).with_suffix(".json"), "w") as f:
    json.dump(cases, f, indent=1)
