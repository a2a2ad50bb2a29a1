"""Tiny models of architectures and settings that the fixtures lack, with what transformers makes of them.

golden.py, with torch 2.7.1 and transformers 5.24 on any CPU; writes a folder a case beside itself:
config.json, model.safetensors (float32, norms and biases drawn too) and golden.safetensors with
input_ids [1, 30], logits [1, 30, vocabulary], and of the mean cross-entropy of the next tokens the
loss and the norm of its gradient by all weights.
"""

import os

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
tiny = dict(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
cases = {
    "smollm3": dict(model_type="smollm3"),
    "smollm3_sliding": dict(
        model_type="smollm3", use_sliding_window=True, sliding_window=6, no_rope_layer_interval=2
    ),
    "qwen2_sliding": dict(
        model_type="qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=2
    ),
    "qwen3_biases": dict(
        model_type="qwen3",
        head_dim=8,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=9,
        layer_types=["sliding_attention", "full_attention"] * 2,
    ),
    "mistral_null": dict(model_type="mistral", sliding_window=None),
    "gemma2": dict(
        model_type="gemma2",
        head_dim=8,
        sliding_window=6,
        query_pre_attn_scalar=5,
        attn_logit_softcapping=0.5,
        final_logit_softcapping=0.7,
    ),
    "gemma2_uncapped": dict(
        model_type="gemma2",
        head_dim=4,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        sliding_window=9,
        layer_types=["full_attention", "sliding_attention"] * 2,
        attention_bias=True,
    ),
    "gemma3": dict(
        model_type="gemma3_text",
        head_dim=8,
        sliding_window=6,
        query_pre_attn_scalar=5,
        final_logit_softcapping=0.7,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        },
    ),
    "phi3_long": dict(
        model_type="phi3",
        num_attention_heads=2,
        num_key_value_heads=1,
        original_max_position_embeddings=20,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.5,
            "short_factor": [1.0, 1.7],
            "long_factor": [2.5, 9.0],
        },
    ),
    "phi3_short": dict(
        model_type="phi3",
        original_max_position_embeddings=48,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "attention_factor": 1.2,
            "short_factor": [1.5, 3.0],
            "long_factor": [2.5, 9.0],
        },
    ),
    "phi3_sliding": dict(model_type="phi3", sliding_window=6, tie_word_embeddings=True),
    "olmo2": dict(model_type="olmo2", attention_bias=True, rope_parameters={"rope_theta": 100.0}),
    "mixtral": dict(
        model_type="mixtral", num_local_experts=5, num_experts_per_tok=2, sliding_window=7
    ),
    "qwen3_moe": dict(
        model_type="qwen3_moe",
        head_dim=8,
        num_experts=6,
        num_experts_per_tok=3,
        moe_intermediate_size=8,
        norm_topk_prob=True,
        attention_bias=True,
    ),
    "qwen3_moe_some": dict(
        model_type="qwen3_moe",
        head_dim=4,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=12,
        norm_topk_prob=False,
        decoder_sparse_step=2,
        mlp_only_layers=[3],
    ),
}

for number, (name, fields) in enumerate(cases.items()):
    torch.manual_seed(number)
    config = AutoConfig.for_model(**{**tiny, **fields})
    config.tie_word_embeddings = False
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    for key, parameter in model.named_parameters():
        noise = torch.randn_like(parameter)
        parameter.data = (1 + 0.1 * noise) if "norm" in key else 0.2 * noise
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(f"{here}/{name}")
    os.remove(f"{here}/{name}/generation_config.json")
    ids = torch.randint(0, 32, (1, 30))
    logits = model(input_ids=ids).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
    save_file(
        {
            "input_ids": ids,
            "logits": logits.detach().contiguous(),
            "loss": loss.detach().reshape(1),
            "grad_norm": norm.reshape(1),
        },
        f"{here}/{name}/golden.safetensors",
    )
    print(name, loss.item(), norm.item())
