"""Writes the golden values beside it: python golden.py (torch 2.7.1 with AVX2, transformers 5.23)."""
import json, math, struct
import torch
from transformers import get_scheduler

def hexes(t):
    return struct.pack(">%df" % t.numel(), *t.tolist()).hex()

def values(seed, n, scale):
    """Multiples of 2^-23 times a power of two: exact in float32 in any language."""
    out = []
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(((seed >> 40) - 2**23) / 2**23 * scale)
    return torch.tensor(out, dtype=torch.float32)

def exact_sqrt(t):
    """MKL's float32 square root is off by one ulp in one value of six; this one is correctly rounded."""
    return sqrt(t.double()).float()

sqrt = torch.Tensor.sqrt

def adamw():
    cases = []
    settings = [
        (37, 1e-3, 0.9, 0.999, 1e-8, 0.0, 1.0),
        (37, 5e-3, 0.9, 0.95, 1e-8, 0.01, 0.125),
        (64, 2e-4, 0.9, 0.999, 1e-8, 0.1, 0.0009765625),
        (5, 0.1, 0.8, 0.99, 1e-6, 0.05, 16.0),
        (33, 3e-4, 0.4, 0.9, 1e-3, 0.3, 1.0),
        (1, 1.0, 0.0, 0.5, 1e-8, 0.0, 1.0),
        (19, 1e-4, 0.95, 0.98, 1e-10, 1.5, 0.00000095367431640625),
        (40, 2e-4, 0.9, 0.999, 1e-8, 0.01, 0.0),
    ]
    for i, (n, lr, b1, b2, eps, wd, scale) in enumerate(settings):
        p, q = (torch.nn.Parameter(values(1000 + i, n, 1.0)) for _ in range(2))
        opt, plain = (torch.optim.AdamW([x], lr=lr, betas=(b1, b2), eps=eps, weight_decay=wd, foreach=False)
                      for x in (p, q))
        after = {}
        for step in range(1, 21):
            for o, x in ((opt, p), (plain, q)):
                o.param_groups[0]["lr"] = lr * (1 - step / 40)  # moves, so that the rate of each step counts
                x.grad = values(7919 * i + step, n, scale)
            torch.Tensor.sqrt = exact_sqrt
            opt.step()
            torch.Tensor.sqrt = sqrt
            plain.step()
            if step in (1, 2, 7, 20):
                s = opt.state[p]
                after[step] = {"param": hexes(p.data), "m": hexes(s["exp_avg"]), "v": hexes(s["exp_avg_sq"]),
                               "plain_param": hexes(q.data)}
        cases.append({"n": n, "lr": lr, "beta1": b1, "beta2": b2, "eps": eps, "weight_decay": wd,
                      "grad_scale": scale, "param_seed": 1000 + i, "grad_seed": 7919 * i, "after": after})
    return cases

def schedules():
    cases = []
    for name in ("constant_with_warmup", "linear", "cosine"):
        for warmup, total in ((0, 10), (2, 10), (3, 7), (10, 10), (1, 1), (0, 1), (100, 1000), (7, 5)):
            p = torch.nn.Parameter(torch.zeros(1))
            opt = torch.optim.SGD([p], lr=1.0)
            sched = get_scheduler(name, opt, num_warmup_steps=warmup, num_training_steps=total)
            steps = [s for s in range(total + 4) if total <= 20 or s % 37 == 0 or s > total]
            lam = sched.lr_lambdas[0]
            cases.append({"name": name.split("_")[0], "warmup": warmup, "total": total,
                          "steps": steps, "multipliers": [lam(s) for s in steps]})
    return cases

def clips():
    cases = []
    for i, (n, scale, max_norm) in enumerate(((37, 1.0, 1.0), (1000, 8.0, 0.3), (10, 0.0078125, 1.0), (5000, 1024.0, 2.5), (3, 0.0, 1.0))):
        g = values(50 + i, n, scale)
        p = torch.nn.Parameter(torch.zeros(n)); p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_([p], max_norm)
        cases.append({"n": n, "seed": 50 + i, "scale": scale, "max_norm": max_norm, "norm": norm.item(),
                      "head": hexes(p.grad[:8])})
    return cases

def warmups():
    return [{"total": t, "ratio": r, "steps": math.ceil(t * r)}
            for t in (1, 3, 10, 33, 100, 1000, 12345) for r in (0.0, 0.03, 0.05, 0.1, 0.25, 0.5, 0.999)]

with open("golden.json", "w") as f:
    json.dump({"adamw": adamw(), "schedules": schedules(), "clips": clips(), "warmups": warmups()}, f, indent=0)
