"""Makes the quantised checkpoints beside this file, and what a model computes with their values.

golden.py; writes a directory for each format beside itself. Needs torch 2.7.1, transformers 5.24,
bitsandbytes 0.50 on a CPU. bitsandbytes' formats are saved by transformers. GPTQ's and AWQ's are
packed here, by the published layout and independently of the project's reader; with
ORACLES=DIR, a directory that holds the packages auto_gptq 0.7.1 and awq 0.2.9 unpacked, their
dequantisers are run on what was packed.
"""

import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
GOLDEN = "golden.safetensors"
LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
LAYERS = 2


def base():
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=40, hidden_size=64, intermediate_size=96, num_hidden_layers=LAYERS,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
                         tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.15)
    return model.eval()


def save_golden(folder, values):
    """Logits of the base with these values in its linears, all else as the folder has it."""
    model = base()
    stored = load_file(f"{here}/{folder}/model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = values.get(name.removesuffix(".weight"))
            parameter.data = (stored[name] if value is None else value).float()
        ids = torch.tensor([[1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 3, 7]])
        logits = model(ids).logits
    tensors = {"input_ids": ids, "logits": logits.contiguous()}
    for name in ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"]:
        if name in values:
            tensors[name] = values[name].float().contiguous()
    save_file(tensors, f"{here}/{folder}/{GOLDEN}")


def finish(folder):
    for extra in ("generation_config.json",):
        if os.path.exists(f"{here}/{folder}/{extra}"):
            os.remove(f"{here}/{folder}/{extra}")


def by_definition(weight):
    """Code times absmax: the kernel of 0.50 for CPUs misreads blocks that lie in two rows."""
    from bitsandbytes.functional import dequantize_blockwise
    state = weight.quant_state
    packed = weight.data.view(torch.uint8).flatten().to(torch.int64)
    absmax = state.absmax
    if state.nested:
        absmax = dequantize_blockwise(state.absmax, state.state2) + state.offset
    codes = torch.stack((packed >> 4, packed & 15), 1).flatten()[: state.shape.numel()]
    blocks = absmax.float().repeat_interleave(state.blocksize)[: len(codes)]
    return (state.code[codes] * blocks).reshape(state.shape)


def bitsandbytes(folder, source, **settings):
    from bitsandbytes.nn import Linear4bit, Linear8bitLt
    dtype = torch.float16 if settings.get("load_in_8bit") else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(bnb_4bit_compute_dtype=torch.float32, **settings))
    model.save_pretrained(f"{here}/{folder}")
    values = {}
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            values[name] = by_definition(module.weight)
        elif isinstance(module, Linear8bitLt):
            values[name] = module.weight.data.float() * module.weight.SCB[:, None] / 127
    save_golden(folder, values)
    finish(folder)


def bits_along_rows(codes, bits):
    """Packs [n, m] integers along n, least significant first: int32 [n * bits / 32, m]."""
    n, m = codes.shape
    stream = ((codes[:, None, :].to(torch.int64) >> torch.arange(bits)[None, :, None]) & 1)
    words = stream.reshape(n * bits // 32, 32, m)
    packed = (words << torch.arange(32)[None, :, None]).sum(1)
    return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)


def integer_groups(out, inn, bits, group, sym, generator):
    groups = inn // group
    codes = torch.randint(0, 2**bits, (out, inn), generator=generator)
    scales = (torch.rand(groups, out, generator=generator) * 0.9 + 0.1) * 0.6 / 2**bits
    zeros = torch.full((groups, out), 2 ** (bits - 1))
    if not sym:
        zeros = torch.randint(1, 2**bits, (groups, out), generator=generator)
    return codes, scales.half(), zeros


def gptq(folder, bits, group_size, desc_act, sym, v2, legacy=False):
    model = base()
    generator = torch.Generator().manual_seed(bits * 100 + group_size)
    tensors, values, v1_zeros = {}, {}, {}
    state = {k: v.half() for k, v in model.state_dict().items()}
    for layer in range(LAYERS):
        for linear in LINEARS:
            name = f"model.layers.{layer}.{linear}"
            out, inn = state[name + ".weight"].shape
            group = inn if group_size == -1 else group_size
            codes, scales, zeros = integer_groups(out, inn, bits, group, sym, generator)
            g_idx = torch.arange(inn) // group
            if desc_act:
                g_idx = g_idx[torch.randperm(inn, generator=generator)]
            del state[name + ".weight"]
            tensors[name + ".qweight"] = bits_along_rows(codes.t(), bits)
            v1_zeros[name] = bits_along_rows(zeros.t() - 1, bits).t().contiguous()
            v2_zeros = bits_along_rows(zeros.t(), bits).t().contiguous()
            tensors[name + ".qzeros"] = v2_zeros if v2 else v1_zeros[name]
            tensors[name + ".scales"] = scales
            tensors[name + ".g_idx"] = g_idx.to(torch.int32)
            values[name] = scales.float()[g_idx].t() * (codes - zeros[g_idx].t())
    check_gptq(tensors, values, bits, group_size, v1_zeros)
    config = {"bits": bits, "group_size": group_size, "desc_act": desc_act, "sym": sym,
              "damp_percent": 0.01, "true_sequential": True, "static_groups": False,
              "checkpoint_format": "gptq_v2" if v2 else "gptq"}
    write(folder, model, tensors, state, values, None if legacy else {"quant_method": "gptq", **config})
    if legacy:
        del config["checkpoint_format"]
        json.dump(config, open(f"{here}/{folder}/quantize_config.json", "w"), indent=2)


def awq(folder, group_size):
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    model = base()
    generator = torch.Generator().manual_seed(group_size)
    tensors, values = {}, {}
    state = {k: v.half() for k, v in model.state_dict().items()}

    def interleaved(codes):
        """[n, out] to int32 [n, out / 8]: nibble i of a word is output order[i]."""
        words = codes.reshape(codes.shape[0], -1, 8)[:, :, order].to(torch.int64)
        packed = (words << (4 * torch.arange(8))).sum(2)
        return torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)

    for layer in range(LAYERS):
        for linear in LINEARS:
            name = f"model.layers.{layer}.{linear}"
            out, inn = state[name + ".weight"].shape
            if linear == "mlp.down_proj" and layer == 0:
                values[name] = state[name + ".weight"].float()
                continue  # in modules_to_not_convert
            codes, scales, zeros = integer_groups(out, inn, 4, group_size, False, generator)
            zeros[0, 0] = 0
            del state[name + ".weight"]
            tensors[name + ".qweight"] = interleaved(codes.t())
            tensors[name + ".qzeros"] = interleaved(zeros)
            tensors[name + ".scales"] = scales
            group = torch.arange(inn) // group_size
            values[name] = scales.float()[group].t() * (codes - zeros[group].t())
    check_awq(tensors, values, group_size)
    write(folder, model, tensors, state, values,
          {"quant_method": "awq", "bits": 4, "group_size": group_size, "zero_point": True,
           "version": "gemm", "modules_to_not_convert": ["layers.0.mlp.down_proj"]})


def write(folder, model, tensors, state, values, config):
    path = f"{here}/{folder}"
    os.makedirs(path, exist_ok=True)
    model.half().config.save_pretrained(path)
    settings = json.load(open(f"{path}/config.json"))
    settings["dtype"] = "float16"
    if config:
        settings["quantization_config"] = config
    json.dump(settings, open(f"{path}/config.json", "w"), indent=2)
    save_file({**tensors, **{k: v.contiguous() for k, v in state.items()}},
              f"{path}/model.safetensors", {"format": "pt"})
    save_golden(folder, values)


def oracle(path):
    """One file of a package, without what the package imports beside it."""
    import importlib.util
    spec = importlib.util.spec_from_file_location("oracle", os.environ["ORACLES"] + "/" + path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_gptq(tensors, values, bits, group_size, v1_zeros):
    """That package reads the first version of zeros only."""
    if "ORACLES" not in os.environ:
        return
    QuantLinear = oracle("auto_gptq/nn_modules/qlinear/qlinear_cuda.py").QuantLinear
    for name, value in values.items():
        out, inn = value.shape
        layer = QuantLinear(bits, group_size, inn, out, False)
        layer.load_state_dict({"qweight": tensors[name + ".qweight"], "qzeros": v1_zeros[name],
                               "scales": tensors[name + ".scales"], "g_idx": tensors[name + ".g_idx"]})
        layer.kernel_switch_threshold = 0
        seen = layer.float()(torch.eye(inn)).t()
        assert torch.allclose(seen, value, atol=1e-6), (name, (seen - value).abs().max())
    print("auto_gptq agrees:", len(values), "linears of", bits, "bits")


def check_awq(tensors, values, group_size):
    if "ORACLES" not in os.environ:
        return
    dequantize_gemm = oracle("awq/utils/packing_utils.py").dequantize_gemm
    checked = 0
    for name, value in values.items():
        if name + ".qweight" in tensors:
            seen = dequantize_gemm(tensors[name + ".qweight"], tensors[name + ".qzeros"],
                                   tensors[name + ".scales"], 4, group_size).t().float()
            # that package rounds to float16
            assert torch.allclose(seen, value, rtol=2**-10, atol=1e-7), name
            checked += 1
    print("awq agrees:", checked, "linears")


if __name__ == "__main__":
    source = f"{here}/base"
    base().bfloat16().save_pretrained(source)
    finish("base")
    skip = ["lm_head", "model.layers.1.mlp"]
    bitsandbytes("nf4_double", source, load_in_4bit=True, bnb_4bit_quant_type="nf4",
                 bnb_4bit_use_double_quant=True)
    bitsandbytes("fp4_skip", source, load_in_4bit=True, bnb_4bit_quant_type="fp4",
                 llm_int8_skip_modules=skip)
    bitsandbytes("nf4_bfloat16_storage", source, load_in_4bit=True, bnb_4bit_quant_type="nf4",
                 bnb_4bit_quant_storage=torch.bfloat16)
    bitsandbytes("int8", source, load_in_8bit=True)
    gptq("gptq4", 4, 32, False, True, False)
    gptq("gptq4_act_order", 4, 32, True, False, True)
    gptq("gptq4_one_group", 4, -1, False, False, False, legacy=True)
    gptq("gptq8_act_order", 8, 32, True, True, False)
    gptq("gptq3", 3, 32, False, True, True)
    gptq("gptq2", 2, 32, False, False, True)
    awq("awq", 32)
    shutil.rmtree(f"{here}/__pycache__", ignore_errors=True)
