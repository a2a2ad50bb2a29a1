"""Writes the folders of tables/ beside it: python tables.py FIXTURES (peft 0.21, transformers 5.23, torch 2.7.1).

Adapters on the embedding and the output head of the fixtures' tiny models, and rows that are trained by themselves,
with random values; as PEFT saves them, and with them logits and the gradients of a cross-entropy.
"""
import json, pathlib, shutil, sys
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

fixtures = pathlib.Path(sys.argv[1])
out = pathlib.Path(__file__).with_suffix("")
NEW = [5, 17, *range(280, 288)]
CASES = {
    "llama_embed": ("llama", dict(target_modules=["q_proj", "embed_tokens"])),
    "llama_head": ("llama", dict(target_modules=["v_proj", "lm_head"])),
    "llama_both": ("llama", dict(target_modules=["o_proj", "embed_tokens", "lm_head"], use_rslora=True)),
    "qwen3_both": ("qwen3", dict(target_modules=["q_proj", "embed_tokens", "lm_head"])),
    "gemma3_both": ("gemma3", dict(target_modules=["q_proj", "embed_tokens", "lm_head"])),
    "llama_rows": ("llama", dict(target_modules=["q_proj"], trainable_token_indices=NEW)),
    "qwen3_rows": ("qwen3", dict(target_modules=["q_proj"], trainable_token_indices=NEW)),
    "qwen3_rows_of_both": (
        "qwen3", dict(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": NEW, "lm_head": NEW[2:]})),
    "gemma3_rows": ("gemma3", dict(target_modules=["q_proj"], trainable_token_indices=NEW)),
}


def plain(name):
    return name.replace(".default", "").replace("base_model.model.base_model.model", "base_model.model")


for number, (case, (base, settings)) in enumerate(CASES.items()):
    torch.manual_seed(number)
    folder = out / case
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(fixtures / "models" / base, dtype=torch.float32)
    lora = LoraConfig(r=4, lora_alpha=6, lora_dropout=0.0, task_type="CAUSAL_LM", **settings)
    model = get_peft_model(model, lora)
    for name, p in model.named_parameters():
        if p.requires_grad:
            spread = 0.1 if "lora" in name else 0.02
            p.data += spread * torch.randn(p.shape)
    # the copy of the table that PEFT adds is kept in one case only
    model.save_pretrained(folder, save_embedding_layers="auto" if case == "qwen3_both" else False)
    (folder / "README.md").unlink()
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(str(fixtures / "models") + "/", ""))
    ids = torch.randint(0, 288, (2, 24))
    ids[:, ::3] = torch.tensor(NEW)[torch.randint(0, len(NEW), ids[:, ::3].shape)]
    logits = model(input_ids=ids).logits
    labels = ids.clone()
    labels[:, :5] = -100
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 288), labels[:, 1:].reshape(-1), ignore_index=-100)
    loss.backward()
    saved = set(load_file(folder / "adapter_model.safetensors"))
    grads = {}
    for name, p in model.named_parameters():
        if p.requires_grad and p.grad is not None:
            grads["grad." + plain(name)] = p.grad
    missing = [n for n in grads if n[len("grad."):] not in saved and n[len("grad."):] + ".weight" not in saved]
    assert not missing, (missing, sorted(saved))
    save_file({"input_ids": ids, "labels": labels, "logits": logits.detach().contiguous(),
               "loss": loss.detach().reshape(1), **grads}, folder / "golden.safetensors")
    print(case, loss.item(), sorted(n for n in saved if "layers" not in n))
