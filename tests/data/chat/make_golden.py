#!/usr/bin/env python3
"""Renders chat templates with jinja2, set up as transformers' apply_chat_template() does, and writes
golden.json: what src/model/chat must give. Templates are those in this folder (written for these
tests) and those of ../shared/data/tokenizers/chat-templates, of which only hashes are kept.

    make_golden.py SHARED_DATA
"""
import hashlib
import json
import pathlib
import sys

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
SYSTEM = {"role": "system", "content": "Be terse."}
FIRST = {"role": "user", "content": "Hi there"}
ANSWER = {"role": "assistant", "content": "Hello!\nHow are you?"}
PADDED = {"role": "user", "content": ' Padded "quotes" \n'}
SECOND = {"role": "assistant", "content": "Fine."}
CHATS = [[FIRST], [SYSTEM, FIRST], [FIRST, ANSWER, PADDED], [SYSTEM, FIRST, ANSWER, PADDED],
         [FIRST, ANSWER, PADDED, SECOND], [SYSTEM, FIRST, ANSWER, PADDED, SECOND, FIRST],
         [ANSWER, FIRST], [FIRST, PADDED], [SYSTEM]]


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def render(source, chat, generate):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[jinja2.ext.loopcontrols])
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda x, **options: json.dumps(x, ensure_ascii=False, **options)
    try:
        return environment.from_string(source).render(
            messages=chat, tools=None, documents=None, add_generation_prompt=generate,
            bos_token="<s>", eos_token="</s>")
    except (jinja2.exceptions.TemplateError, TypeError):
        return None


def main():
    shared = pathlib.Path(sys.argv[1]) / "tokenizers/chat-templates"
    templates = []
    for path in [*sorted(HERE.glob("*.jinja")), *sorted(shared.glob("*.jinja"))]:
        source = path.read_bytes().decode()
        texts = [render(source, chat, generate) for chat in CHATS for generate in (True, False)]
        if path.parent == shared:
            texts = [t if t is None else hashlib.sha256(t.encode()).hexdigest() for t in texts]
        templates.append({"file": path.name, "shared": path.parent == shared, "texts": texts})
    (HERE / "golden.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "chats": CHATS, "templates": templates},
                   ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
