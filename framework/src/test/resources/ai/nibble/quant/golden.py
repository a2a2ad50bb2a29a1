"""Writes int8.safetensors beside it: python golden.py (torch 2.7.1, bitsandbytes 0.50.2).

bitsandbytes' Linear8bitLt on the CPU, out of training (in training it multiplies by the dequantised weight there; on a GPU it
does not): output and the input's gradient, in float32 and bfloat16, with and without outliers, threshold 6 and none. Inputs are
numbers of float16, to which bitsandbytes rounds them. In all cases 24 rows of 96 inputs, 40 outputs, a bias."""
import pathlib
import torch
from bitsandbytes.nn import Linear8bitLt
from safetensors.torch import save_file

torch.manual_seed(8)
golden = {}
for dtype in [torch.float32, torch.bfloat16]:
    for name, threshold, outliers in [("plain", 6.0, False), ("outliers", 6.0, True), ("all", 0.0, True)]:
        weight = torch.randn(40, 96).mul_(0.1).to(dtype)
        bias = torch.randn(40).to(dtype)
        x = torch.randn(24, 96).clamp_(-5, 5).half().float()
        if outliers:
            x[3, 7], x[20, 7], x[5, 90], x[9, 0] = 9.5, -31.0, -6.0, 17.25
        x = x.to(dtype).requires_grad_()
        layer = Linear8bitLt(96, 40, bias=True, has_fp16_weights=False, threshold=threshold)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layer = layer.to("cpu").eval()
        y = layer(x)
        dy = torch.randn(24, 40).to(dtype)
        y.backward(dy)
        case = f"{str(dtype)[6:]}.{name}."
        for key, value in [("weight", weight), ("bias", bias), ("x", x), ("y", y), ("dy", dy), ("dx", x.grad),
                           ("codes", layer.weight.data), ("scb", layer.state.SCB)]:
            golden[case + key] = value.detach().clone().contiguous()
        assert golden[case + "codes"].dtype == torch.int8, case

save_file(golden, pathlib.Path(__file__).with_name("int8.safetensors"))
