"""Token ids of the first sequences of a text: MODEL TEXT SEQUENCES TOKENS > ids.txt"""
import sys

from transformers import AutoTokenizer

model, text, sequences, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
tokenizer = AutoTokenizer.from_pretrained(model)
beginning = open(text, encoding="utf-8").read()[: 16 * sequences * tokens]
ids = tokenizer(beginning, add_special_tokens=False)["input_ids"]
for s in range(sequences):
    print(*ids[s * tokens : (s + 1) * tokens])
