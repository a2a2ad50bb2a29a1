"""Writes initialisations.safetensors beside it: python initialisations.py (peft 0.21, bitsandbytes 0.50).

One linear of 24 x 64, rank 4, alpha 8. Singular vectors have no sign, so products are compared: what an adapter begins
with, what is left of the weight, the product after a step of gradient descent, and what PEFT saves for the weight as it
was (path_initial_model_for_weight_conversion). LoftQ: one iteration on bitsandbytes' NF4.
"""
import pathlib, tempfile
import torch
import bitsandbytes as bnb
from peft import LoraConfig, get_peft_model
from peft.utils.loftq_utils import _low_rank_decomposition
from safetensors.torch import load_file, save_file

R, ALPHA, RATE = 4, 8, 0.001
torch.manual_seed(3)
weight = torch.randn(24, 64) @ torch.diag(torch.linspace(2, 0.1, 64))
x, dy = torch.randn(7, 64), torch.randn(7, 24)
out = {"weight": weight, "x": x, "dy": dy}


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(64, 24, bias=False)
        self.q_proj.weight.data = weight.clone()

    def forward(self, x):
        return self.q_proj(x)


for name in ("pissa", "pissa_niter_16", "olora"):
    model = get_peft_model(Base(), LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["q_proj"], init_lora_weights=name))
    layer = model.base_model.model.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    scaling = layer.scaling["default"]
    out[name + ".begun"] = scaling * (b @ a).detach()
    out[name + ".residual"] = layer.base_layer.weight.detach().clone()
    with tempfile.TemporaryDirectory() as directory:
        initial = pathlib.Path(directory) / "initial"
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(initial)
        model.peft_config["default"].init_lora_weights = name
        (model(x) * dy).sum().backward()
        with torch.no_grad():
            a -= RATE * a.grad
            b -= RATE * b.grad
        out[name + ".stepped"] = scaling * (b @ a).detach()
        out[name + ".output"] = model(x).detach()
        model.save_pretrained(pathlib.Path(directory) / "saved", path_initial_model_for_weight_conversion=initial)
        saved = load_file(pathlib.Path(directory) / "saved" / "adapter_model.safetensors")
        out[name + ".converted"] = scaling * (saved["base_model.model.q_proj.lora_B.weight"] @ saved["base_model.model.q_proj.lora_A.weight"])

held = bnb.nn.Params4bit(weight, requires_grad=False, compress_statistics=False, quant_type="nf4", blocksize=64).to("cpu")
if held.quant_state is None:
    held = held._quantize("cpu")
out["loftq.held"] = bnb.functional.dequantize_4bit(held.data, held.quant_state)
parts = _low_rank_decomposition(weight - out["loftq.held"], reduced_rank=R)  # what _loftq_init_new does on a GPU
out["loftq.begun"] = parts["L"] @ parts["R"]
save_file({k: v.contiguous() for k, v in out.items()}, pathlib.Path(__file__).with_suffix(".safetensors"))
for k, v in out.items():
    print(k, tuple(v.shape), float(v.norm()))
