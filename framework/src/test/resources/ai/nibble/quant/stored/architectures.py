"""Makes GPTQ and AWQ checkpoints of architectures with linears of their own: architectures.py.

Phi 3's are fused, Mixtral's and Qwen 3's experts lie in modules of their own, as AutoGPTQ and AutoAWQ walk them in
transformers 4; routers stay in 16 bits. Packed by golden.py beside this file, independently of the project's reader. Logits are
those of transformers 5.24 in float32 for the dequantised values, loaded from a plain directory."""

import json
import os
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, MixtralConfig, Phi3Config, Qwen3MoeConfig

from golden import GOLDEN, bits_along_rows, here, integer_groups

SIZES = dict(vocab_size=40, num_hidden_layers=2, max_position_embeddings=128, tie_word_embeddings=False, bos_token_id=1,
             eos_token_id=2, pad_token_id=None)
CONFIGS = {
    "phi3": Phi3Config(hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, **SIZES),
    "mixtral": MixtralConfig(hidden_size=32, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1,
                             num_local_experts=3, num_experts_per_tok=2, **SIZES),
    # experts in the first layer alone
    "qwen3_moe": Qwen3MoeConfig(hidden_size=32, intermediate_size=64, moe_intermediate_size=32, num_attention_heads=2,
                                num_key_value_heads=1, head_dim=16, num_experts=3, num_experts_per_tok=2,
                                mlp_only_layers=[1], **SIZES),
}
GROUP = 32


def plain(family, folder):
    """A directory of random float16 values."""
    torch.manual_seed(len(family))
    model = AutoModelForCausalLM.from_config(CONFIGS[family]).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.half().save_pretrained(folder)
    os.remove(f"{folder}/generation_config.json")
    return load_file(f"{folder}/model.safetensors")


def is_linear(name):
    return name.endswith("_proj.weight") or ".experts." in name


def gptq(name, weight, tensors, generator, sym, v2, desc_act):
    out, inn = weight.shape
    codes, scales, zeros = integer_groups(out, inn, 4, GROUP, sym, generator)
    g_idx = torch.arange(inn) // GROUP
    if desc_act:
        g_idx = g_idx[torch.randperm(inn, generator=generator)]
    tensors[name + ".qweight"] = bits_along_rows(codes.t(), 4)
    tensors[name + ".qzeros"] = bits_along_rows((zeros if v2 else zeros - 1).t(), 4).t().contiguous()
    tensors[name + ".scales"] = scales
    tensors[name + ".g_idx"] = g_idx.to(torch.int32)
    return scales.float()[g_idx].t() * (codes - zeros[g_idx].t())


def awq(name, weight, tensors, generator):
    out, inn = weight.shape
    codes, scales, zeros = integer_groups(out, inn, 4, GROUP, False, generator)

    def interleaved(integers):
        words = integers.reshape(integers.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].to(torch.int64)
        packed = (words << (4 * torch.arange(8))).sum(2)
        return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)

    tensors[name + ".qweight"] = interleaved(codes.t())
    tensors[name + ".qzeros"] = interleaved(zeros)
    tensors[name + ".scales"] = scales
    group = torch.arange(inn) // GROUP
    return scales.float()[group].t() * (codes - zeros[group].t())


def make(family, method, config, pack):
    folder = f"{here}/{family}_{method}"
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as base:
        state = plain(family, base)
        generator = torch.Generator().manual_seed(len(family + method))
        tensors, values = {}, {}
        for key, weight in state.items():
            if is_linear(key):
                values[key] = pack(key.removesuffix(".weight"), weight, tensors, generator)
            else:
                tensors[key] = weight
                values[key] = weight.float()
        save_file({k: v.contiguous() for k, v in tensors.items()}, f"{folder}/model.safetensors", {"format": "pt"})
        settings = json.load(open(f"{base}/config.json"))
        settings["quantization_config"] = config
        json.dump(settings, open(f"{folder}/config.json", "w"), indent=2)
        save_file({k: v.contiguous() for k, v in values.items()}, f"{base}/model.safetensors", {"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], info
    ids = torch.tensor([[1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 3, 7]])
    with torch.no_grad():
        save_file({"logits": model.eval()(ids).logits.contiguous()}, f"{folder}/{GOLDEN}")
    print(folder, len(values), "tensors,", len([k for k in tensors if k.endswith("qweight")]), "packed")


if __name__ == "__main__":
    for family, sym, v2, desc_act in [("phi3", True, False, True), ("mixtral", False, False, False),
                                      ("qwen3_moe", True, True, False)]:
        make(family, "gptq",
             {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": desc_act, "sym": sym,
              "checkpoint_format": "gptq_v2" if v2 else "gptq"},
             lambda name, weight, tensors, generator: gptq(name, weight, tensors, generator, sym, v2, desc_act))
        make(family, "awq",
             {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}, awq)
