"""Writes golden.json beside it: python golden.py (tokenizers 0.23.3). Merges of Hugging Face's BpeTrainer."""
import json, pathlib, random
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
WORDS = r"\p{N}|[\p{L}\p{M}]+|\s+|[^\s\p{L}\p{M}\p{N}]+"
PATTERNS = {"QWEN2": QWEN2, "WORDS": WORDS}

PROSE = [
    "The quick brown fox jumps over the lazy dog. The dog doesn't mind; the fox isn't quick enough!",
    'She said "the dog" and wrote {"dog":{"name":"Rex","age":12},"open":true} at 07:30 on 12 May 2024.',
    "Größe, naïve café, Ελλάδα, Москва, 東京タワー, हिन्दी, مرحبا, e\u0301te\u0301, ½ ² Ⅷ ٣ 😀😀\u200d",
    "tabs\tand\r\nlines\n\n  two spaces,   three;\u00a0no break\u3000wide \u2028separator\u0085next\x0bvertical\x1cfile",
    "I'LL say they'Ve got it's 's ... ---- ==== ((())) can't CAN'T",
]

def letters(seed, alphabet, words, longest):
    """Words that make ties, runs of one letter and two ways to one token likely."""
    r = random.Random(seed)
    return [" ".join("".join(r.choice(alphabet) for _ in range(r.randint(1, longest))) for _ in range(40))
            for _ in range(words // 40)]

CASES = [
    ("prose", PROSE, 400, 2, ["<|endoftext|>"]),
    ("prose to the end", PROSE, 2000, 1, []),
    ("two letters", letters(1, "ab", 400, 12), 420, 2, ["<s>", "</s>"]),
    ("one letter", letters(2, "a", 80, 15), 300, 1, []),
    ("five letters", letters(3, "abcde", 2000, 8), 700, 3, ["<s>"]),
]

golden = []
for name, texts, size, frequency, special in CASES:
    for split, pattern in PATTERNS.items():
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=size, min_frequency=frequency, special_tokens=special, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        model = json.loads(t.to_str())["model"]
        vocab = sorted(model["vocab"], key=model["vocab"].get)
        golden.append({"name": name, "split": split, "texts": texts, "vocab_size": size,
                       "min_frequency": frequency, "special": special,
                       "merges": [" ".join(m) for m in model["merges"]],
                       "tokens": vocab[len(special) + 256:]})
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, ensure_ascii=True, indent=0) + "\n")
