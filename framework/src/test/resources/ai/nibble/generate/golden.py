"""Makes golden.json: what transformers leaves of logits, and what it generates greedily.

golden.py SHARED; writes beside itself. Needs torch 2.7.1, transformers 5.23.
"""

import json
import os
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

fixtures = f"{sys.argv[1]}/fixtures/models"
here = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = 97


def order(settings):
    """The order of GenerationMixin._get_logits_processor; a test of ours holds us to it."""
    model = AutoModelForCausalLM.from_pretrained(f"{fixtures}/llama_plain")
    config = GenerationConfig(do_sample=True, **settings)
    made = model._get_logits_processor(config, input_ids_seq_length=1)
    return [type(step).__name__ for step in made]


def steps(settings):
    """Made by hand, in that order, as every default there would add a step."""
    makers = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor,
        "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor,
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
        "typical_p": TypicalLogitsWarper,
    }
    return LogitsProcessorList([make(settings[key]) for key, make in makers.items() if key in settings])


CASES = [
    {},
    {"temperature": 0.7},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 96},
    {"top_k": 500},
    {"top_p": 0.05},
    {"top_p": 0.5},
    {"top_p": 0.93},
    {"min_p": 0.02},
    {"min_p": 0.4},
    {"min_p": 1.0},
    {"typical_p": 0.1},
    {"typical_p": 0.6},
    {"typical_p": 0.95},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "temperature": 0.6},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.8},
    {"temperature": 0.5, "top_p": 0.9, "min_p": 0.1},
    {"temperature": 2.0, "top_k": 30, "typical_p": 0.7},
    {
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 3,
        "temperature": 1.3,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.05,
        "typical_p": 0.8,
    },
]

generator = torch.Generator().manual_seed(5)
prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
answer = [8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5, 3, 1, 4, 1, 5, 9, 2, 3]
warped = []
for settings in CASES:
    logits = torch.randn(VOCABULARY, generator=generator) * 2.5
    scores = steps(settings)(torch.tensor([prompt + answer]), logits[None].clone())[0]
    probabilities = scores.softmax(-1)
    kept = [i for i in range(VOCABULARY) if scores[i] != -float("inf")]
    warped.append(
        {
            "settings": settings,
            "logits": logits.tolist(),
            "kept": kept,
            "probabilities": [probabilities[i].item() for i in kept],
        }
    )

everything = order(CASES[-1])
greedy = []
for name in ("llama", "llama_plain", "llama_yarn"):
    model = AutoModelForCausalLM.from_pretrained(f"{fixtures}/{name}", dtype=torch.float32).eval()
    ids = load_file(f"{fixtures}/{name}/golden.safetensors")["input_ids"][:, :9]
    for settings in ({}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}):
        for row in ids:
            with torch.no_grad():
                out = model.generate(
                    row[None],
                    attention_mask=torch.ones_like(row[None]),
                    do_sample=False,
                    max_new_tokens=48,
                    eos_token_id=None,
                    **settings,
                )
            greedy.append(
                {
                    "model": name,
                    "settings": settings,
                    "prompt": row.tolist(),
                    "answer": out[0, row.shape[0] :].tolist(),
                }
            )

with open(f"{here}/golden.json", "w") as file:
    json.dump(
        {
            "order": everything,
            "prompt": prompt,
            "answer": answer,
            "warped": warped,
            "greedy": greedy,
        },
        file,
    )
    file.write("\n")
print(everything, len(warped), "cases,", len(greedy), "greedy answers")
