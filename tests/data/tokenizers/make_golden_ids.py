"""Writes golden_ids.json: ids that the Python package tokenizers gives for a list of texts.

usage: make_golden_ids.py NAME=tokenizer.json ... (pip install tokenizers==0.23.3)
The texts, and the lists of patterns for which the canary's vocabulary is cut differently, are those
of golden_ids.json itself.
"""

import json
import pathlib
import sys

import tokenizers

path = pathlib.Path(__file__).with_name("golden_ids.json")
golden = json.loads(path.read_text())
golden["generator"] = f"make_golden_ids.py with tokenizers {tokenizers.__version__}"
golden["ids"] = {}
for argument in sys.argv[1:]:
    name, file = argument.split("=", 1)
    tokenizer = tokenizers.Tokenizer.from_file(file)
    golden["ids"][name] = [
        tokenizer.encode(text, add_special_tokens=False).ids for text in golden["texts"]
    ]
    if name != "canary":
        continue
    document = json.loads(pathlib.Path(file).read_text())
    for row in golden["cuts"]:
        splits = [
            {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
            for p in row["patterns"]
        ]
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                      "use_regex": False}
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*splits, byte_level]}
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(document))
        row["token_counts"] = [
            len(tokenizer.encode(text, add_special_tokens=False).ids) for text in golden["texts"]
        ]
path.write_text(json.dumps(golden, separators=(",", ":")))
