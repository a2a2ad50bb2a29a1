"""Writes the golden values beside it: python golden.py HF_DIRECTORY ../shared/data [MODE ...], of some modes or all
(torch 2.7.1, transformers 5.23, bitsandbytes 0.50.2). HF_DIRECTORY is made by ../shared/bench/hf_model.py of
SmolLM2-135M-Instruct. Computed as ../shared/bench/peer_quality.py does, in float32: of WikiText-2 the summed loss of the
first window of 1024 tokens, of HellaSwag the log-likelihoods of the first four items' endings. Gradients are on: in a
forward without, bitsandbytes takes a kernel that computes in bfloat16 on CPUs that have it.

Scales are doubly quantised to the nearest code, as bitsandbytes' CUDA and PyTorch kernels do and nearest() does here: its C++
kernel for CPUs looks codes up in a coarser table first and misses the nearest for 3,807 of this model's 1,658,880 scales."""
import json, pathlib, sys
import bitsandbytes.functional
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

path, data = sys.argv[1:3]
MODES = ["base", "nf4", "nf4-dq", "fp4", "int8"]
tok = AutoTokenizer.from_pretrained(path)
file = pathlib.Path(__file__).with_name("golden.json")
golden = json.loads(file.read_text()) if file.exists() else {}

cpu_kernel = bitsandbytes.functional.quantize_blockwise

def nearest(scales, blocksize):
    codes, state = cpu_kernel(scales, blocksize=blocksize)
    largest = state.absmax.repeat_interleave(blocksize)[: scales.numel()]
    middles = (state.code[:-1] + state.code[1:]) / 2
    exact = torch.bucketize(scales * (1 / largest), middles).to(torch.uint8)
    print(f"  {(exact != codes).sum().item()} of {codes.numel()} codes", flush=True)
    return exact, state

bitsandbytes.functional.quantize_blockwise = nearest

def quantization(mode):
    if mode == "base":
        return None
    if mode == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=mode[:3],
        bnb_4bit_use_double_quant=mode.endswith("dq"),
        bnb_4bit_compute_dtype=torch.float32)

for mode in sys.argv[3:] or MODES:
    model = AutoModelForCausalLM.from_pretrained(
        path, quantization_config=quantization(mode), dtype=torch.float32, device_map={"": "cpu"}).eval()
    ids = tok(open(f"{data}/wikitext2_test.txt").read(), add_special_tokens=False).input_ids
    x = torch.tensor([ids[:1024]])
    loss = torch.nn.functional.cross_entropy(model(x).logits[0, :-1].float(), x[0, 1:], reduction="sum").item()
    print(mode, loss, flush=True)
    lines = open(f"{data}/hellaswag_val_first1000.txt").read().split("\n")
    items = []
    for i in range(4):
        context, scores = lines[i * 6], []
        k = len(tok(context, add_special_tokens=False).input_ids)
        for ending in lines[i * 6 + 2:i * 6 + 6]:
            b = tok(context + " " + ending, add_special_tokens=False).input_ids
            each = model(torch.tensor([b])).logits[0, :-1].float().log_softmax(-1).gather(1, torch.tensor(b[1:])[:, None])
            scores.append(each[k - 1:, 0].sum().item())
        items.append(scores)
    golden[mode] = {"loss": loss, "items": items}

file.write_text(json.dumps(golden, indent=1) + "\n")
