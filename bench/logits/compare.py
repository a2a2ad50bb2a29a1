"""How far logits are from the true ones: VOCABULARY TRUTH OTHER..., files of ai.nibble.bench.Logits"""
import sys

import numpy as np


def rows(path):
    return np.memmap(path, dtype=np.float32, mode="r").reshape(-1, int(sys.argv[1]))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


truth = rows(sys.argv[2])
print("| | mean KL | mean error | largest | same first token | two first tokens tie |")
print("|---|---|---|---|---|---|")
for path in sys.argv[3:]:
    other = rows(path)
    assert other.shape == truth.shape, (path, other.shape, truth.shape)
    parts = []
    for begin in range(0, len(truth), 128):
        t, o = (x[begin : begin + 128].astype(np.float64) for x in (truth, other))
        lt, lo = log_softmax(t), log_softmax(o)
        kl = (np.exp(lt) * (lt - lo)).sum(-1)
        error = np.abs(t - o)
        first = np.sort(o, -1)[:, -2:]
        same = t.argmax(-1) == o.argmax(-1)
        tie = first[:, 0] == first[:, 1]
        parts.append(np.stack([kl, error.mean(-1), error.max(-1), same, tie]))
    kl, mean, most, same, tie = np.concatenate(parts, -1)
    print(
        f"| {path} | {kl.mean():.2e} | {mean.mean():.4f} | {most.max():.3f}"
        f" | {100 * same.mean():.1f} % | {100 * tie.mean():.1f} % |"
    )
