"""Writes golden_ids.json: ids that the Python package tokenizers gives for a list of texts.

usage: make_golden_ids.py NAME=tokenizer.json ... (pip install tokenizers==0.23.3)
The texts are those of golden_ids.json itself.
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
path.write_text(json.dumps(golden, separators=(",", ":")))
