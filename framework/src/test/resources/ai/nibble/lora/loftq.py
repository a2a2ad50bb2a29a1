"""Writes loftq.safetensors beside it: python loftq.py (peft 0.21, bitsandbytes 0.50, scipy).

One linear of 48 x 128, rank 4, which PEFT gives a LoftQ adapter of 1, 2 and 5 iterations: the base that it leaves (Q), what
the adapter begins with (B·A, which PEFT scales by alpha / r = 1 here). PEFT computes on a GPU; its own function runs here
with "cpu" in the place of "cuda". Since 0.20 it quantises with bitsandbytes; its own NF4 before that had another map. (Rows
that are no whole blocks bitsandbytes dequantises wrongly on a CPU: 96 columns are off by a third.)
"""
import inspect, pathlib
import torch
import peft.tuners.lora.layer as layer
import peft.utils.loftq_utils as loftq_utils
from peft import LoftQConfig, LoraConfig, get_peft_model
from safetensors.torch import save_file

source = inspect.getsource(loftq_utils.loftq_init).replace('"cuda"', '"cpu"')
exec(compile(source, loftq_utils.__file__, "exec"), loftq_utils.__dict__)
layer.loftq_init = loftq_utils.loftq_init

R = 4
torch.manual_seed(5)
weight = 0.05 * torch.randn(48, 128) * torch.linspace(0.5, 2, 128)
out = {"weight": weight}


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(128, 48, bias=False)
        self.q_proj.weight.data = weight.clone()

    def forward(self, x):
        return self.q_proj(x)


for iterations in (1, 2, 5):
    config = LoraConfig(
        r=R,
        lora_alpha=R,
        target_modules=["q_proj"],
        init_lora_weights="loftq",
        loftq_config=LoftQConfig(loftq_bits=4, loftq_iter=iterations),
    )
    module = get_peft_model(Base(), config).base_model.model.q_proj
    held = module.base_layer.weight.detach()
    product = (module.lora_B["default"].weight @ module.lora_A["default"].weight).detach()
    out[f"{iterations}.held"] = held.clone()
    out[f"{iterations}.begun"] = product
    print(iterations, "error", float((weight - held - product).norm() / weight.norm()))
save_file({k: v.contiguous() for k, v in out.items()}, pathlib.Path(__file__).with_suffix(".safetensors"))
