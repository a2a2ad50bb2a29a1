"""Writes the golden values beside it: python golden.py (peft 0.21)."""
import json, random, re
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

def llama(layers):
    out = []
    for i in range(layers):
        out += [f"model.layers.{i}.self_attn.{p}_proj" for p in "qkvo"]
        out += [f"model.layers.{i}.mlp.{p}_proj" for p in ("gate", "up", "down")]
    return out + ["lm_head"]

def moe(layers, experts):
    out = []
    for i in range(layers):
        out += [f"model.layers.{i}.self_attn.{p}_proj" for p in "qkvo"]
        out += [f"model.layers.{i}.block_sparse_moe.gate"]
        out += [f"model.layers.{i}.block_sparse_moe.experts.{e}.w{k}" for e in range(experts) for k in (1, 2, 3)]
    return out + ["lm_head"]

def towers():
    return ([f"vision_tower.encoder.layers.{i}.self_attn.q_proj" for i in range(3)]
            + [f"model.language_model.layers.{i}.{m}" for i in range(3) for m in ("self_attn.q_proj", "self_attn.qkv_proj", "mlp.fc1")]
            + [f"transformer.h.{i}.attn.c_attn" for i in range(12)] + ["q_proj", "h.1.q_proj", "layers.0.q_proj", "a-b.c{1}.x[0]"])

MODELS = {"llama": llama(12), "moe": moe(3, 4), "towers": towers()}

TARGETS = [
    ["q_proj", "v_proj"], ["proj"], ["self_attn.q_proj"], ["attn.q_proj"], ["lm_head"], ["model.layers.1.self_attn.q_proj", "down_proj"],
    ["w1", "w3"], ["gate"], ["experts.1.w2"], ["q_proj", "q_proj"], ["c_attn"], ["fc1"], ["0.w1"],
    r".*\.(q_proj|down_proj)$", r"q_proj", r".*q_proj", r"model\.layers\.\d+\.self_attn\.[qk]_proj", r".*layers\.(0|1|2)\..*", r".*layers\.1[0-9]?\..*",
    r"(?P<pre>model|transformer)\..*", r".*\.(?P<a_b>\w)_proj", r".*\.(?P<x>\d)\..*\.(?P=x)\..*", r".*experts\.(?!0)\d\.w[12]", r".*(?<=gate)_proj", r"(?i).*Q_PROJ", r".*\.[^.]{4}_proj", r".*\.[^.]{,6}",
    r".*c{1}.x\[0\]", r".*c\{1}.*", r"[a-z_.\d]+", r"[]a-z0-9_.]+", r".*[[]0]", r"[a&&z].*", r".*\Aq_proj", r".*q_proj\Z", r"(?:model|vision_tower).*(?:q|k)_proj",
    r"(?:.*?(?:vision|image|visual|patch|embed).*?(?:self_attn|attention|attn|mlp).*?(?:q_proj|k_proj|fc1).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|k_proj)))",
    r".*\x71_proj", r".*\u0071_proj", r"\w+(?:\.\w+)*?\.q_proj", r".*(?#comment)q_proj", r"((((model))))\..*", r".*layers\.(?:[02468]|1[02])\.mlp\.(up|down)_proj",
    r"(?>model|transformer)\..*", r".*+", r"[^m].*", r"[\]\[a-z.]+", r".*\bqkv_proj", r".*q.?.?_proj", r"(?-i:model).*", r"(?i:MODEL).*", r"a{2}", r"x{", r".*\.h\.\d{2}\..*",
]
REFUSED = [r"(", r")", r"[a", r"*a", r"a**", r"\p{L}", r"\Qa\E", r"(?<n>a)", r"a(?i)b", r"(?P<1a>x)", r"\xg1", r"\h", "\\", r"(?z)", r"a{2}{3}", r"(?P=nope)"]
LAYERS = [(None, None), ([1, 2], None), (1, None), ([0, 11], "layers"), ([0, 1], ["h", "layers"]), ([2], "experts"), ([], None), ([1], r"l\w+s"), ([1], ["nothing"]), ([0, 1], "h|layers")]
EXCLUDES = [None, ["k_proj"], ["model.layers.0.self_attn.q_proj", "lm_head"], r".*\.1\..*", ["attn"]]

def matches():
    cases = []
    for t in TARGETS:
        for layers, pattern in (LAYERS if isinstance(t, list) else LAYERS[:1]):
            for ex in EXCLUDES if (layers, pattern) in LAYERS[:2] else EXCLUDES[:1]:
                c = LoraConfig(target_modules=t, layers_to_transform=layers, layers_pattern=pattern, exclude_modules=ex)
                for name, paths in MODELS.items():
                    hit = [i for i, p in enumerate(paths) if check_target_module_exists(c, p)]
                    cases.append({"targets": t, "layers": layers, "pattern": pattern, "exclude": ex, "model": name, "hits": hit})
    return cases

def keys():
    maps = [["q_proj"], ["^q_proj"], ["self_attn.q_proj", "q_proj"], ["layers.1.self_attn.q_proj"], [r"model\.layers\.[01]\..*"], ["proj"], ["layers.1"],
            [r".*\.mlp\..*", "up_proj"], ["q_proj|k_proj"], [r"\d+.self_attn.o_proj"], ["^model.layers.0.self_attn.k_proj"], ["w1", "experts.0.w1"], ["model.layers.1.mlp.gate_proj$"]]
    out = []
    for m in maps:
        for name, paths in MODELS.items():
            out.append({"keys": m, "model": name, "found": [m.index(k) if (k := get_pattern_key(m, p)) in m else -1 for p in paths]})
    return out

for bad in REFUSED:
    try:
        re.compile(bad); raise SystemExit(f"{bad!r} is fine in Python")
    except re.error:
        pass

with open("golden.json", "w") as f:
    json.dump({"models": MODELS, "matches": matches(), "keys": keys(), "refused": REFUSED}, f, indent=None, separators=(",", ":"))
