"""Golden values of tokenizers out of GGUF files: writes sentencepiece.json, gemma.json and pre_tokenizers.json here.

  python golden.py

needs sentencepiece, transformers (5.23) and tokenizers. The vocabularies are trained on this project's documentation.
"""

import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import Regex, pre_tokenizers
from transformers.integrations.gguf import gguf_tokenizer_mapping as mapping
from transformers.utils import sentencepiece_model_pb2_new as proto

HERE = Path(__file__).parent
DOCS = HERE.parents[7] / "docs"
TEXTS = [
    "",
    " ",
    "a model is merged",
    " two  spaces   and    more ",
    "line\nbreak\n\ntwo\ttab\r\n",
    "naïve café, 3.14 and 12,345",
    "日本語 мир 🙂 👩‍👩‍👧 e\u0301",
    "<0x41> ▁literal",
    "    indented\n        deeper\n",
    "<b>bold</b><b>",
    "\u00a0\u200b\ufeff\x00\x7f",
    "x" * 50 + " " * 31 + "y",
]


def train(**more):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for f in sorted(DOCS.glob("*.md")) for line in f.read_text().splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        character_coverage=0.99,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
        **more,
    )
    return model.getvalue()


def write(name, model, user_defined=lambda text: text):
    """Pieces as the converter writes them, and the ids that SentencePiece itself gives."""
    parsed = proto.ModelProto()
    parsed.ParseFromString(model)
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [
        [user_defined(p.piece) if p.type == 4 else p.piece, p.score, p.type] for p in parsed.pieces
    ]
    texts = [{"text": text, "ids": own.encode(text)} for text in TEXTS]
    (HERE / name).write_text(json.dumps({"pieces": pieces, "texts": texts}, ensure_ascii=True) + "\n")


def splits():
    """As transformers builds them for a GGUF of that name; digits: as SmolLM's own tokenizer.json has them."""
    known = {
        name: json.loads(
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(regex), behavior="isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            ).__getstate__()
        )
        for name, regex in mapping.GGUF_PRE_TOKENIZER_SPLITS.items()
    }
    known["gpt-2"] = json.loads(pre_tokenizers.ByteLevel(add_prefix_space=False).__getstate__())
    known["smollm"] = json.loads(
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ).__getstate__()
    )
    (HERE / "pre_tokenizers.json").write_text(json.dumps(known, indent=1) + "\n")


write("sentencepiece.json", train(add_dummy_prefix=True))
runs = ["▁" * n for n in range(2, 32)] + ["\n" * n for n in range(2, 8)] + ["<b>", "</b>"]
write(
    "gemma.json",
    train(add_dummy_prefix=False, user_defined_symbols=runs, pad_id=0, eos_id=1, bos_id=2, unk_id=3),
    lambda text: text.replace("▁", " "),
)
splits()
