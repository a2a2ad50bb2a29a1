"""Writes preferences.json beside it: python golden.py FIXTURES (torch 2.7.1, transformers 5.23, peft 0.21, trl 1.16).

The losses are TRL's own code, fed with the log-probabilities of a PEFT model in float32; the gradients are torch's.
FIXTURES is the folder of the tiny models and adapters. The reference is the same model with its adapter off, or where a
case names a start that adapter, copied as DPOTrainer copies it, of which the trained one has moved away."""
import json, math, sys, types, warnings
from pathlib import Path
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer
from trl.trainer.utils import use_adapter

warnings.filterwarnings("ignore")
fixtures = Path(sys.argv[1])


def ids(seed, n):
    """Token ids of no meaning, the same in any language."""
    out = []
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(3 + (seed >> 40) % 90)
    return out


PAIRS = [{"prompt_ids": ids(i, p), "chosen_ids": ids(10 + i, c), "rejected_ids": ids(20 + i, r)}
         for i, (p, c, r) in enumerate([(5, 4, 7), (9, 6, 3), (3, 11, 8)])]
ROWS = [{"prompt_ids": ids(90 + i, p), "completion_ids": ids(100 + i, c), "label": label}
        for i, (p, c, label) in enumerate([(6, 5, True), (4, 9, False), (8, 3, True), (5, 7, False), (7, 4, False)])]


def mismatched(rows):
    """As KTOTrainer does within a batch: each prompt with the answer before it."""
    return [{**row, "KL_completion_ids": rows[i - 1]["completion_ids"]} for i, row in enumerate(rows)]


class Fused(torch.nn.Module):
    """What TRL asks of a model whose head is fused, computed plainly."""

    is_gradient_checkpointing = False

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, labels=None, **_):
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        if labels is None:
            return types.SimpleNamespace(logits=logits)
        labels = labels[:, 1:]
        logs = logits[:, :-1].log_softmax(-1)
        of = logs.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1) * (labels != -100)
        zeros = torch.zeros_like(of)
        return types.SimpleNamespace(log_probs=of, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(), logits=logits)


class Off(Fused):
    def forward(self, *args, **kwargs):
        with self.model.disable_adapter():
            return super().forward(*args, **kwargs)


class Start(Fused):
    def forward(self, *args, **kwargs):
        with use_adapter(self.model, "ref"):
            return super().forward(*args, **kwargs)


class Accelerator:
    device = torch.device("cpu")

    def gather(self, x):
        return x

    gather_for_metrics = gather


def load(adapter="llama_plain"):
    base = AutoModelForCausalLM.from_pretrained(fixtures / "models/llama", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, fixtures / "lora" / adapter, is_trainable=True)
    return model.eval()  # dropout off


def moved(adapter):
    """A model with the copy that DPOTrainer.__init__ makes, whose trained adapter has learned something since."""
    model = load(adapter)
    model.add_adapter("ref", model.peft_config["default"])
    for name, p in model.named_parameters():
        if ".default." in name:
            model.get_parameter(name.replace(".default.", ".ref.")).data.copy_(p.data)
            p.data += 0.01 * torch.sin(torch.arange(1, p.numel() + 1, dtype=torch.float64)).float().view(p.shape)
    return model.eval()


def trainer(kind, model, **settings):
    self = kind.__new__(kind)
    import collections
    for key, value in dict(
        accelerator=Accelerator(), aux_loss_enabled=False, is_encoder_decoder=False, padding_value=0, pad_token_id=0,
        precompute_ref_logps=False, ref_model=Start(model) if "ref" in model.peft_config else Off(model), model=Fused(model),
        ld_alpha=None, use_weighting=False, f_divergence_type="reverse_kl", f_alpha_divergence_coef=0.5, calculate_KL=True, _total_train_tokens=0, _tp_size=1, label_smoothing=0.0,
        alpha=0.0, _metrics={m: collections.defaultdict(list) for m in ("train", "eval")},
        args=types.SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05), processing_class=None,
    ).items():
        object.__setattr__(self, key, value)
    for key, value in settings.items():
        object.__setattr__(self, key, value)
    return self


def gradients(model):
    """Of each tensor the norm, and the product with cos(1), cos(2), …"""
    out = {}
    for name, p in model.named_parameters():
        if p.requires_grad and ".ref." not in name:
            g = p.grad.double().flatten()
            wave = torch.cos(torch.arange(1, g.numel() + 1, dtype=torch.float64))
            name = name.replace(".modules_to_save.default", "").replace("magnitude_vector.default.weight", "magnitude_vector")
            out[name.replace(".default", "")] = [g.norm().item(), (g @ wave).item()]
    return out


def case(name, settings, compute):
    model = moved(settings["start"]) if "start" in settings else load()
    loss, metrics = compute(model)
    loss.backward()
    return {"name": name, **settings, "loss": loss.item(),
            "metrics": {k: float(v) for k, v in metrics.items() if k.split("/")[0] in ("rewards", "logps", "kl", "nll_loss")},
            "gradients": gradients(model)}


def dpo(name, types_, weights=(1.0,), rows=PAIRS, start=None, **s):
    begun = {} if start is None else {"start": start}

    def compute(model):
        t = trainer(DPOTrainer, model, loss_types=types_, loss_weights=list(weights), **s)
        batch = DataCollatorForPreference(pad_token_id=0)([dict(r) for r in rows])
        loss = t._compute_loss(t.model, batch, False)
        return loss, {k: v[-1] for k, v in t._metrics["train"].items() if isinstance(v, list)}
    return case(name, {"method": "dpo", "types": types_, "weights": list(weights), "pairs": len(rows), **begun, **s}, compute)


def kto(name, rows=len(ROWS), start=None, loss_type="kto", **s):
    begun = {} if start is None else {"start": start}
    pairs = loss_type == "kto"

    def compute(model):
        t = trainer(KTOTrainer, model, loss_type=loss_type, calculate_KL=pairs, **s)
        batch = DataCollatorForUnpairedPreference(pad_token_id=0)(mismatched(ROWS[:rows]) if pairs else ROWS[:rows])
        loss = t._compute_loss(t.model, batch, False)
        return loss, {k: v[-1] for k, v in t._metrics["train"].items() if isinstance(v, list)}
    return case(name, {"method": "kto", "types": [loss_type], "rows": rows, **begun, **s}, compute)


def concatenated(answers):
    """The padded batch that ORPO's and CPO's tokenisation makes of one side."""
    width = max(len(p["prompt_ids"]) + len(p[answers]) for p in PAIRS)
    out = {"input_ids": [], "attention_mask": [], "labels": []}
    for p in PAIRS:
        tokens = p["prompt_ids"] + p[answers]
        labels = [-100] * len(p["prompt_ids"]) + p[answers]
        pad = width - len(tokens)
        out["input_ids"].append(tokens + [0] * pad)
        out["attention_mask"].append([1] * len(tokens) + [0] * pad)
        out["labels"].append(labels + [-100] * pad)
    return {k: torch.tensor(v) for k, v in out.items()}


def orpo_like(kind, name, method, **s):
    def compute(model):
        t = trainer(kind, model, **s)
        batch = {f"{side}_{k}": v for side in ("chosen", "rejected") for k, v in concatenated(side + "_ids").items()}
        return t.get_batch_loss_metrics(t.model, batch, "train")
    return case(name, {"method": method, **s}, compute)


cases = [
    dpo("sigmoid", ["sigmoid"], beta=0.1),
    dpo("sigmoid, strong", ["sigmoid"], beta=1.5),
    dpo("smoothing", ["aot"], rows=PAIRS[:1], beta=0.3, label_smoothing=0.1),  # of one pair it is cDPO's loss
    dpo("robust", ["robust"], beta=0.3, label_smoothing=0.2),
    dpo("hinge", ["hinge"], beta=0.2),
    dpo("ipo", ["ipo"], beta=0.1),
    dpo("rpo", ["sigmoid", "sft"], weights=(1.0, 0.5), beta=0.1),
    dpo("exo", ["exo_pair"], beta=0.3, label_smoothing=0.1),
    dpo("exo, strong", ["exo_pair"], beta=1.5, label_smoothing=1e-3),
    dpo("nca", ["nca_pair"], beta=0.5),
    dpo("bco", ["bco_pair"], beta=0.5),
    dpo("sppo", ["sppo_hard"], beta=0.5),
    dpo("apo, zero", ["apo_zero"], beta=0.5),
    dpo("apo, down", ["apo_down"], beta=0.5),
    dpo("discopop", ["discopop"], beta=0.1),
    dpo("norm", ["sigmoid_norm"], beta=2.0),
    dpo("mpo", ["sigmoid", "bco_pair", "sft"], weights=(0.8, 0.2, 1.0), beta=0.1),
    dpo("forward KL", ["sigmoid"], beta=0.3, f_divergence_type="forward_kl"),
    dpo("Jensen-Shannon", ["sigmoid"], beta=0.3, f_divergence_type="js_divergence"),
    dpo("alpha", ["ipo"], beta=0.3, f_divergence_type="alpha_divergence", f_alpha_divergence_coef=0.3),
    dpo("start", ["sigmoid"], beta=0.5, start="llama_plain"),
    dpo("start, DoRA", ["apo_down"], beta=0.5, start="llama_dora"),
    dpo("start, whole modules", ["sigmoid"], beta=0.5, start="llama_modules_to_save"),
    kto("start, kto", beta=0.5, desirable_weight=1.0, undesirable_weight=0.7, start="llama_plain"),
    kto("apo, unpaired", beta=0.5, desirable_weight=1.2, undesirable_weight=0.7, loss_type="apo_zero_unpaired"),
    kto("apo, one row", rows=1, beta=0.5, desirable_weight=1.0, undesirable_weight=1.0, loss_type="apo_zero_unpaired"),
    kto("kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0),
    kto("kto, weighted", rows=3, beta=0.4, desirable_weight=1.33, undesirable_weight=0.7),
    orpo_like(ORPOTrainer, "orpo", "orpo", beta=0.1),
    orpo_like(ORPOTrainer, "orpo, heavy", "orpo", beta=2.0),
    orpo_like(CPOTrainer, "simpo", "simpo", loss_type="simpo", beta=2.0, simpo_gamma=0.5, cpo_alpha=0.0),
    orpo_like(CPOTrainer, "simpo, smoothed", "simpo", loss_type="simpo", beta=10.0, simpo_gamma=3.0, cpo_alpha=0.25,
              label_smoothing=0.1),
    orpo_like(CPOTrainer, "cpo", "cpo", loss_type="sigmoid", beta=0.1, cpo_alpha=1.0),
]
text = json.dumps({"pairs": PAIRS, "rows": ROWS, "cases": cases}, indent=None, separators=(",", ":"))
(Path(__file__).parent / "preferences.json").write_text(text + "\n")
for c in cases:
    print(c["name"], c["loss"], c["metrics"])
