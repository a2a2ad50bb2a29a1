"""Writes the golden values beside it: python golden.py (torch 2.7.1 with AVX2, transformers 5.23, bitsandbytes 0.50.2).

With torch 2.11, python golden.py muon writes muon.json alone."""
import json, math, struct, sys
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

def course(shape, lr, wd, make, seed, scale=1.0, steps=6):
    """Values of a parameter after each of some updates."""
    n = math.prod(shape)
    stride = 1 if n < 1000 else 37
    p = torch.nn.Parameter(values(seed, n, 1.0).reshape(shape))
    opt = make([p])
    after = []
    for step in range(1, steps + 1):
        p.grad = values(seed + step, n, scale).reshape(shape) ** 3  # of many sizes
        opt.step()
        after.append(hexes(p.data.flatten()[::stride]))
    return {"stride": stride, "shape": list(shape), "lr": lr, "weight_decay": wd, "seed": seed, "scale": scale, "after": after}

def nearest(a, code, absmax_out, out_uint8, blocksize):
    """What bitsandbytes' CUDA kernels store; its CPU backend's codes are one off in a value of five."""
    flat = a.flatten()
    pad = -flat.numel() % blocksize
    absmax = torch.nn.functional.pad(flat, (0, pad)).reshape(-1, blocksize).abs().amax(1)
    x = flat / absmax.clamp(min=1e-45).repeat_interleave(blocksize)[:flat.numel()]
    absmax_out.copy_(absmax)
    out_uint8.copy_((code[None] - x[:, None]).abs().argmin(1).to(torch.uint8).reshape(a.shape))

def others():
    import bitsandbytes as bnb
    from bitsandbytes.backends.cpu import ops
    ops._quant_blockwise_fp32_direct = nearest
    from transformers.optimization import Adafactor
    cases = []
    def add(name, shape, lr, wd, make, **more):
        seed = 100000 + 100 * len(cases)
        cases.append({"name": name, **more, **course(shape, lr, wd, make, seed)})
    for momentum in (0.0, 0.9):
        for wd in (0.0, 0.1):
            add("sgd", (7, 5), 0.1, wd, lambda p: torch.optim.SGD(p, lr=0.1, momentum=momentum, weight_decay=wd), momentum=momentum)
    for wd in (0.0, 0.1):
        add("lion", (7, 5), 0.01, wd, lambda p: bnb.optim.Lion(p, lr=0.01, betas=(0.9, 0.99), weight_decay=wd))
        for shape in ((16, 40), (40, 3), (9,)):
            add("adafactor", shape, 0.01, wd, lambda p: Adafactor(p, lr=0.01, weight_decay=wd, scale_parameter=False, relative_step=False, warmup_init=False))
    for shape, wd in (((16, 320), 0.0), ((4500,), 0.1), ((64, 64), 0.01), ((10, 10), 0.1)):
        add("adamw_8bit", shape, 0.01, wd, lambda p: bnb.optim.AdamW8bit(p, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=wd))
    return cases

def muon():
    torch.Tensor.bfloat16 = torch.Tensor.float  # iterations in float32, as ours
    cases = []
    for i, (shape, wd) in enumerate((((16, 40), 0.0), ((40, 16), 0.1), ((8, 8), 0.1), ((1, 12), 0.0))):
        cases.append({"name": "muon", "momentum": 0.95, **course(shape, 0.02, wd, lambda p: torch.optim.Muon(
            p, lr=0.02, weight_decay=wd, momentum=0.95, adjust_lr_fn="match_rms_adamw"), 200000 + 100 * i)})
    return cases

def more_schedules():
    cases = []
    def add(name, warmup, total, kwargs):
        p = torch.nn.Parameter(torch.zeros(1))
        opt = torch.optim.SGD([p], lr=2e-4)
        sched = get_scheduler(name, opt, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=dict(kwargs))
        steps = [s for s in range(total + 3) if total <= 30 or s % 37 == 0 or s > total]
        lam = sched.lr_lambdas[0]
        cases.append({"name": name, "warmup": warmup, "total": total, "kwargs": kwargs,
                      "steps": steps, "multipliers": [lam(s) for s in steps]})
    for warmup, total in ((0, 20), (3, 20), (10, 1000)):
        for cycles in (1, 2, 5):
            add("cosine_with_restarts", warmup, total, {"num_cycles": cycles})
        for power, end in ((1.0, 1e-7), (2.0, 1e-5), (0.5, 0.0)):
            add("polynomial", warmup, total, {"power": power, "lr_end": end})
        for timescale in (10000, 50):
            add("inverse_sqrt", warmup, total, {"timescale": timescale})
        for decay, least in ((2, 0.0), (total // 2, 0.1), (total - warmup, 0.0)):
            add("warmup_stable_decay", warmup, total, {"num_decay_steps": decay, "min_lr_ratio": least})
    return cases

def write(name, parts):
    with open(name, "w") as f:
        json.dump(parts, f, indent=0)

if sys.argv[1:] == ["muon"]:
    write("muon.json", {"others": muon()})
else:
    write("golden.json", {"adamw": adamw(), "schedules": schedules(), "clips": clips(), "warmups": warmups()})
    write("others.json", {"others": others(), "schedules": more_schedules()})
