"""QLoRA step speed and peak memory of transformers + peft + bitsandbytes on a GPU, for a model of a
given shape with random weights: NF4 with double quantisation, rank 16 on every linear, AdamW.
peer_gpu.py DIRECTORY_WITH_CONFIG_JSON TOKENS_A_SEQUENCE MODE:TOKENS ...   (MODE none or block)
Needs: pip install torch transformers peft accelerate bitsandbytes."""
import statistics, sys, time
import torch
import bitsandbytes as bnb
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

directory, length, runs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
config = AutoConfig.from_pretrained(directory)
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    model = replace_with_bnb_linear(model, modules_to_not_convert=["lm_head"], quantization_config=quantization)
generator = torch.Generator("cuda").manual_seed(0)
def random(shape):
    return torch.randn(shape, dtype=torch.bfloat16, device="cuda", generator=generator) * config.initializer_range
for name, module in model.named_modules():
    if isinstance(module, bnb.nn.Linear4bit):
        value = random(tuple(module.weight.shape))
        module.weight = bnb.nn.Params4bit(value.cpu(), requires_grad=False, compress_statistics=True, quant_type="nf4").cuda()
    elif name.endswith("rotary_emb"):
        model.get_submodule(name.rpartition(".")[0]).rotary_emb = type(module)(config, device="cuda")
    else:
        for key, parameter in list(module.named_parameters(recurse=False)):
            value = random(tuple(parameter.shape)) if parameter.dim() > 1 else torch.ones(parameter.shape, dtype=torch.bfloat16, device="cuda")
            setattr(module, key, torch.nn.Parameter(value, requires_grad=False))
model.is_loaded_in_4bit = True
model.is_quantized = True
model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.0, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
model.cuda().train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
generator = torch.Generator().manual_seed(0)
for run in runs:
    mode, tokens = run.split(":")
    if mode == "block":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    try:
        for step in range(5):
            ids = torch.randint(0, config.vocab_size, (int(tokens) // length, length), generator=generator).cuda()
            torch.cuda.synchronize()
            start = time.time()
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss = loss.item()
            torch.cuda.synchronize()
            seconds.append(time.time() - start)
        median = statistics.median(seconds[2:])
        print(f"peer checkpointing {mode}, {tokens} tokens a step: {int(tokens) / median:.0f} tokens/s (median step {median * 1e3:.1f} ms), reserved {torch.cuda.max_memory_reserved() / 2**30:.1f} GiB, loss {loss:.4f}", flush=True)
    except torch.OutOfMemoryError as e:
        optimizer.zero_grad()
        print(f"peer checkpointing {mode}, {tokens} tokens a step: out of memory", flush=True)
