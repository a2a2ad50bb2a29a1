"""Golden values of the block types: writes encoded.txt, superblocks.txt, iq4.txt and superblock_reference.txt here.

  python golden.py LIBGGML

needs gguf 0.19.0 (PyPI) and numpy; LIBGGML is llama.cpp's libggml-base.so (0.3.36 of llama-cpp-python has
one), whose quantize_row_*_K_ref is the reference of how well K types can be encoded.
"""

import ctypes
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES, quants

HERE = Path(__file__).parent
K_TYPES = [T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K]
random = np.random.default_rng(7)


def blocks32():
    """Blocks of 32: random at several scales, and the corners of the rules."""
    rows = [random.normal(0, s, 32) for s in (1e-3, 0.02, 1, 30)]
    rows.append(random.uniform(0.5, 1.5, 32))  # all positive
    rows.append(-random.uniform(0.5, 1.5, 32))  # all negative
    rows.append(np.zeros(32))
    rows.append(np.full(32, 0.75))
    rows.append(np.full(32, -3.0))
    rows.append(np.where(np.arange(32) == 5, 8.0, random.normal(0, 0.01, 32)))  # an outlier
    rows.append(np.where(np.arange(32) % 2 == 0, 1.0, -1.0))  # equal magnitudes: the first decides
    rows.append((np.arange(32) - 16) / 16.0)  # halves: the rounding of ties
    rows.append((np.arange(32) - 15.5) * 127 / 15.5 / 127)
    rows.append(random.normal(0, 1e-7, 32))  # scales below the normal numbers of binary16
    return np.array(rows, dtype=np.float32)


def encoded():
    x = blocks32()
    with open(HERE / "encoded.txt", "w") as out:
        out.write("# float32 values (little-endian, hex), then: type, their blocks by gguf.quants.quantize of PyPI gguf 0.19.0\n")
        out.write(x.tobytes().hex() + "\n")
        for t in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
            out.write(f"{t.name} {np.ascontiguousarray(quants.quantize(x, t)).tobytes().hex()}\n")


def superblocks():
    with open(HERE / "superblocks.txt", "w") as out:
        out.write("# type, blocks, their float32 values (little-endian, hex), by gguf.quants.dequantize of PyPI gguf 0.19.0\n")
        for t in K_TYPES:
            size = GGML_QUANT_SIZES[t][1]
            raw = random.integers(0, 256, (2, size), dtype=np.uint8)
            for at in {T.Q2_K: (80, 82), T.Q3_K: (108,), T.Q4_K: (0, 2), T.Q5_K: (0, 2), T.Q6_K: (208,)}[t]:
                scale = random.normal(0, 0.1, (2, 1)).astype(np.float16)  # no infinity, no NaN
                raw[:, at : at + 2] = scale.view(np.uint8)
            out.write(f"{t.name} {raw.tobytes().hex()} {quants.dequantize(raw, t).tobytes().hex()}\n")


def reference(library):
    ggml = ctypes.CDLL(library)
    x = random.normal(0, 1, (8, 256))
    x[1] *= np.repeat(random.uniform(0.2, 2, 16), 16)  # sub-blocks of several scales
    x[2] = random.standard_t(3, 256)  # heavy tails
    x[3] = random.laplace(0, 1, 256)
    x[4] = random.uniform(-1, 1, 256)
    x[5] += 0.7  # not centred
    x[6][::50] *= 8  # outliers
    x = (x * 0.03).astype(np.float32)
    with open(HERE / "superblock_reference.txt", "w") as out:
        out.write("# float32 values (little-endian, hex), then: type, their blocks by llama.cpp's quantize_row_TYPE_ref\n")
        out.write(x.tobytes().hex() + "\n")
        for t in K_TYPES:
            bits = np.zeros((len(x), GGML_QUANT_SIZES[t][1]), dtype=np.uint8)
            encode = getattr(ggml, f"quantize_row_{t.name.replace('Q', 'q')}_ref")
            encode(x.ctypes.data_as(ctypes.c_void_p), bits.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
            out.write(f"{t.name} {bits.tobytes().hex()}\n")


def iq4():
    random = np.random.default_rng(11)
    with open(HERE / "iq4.txt", "w") as out:
        out.write("# type, blocks, their float32 values (little-endian, hex), by gguf.quants.dequantize of PyPI gguf\n")
        for t, rows in ((T.IQ4_NL, 5), (T.IQ4_XS, 3)):
            raw = random.integers(0, 256, (rows, GGML_QUANT_SIZES[t][1]), dtype=np.uint8)
            raw[:, 0:2] = random.normal(0, 0.1, (rows, 1)).astype(np.float16).view(np.uint8)
            out.write(f"{t.name} {raw.tobytes().hex()} {quants.dequantize(raw, t).tobytes().hex()}\n")


encoded()
superblocks()
iq4()
reference(sys.argv[1])
