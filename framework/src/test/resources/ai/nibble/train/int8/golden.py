"""Golden values of training adapters on an int8 base: python golden.py (torch 2.7.1, transformers 5.24, peft 0.21,
bitsandbytes 0.50.2 on a CPU); writes beside itself.

layers.safetensors: a linear with an adapter, forward and backward, for several shapes, thresholds and columns of outliers. The
base's product is bitsandbytes' own MatMul8bitLt, which its Linear8bitLt runs in training on a GPU (on a CPU that class takes the
dequantised weight instead, and is not what is compared here). Activations are numbers of float16, to which it rounds them.

base, checkpoint_T, adapter, step.safetensors: a step of AdamW on adapters of a tiny Llama: loss, gradients, what the step makes of
the adapters; for thresholds 6, 0 and 1.5. base is float16; checkpoint_T is it as bitsandbytes saves it with threshold T. The
reference is LLM.int8()'s definition in float32, held to MatMul8bitLt here first. Where a value lies close to the middle of two codes
or to the threshold, float32's last bit would decide: inputs are searched in which none does."""

import copy
import json
import os
import shutil

import torch
from bitsandbytes.autograd._functions import MatMul8bitLt, MatmulLtState
from bitsandbytes.functional import int8_vectorwise_quant
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
SHAPES = [(1, 32, 8), (5, 96, 40), (17, 64, 104), (24, 160, 16)]


def outliers(x, threshold, generator):
    """Values beyond the threshold in some columns, one of them in a single row."""
    columns = torch.randperm(x.shape[1], generator=generator)[:3]
    x[:, columns[0]] *= 8
    x[0, columns[1]] = 2.25 * max(threshold, 1)
    x[-1, columns[2]] = -40.0
    return x


def layers():
    tensors = {}
    generator = torch.Generator().manual_seed(11)
    randn = lambda *size: torch.randn(*size, generator=generator)
    for dtype in (torch.float32, torch.bfloat16):
        for n, inn, out in SHAPES:
            for threshold in (0.0, 6.0, 2.5) if dtype == torch.float32 else (6.0,):
                for spikes in (False, True):
                    r = 3
                    x = (randn(n, inn) * 0.5).clamp(-2, 2)
                    x = (outliers(x, threshold, generator) if spikes else x).to(torch.bfloat16).to(dtype)
                    weight = (randn(out, inn) * 0.2).half()
                    a, b = randn(r, inn) * 0.2, randn(out, r) * 0.2
                    dy = randn(n, out).to(dtype)
                    codes, scb, _ = int8_vectorwise_quant(weight)
                    state = MatmulLtState()
                    state.CB, state.SCB, state.threshold, state.has_fp16_weights = codes, scb, threshold, False
                    x.requires_grad_(), a.requires_grad_(), b.requires_grad_()
                    y = MatMul8bitLt.apply(x, codes, None, None, state) + 1.5 * (x @ a.to(dtype).t()) @ b.to(dtype).t()
                    y.backward(dy)
                    name = f"{str(dtype)[6:]}.{n}x{inn}x{out}.{threshold}.{'outliers' if spikes else 'plain'}."
                    found = 0 if not threshold else len(state.idx)
                    assert (found > 0) == (spikes and threshold > 0), (name, found)
                    for key, value in dict(x=x, weight=weight, a=a, b=b, dy=dy, y=y, dx=x.grad, da=a.grad, db=b.grad,
                                           codes=codes, scb=scb).items():
                        tensors[name + key] = value.detach().clone().contiguous()
    save_file(tensors, f"{here}/layers.safetensors")
    print(len(tensors) // 11, "layers")


class Int8(torch.autograd.Function):
    """LLM.int8() by its definition, float32."""

    margins = []

    @staticmethod
    def forward(ctx, x, codes, scb, threshold):
        ctx.save_for_backward(codes, scb)
        flat = x.reshape(-1, x.shape[-1])
        beyond = flat.abs() >= threshold if threshold else torch.zeros_like(flat, dtype=torch.bool)
        columns = beyond.any(0)
        kept = torch.where(beyond, 0.0, flat)
        absmax = kept.abs().amax(1, keepdim=True)
        steps = kept * (127.0 / absmax)
        q = torch.round(steps)
        Int8.margins.append(((steps - steps.floor()) - 0.5).abs()[:, ~columns].min().item())
        if threshold:
            Int8.margins.append(10 * (flat.abs() - threshold).abs().min().item())
        q[:, columns] = 0
        # int32 sums, exact in float64
        y = ((q.double() @ codes.double().t()) * absmax.double() * scb.double() / 127**2).float()
        w = codes.float() * scb[:, None] / 127
        y = y + flat[:, columns] @ w[:, columns].t()
        return y.reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, dy):
        codes, scb = ctx.saved_tensors
        return dy @ (codes.float() * scb[:, None] / 127), None, None, None


class Int8Linear(torch.nn.Module):
    def __init__(self, linear, a, b, scaling, threshold):
        super().__init__()
        self.codes, self.scb, _ = int8_vectorwise_quant(linear.weight.data.half())
        self.a, self.b, self.scaling, self.threshold = a, b, scaling, threshold

    def forward(self, x):
        return Int8.apply(x, self.codes, self.scb, self.threshold) + self.scaling * (x @ self.a.t()) @ self.b.t()


def check_definition():
    torch.manual_seed(3)
    for threshold in (0.0, 6.0, 1.5):
        x = torch.randn(9, 64) * 0.5
        x[2, 7], x[5, 40], x[8, 40] = 11.0, -6.5, 1.75
        x = x.half().float().requires_grad_()
        codes, scb, _ = int8_vectorwise_quant(torch.randn(24, 64).half())
        state = MatmulLtState()
        state.CB, state.SCB, state.threshold, state.has_fp16_weights = codes, scb, threshold, False
        y, own = MatMul8bitLt.apply(x, codes, None, None, state), Int8.apply(x, codes, scb, threshold)
        dy = torch.randn_like(y)
        dx, = torch.autograd.grad(y, x, dy)
        own_dx, = torch.autograd.grad(own, x, dy)
        assert (y - own).abs().max() <= 3e-5 * y.abs().max()  # its constant for 1 / 127² is 2e-5 off
        assert (dx - own_dx).abs().max() <= 1e-6 * dx.abs().max()


def tiny():
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=24, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.normal_(0, 0.3)
        for layer in model.model.layers:
            # columns of large activations in both norms' outputs
            layer.input_layernorm.weight[[3, 17]] = 7.0
            layer.post_attention_layernorm.weight[[5]] = 9.0
    return model.half()


def step(model, peft_state, ids, threshold, scaling=2.0):
    model = copy.deepcopy(model)
    parameters = {k: v.clone().requires_grad_() for k, v in peft_state.items()}
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, leaf = name.rsplit(".", 1)
            key = f"base_model.model.{name}.lora_"
            setattr(model.get_submodule(parent), leaf, Int8Linear(
                module, parameters[key + "A.weight"], parameters[key + "B.weight"], scaling, threshold))
    Int8.margins.clear()
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-2, weight_decay=0)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 1e9)
    gradients = {k: v.grad.clone() for k, v in parameters.items()}
    margin = min(Int8.margins)
    optimizer.step()
    return loss.item(), norm.item(), gradients, {k: v.detach() for k, v in parameters.items()}, margin


def model_step():
    base = f"{here}/base"
    tiny().save_pretrained(base)
    os.remove(f"{base}/generation_config.json")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    peft = get_peft_model(copy.deepcopy(plain), config)
    for seed in range(3000):
        torch.manual_seed(seed)
        ids = torch.randint(3, 24, (1, 5))
        with torch.no_grad():
            for name, p in peft.named_parameters():
                if "lora_" in name:
                    p.normal_(0, 0.1)
        state = {k.replace(".default", ""): v.detach().clone() for k, v in peft.named_parameters() if "lora_" in k}
        results = {}
        for threshold in (6.0, 0.0, 1.5):
            results[threshold] = step(plain, state, ids, threshold)
            if results[threshold][4] < 5e-4:
                break
        if len(results) == 3 and min(r[4] for r in results.values()) >= 5e-4:
            break
    else:
        raise SystemExit("no input without close decisions")
    print("seed", seed, {t: (r[0], r[1], r[4]) for t, r in results.items()})
    peft.save_pretrained(f"{here}/adapter")
    os.remove(f"{here}/adapter/README.md")
    adapter = json.load(open(f"{here}/adapter/adapter_config.json"))
    adapter["base_model_name_or_path"] = "base"
    adapter["target_modules"] = sorted(adapter["target_modules"])
    json.dump(adapter, open(f"{here}/adapter/adapter_config.json", "w"), indent=2)
    tensors = {"input_ids": ids}
    for threshold, (loss, norm, gradients, after, _) in results.items():
        tensors[f"{threshold}.loss"] = torch.tensor([loss])
        tensors[f"{threshold}.norm"] = torch.tensor([norm])
        for key, value in gradients.items():
            tensors[f"{threshold}.gradient.{key}"] = value
            tensors[f"{threshold}.after.{key}"] = after[key]
        quantised = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float16, device_map={"": "cpu"},
            quantization_config=BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=threshold))
        folder = f"{here}/checkpoint_{threshold}"
        quantised.save_pretrained(folder)
        os.remove(f"{folder}/generation_config.json")
    save_file({k: v.contiguous() for k, v in tensors.items()}, f"{here}/step.safetensors")


if __name__ == "__main__":
    check_definition()
    layers()
    model_step()
    shutil.rmtree(f"{here}/__pycache__", ignore_errors=True)
