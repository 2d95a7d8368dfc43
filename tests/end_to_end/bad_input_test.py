#!/usr/bin/env python3
"""Damaged, contradictory, oversized and unknown checkpoints and texts."""

import os
import shutil
import struct
import unittest

from program import (CANARY, COMPARE, TEXT, ProgramTest, edit_json, read_safetensors,
                     write_safetensors)

MATRIX = "model.layers.1.mlp.up_proj.weight"


class Texts(ProgramTest):
    def test_invalid_utf8_is_named_with_its_offset(self):
        text = self.folder / "text.txt"
        text.write_bytes(b"x" * 5000 + b"\xc3(" + b"y" * 5000)
        for command in (["eval", CANARY, "--text", text, "--chunk", "64"],
                        [*COMPARE, "--text", text], [*COMPARE, "--calibration-text", text],
                        ["quantize", CANARY, "w4a16", "-o", "out", "--calibration-text", text],
                        ["eval", CANARY, "--text", text, "--chunk", "64", "--stride", "32"]):
            self.refused(*command, says=[text, "offset:   5000", "UTF-8"])
        self.assertFalse((self.folder / "out").exists())

    def test_a_text_too_short_is_refused(self):
        text = self.folder / "text.txt"
        for content in ("", "Once upon a time."):
            text.write_text(content)
            self.refused("eval", CANARY, "--text", text, says=[text])
            self.refused(*COMPARE, "--text", text, says=[text])
            self.refused(*COMPARE, "--calibration-text", text, says=[text])

    def test_calibrating_on_the_evaluation_text_is_refused(self):
        self.refused(*COMPARE, "--text", TEXT, "--calibration-text", TEXT,
                     says=[TEXT, "--calibration-text"])

    def test_bad_task_files_are_named_with_the_line(self):
        tasks = self.folder / "tasks.jsonl"
        for line in ('{"prompt": "a"}', '{"prompt": "a", "answer": ""}', "{", "[]", "\xff"):
            tasks.write_bytes(b'{"prompt": "a", "answer": "b"}\n' + line.encode("latin-1") + b"\n")
            self.refused(*COMPARE, "--workload", tasks, says=[tasks, "line 2"])
        self.assertFalse((self.folder / "compare-out").exists())


class Checkpoints(ProgramTest):
    def all_refuse(self, checkpoint, says):
        """Every command that reads a checkpoint refuses it and leaves nothing behind."""
        for command in (["eval", checkpoint, "--chunk", "64", "--chunks", "1"],
                        ["quantize", checkpoint, "fp8", "-o", "out"],
                        ["quantize", checkpoint, "gguf:q8_0", "-o", "out.gguf"],
                        ["compare", checkpoint, *COMPARE[2:], "--out", "out"]):
            self.refused(*command, says=says)
            self.assertFalse((self.folder / "out").exists(), command)
            self.assertFalse((self.folder / "out.gguf").exists(), command)
            self.assertEqual(self.partials(), [], command)

    def test_a_config_that_contradicts_the_tensors(self):
        for key, value in (("hidden_size", 512), ("num_hidden_layers", 99), ("vocab_size", 4097),
                           ("num_attention_heads", 7), ("intermediate_size", 0),
                           ("num_key_value_heads", -1)):
            with self.subTest(key=key):
                model = self.copy_of_canary(f"model-{key}")
                edit_json(model / "config.json", **{key: value})
                self.all_refuse(model, says=[model])
                shutil.rmtree(model)

    def test_config_files_that_are_no_config(self):
        model = self.copy_of_canary()
        for content in (b"", b"{", b"[]", b"null", b'{"architectures": 3}', b"\xff\xfe",
                        b"[" * 100000, b'{"architectures": ["LlamaForCausalLM"]}'):
            with self.subTest(content=content[:40]):
                (model / "config.json").write_bytes(content)
                self.all_refuse(model, says=[model])

    def test_files_that_a_checkpoint_lacks(self):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            with self.subTest(name=name):
                model = self.copy_of_canary(f"without-{name}")
                (model / name).unlink()
                self.refused("eval", model, "--chunk", "64", "--chunks", "1", says=[model])

    def test_a_missing_shard_is_named(self):
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        names = [name for name in header if name != "__metadata__"]
        index = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
        (model / "model.safetensors.index.json").write_text(
            '{"metadata": {}, "weight_map": ' + str(index).replace("'", '"') + "}")
        self.all_refuse(model, says=["model-00002-of-00002.safetensors"])

    def test_truncated_safetensors(self):
        model = self.copy_of_canary()
        whole = (model / "model.safetensors").read_bytes()
        (header,) = struct.unpack_from("<Q", whole)
        lengths = [0, 1, 7, 8, 9, 100, 7 + header, 8 + header, 9 + header, len(whole) // 2,
                   len(whole) - 4096, len(whole) - 1]
        for length in lengths:
            with self.subTest(length=length):
                (model / "model.safetensors").write_bytes(whole[:length])
                self.refused("eval", model, "--chunk", "64", "--chunks", "1",
                             says=[model / "model.safetensors"])
                self.refused("quantize", model, "fp8", "-o", "out", says=["model.safetensors"])
                self.assertFalse((self.folder / "out").exists())

    def test_truncated_gguf(self):
        self.succeeds("quantize", CANARY, "gguf:q8_0", "-o", "m.gguf")
        path = self.folder / "m.gguf"
        whole = path.read_bytes()
        for length in (0, 3, 4, 8, 23, 24, 25, 1000, 50000, len(whole) // 2, len(whole) - 1):
            with self.subTest(length=length):
                path.write_bytes(whole[:length])
                self.refused("eval", path, "--chunk", "64", "--chunks", "1", says=[path])

    def test_a_nan_weight_is_found_before_anything_is_written(self):
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        offset = header[MATRIX]["data_offsets"][0] + 2 * 12345
        tensors[offset:offset + 2] = b"\xc0\x7f"
        write_safetensors(model / "model.safetensors", header, tensors)
        self.refused("inspect", model)
        self.assertIn(MATRIX, self.run_program("inspect", model).output)
        for lane, out in (("fp8", "out"), ("w4a16", "out"), ("gguf:q4_k_m", "out.gguf")):
            self.refused("quantize", model, lane, "-o", out, "--data-free", says=[MATRIX.removesuffix(".weight")])
            self.assertFalse((self.folder / out).exists())
        self.refused("compare", model, *COMPARE[2:], "--out", "report")
        self.assertEqual(self.partials(), [])

    def test_damage_in_tensors_that_lanes_copy_is_found(self):
        model = self.copy_of_canary()
        header, whole = read_safetensors(model / "model.safetensors")
        for name in ("model.norm.weight", "model.layers.1.input_layernorm.weight", "model.embed_tokens.weight"):
            tensors = bytearray(whole)
            offset = header[name]["data_offsets"][0] + 2
            tensors[offset:offset + 2] = b"\x80\x7f"
            write_safetensors(model / "model.safetensors", header, tensors)
            for lane, out in (("fp8", "out"), ("w4a16", "out"), ("bf16", "out"), ("gguf:bf16", "out.gguf")):
                self.refused("quantize", model, lane, "-o", out, "--data-free", says=[f"name:     {name}", "NaN or infinity"])
                self.assertFalse((self.folder / out).exists())
        self.assertEqual(self.partials(), [])

    def test_rotations_blame_the_tensor_that_is_damaged(self):
        model = self.copy_of_canary()
        header, whole = read_safetensors(model / "model.safetensors")
        cases = (("model.layers.1.input_layernorm.weight", "element 1"), (MATRIX, "row 0, column 1"),
                 ("model.embed_tokens.weight", "row 0, column 1"))
        for bits in (b"\x80\x7f", b"\xc0\x7f"):
            for name, place in cases:
                tensors = bytearray(whole)
                offset = header[name]["data_offsets"][0] + 2
                tensors[offset:offset + 2] = bits
                write_safetensors(model / "model.safetensors", header, tensors)
                self.refused("quantize", model, "fp8+rotate", "-o", "out", "--data-free",
                             says=[f"name:     {name}", f"NaN or infinity in {place} of this weight"])
                self.assertFalse((self.folder / "out").exists())

    def test_error_feedback_that_overflows_is_refused(self):
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        offset = header[MATRIX]["data_offsets"][0] + 2
        tensors[offset:offset + 2] = struct.pack("<f", 3e38)[2:]
        write_safetensors(model / "model.safetensors", header, tensors)
        for lane in ("w4a16+gptq", "nvfp4a16+gptq", "gptq+gptq", "w4a16-asym+gptq", "fp8+gptq"):
            self.refused("quantize", model, lane, "-o", "out", "--calibration-chunks", "2", says=[MATRIX.removesuffix(".weight")])
            self.assertFalse((self.folder / "out").exists())

    def test_the_first_tensor_whose_results_are_not_finite_is_named(self):
        norm = "model.layers.2.input_layernorm.weight"
        everything = (["eval", "model", "--chunk", "64", "--chunks", "1"], ["quantize", "model", "w4a16", "-o", "out"],
                      ["quantize", "model", "w4a16+gptq", "-o", "out"], ["imatrix", "model", "--chunks", "1", "-o", "out.gguf"],
                      ["compare", "model", *COMPARE[2:], "--out", "report"])
        model = self.copy_of_canary()
        header, whole = read_safetensors(model / "model.safetensors")
        begin, end = header[norm]["data_offsets"]
        tensors = bytearray(whole)
        tensors[begin + 14:begin + 16] = b"\x80\x7f"
        write_safetensors(model / "model.safetensors", header, tensors)
        for command in everything:
            self.refused(*command, says=[f"name:     {norm}", "NaN or infinity in element 7"])
        tensors[begin:end] = struct.pack("<f", 3e38)[2:] * ((end - begin) // 2)  # finite, but not what it gives
        write_safetensors(model / "model.safetensors", header, tensors)
        for command in everything:
            self.refused(*command, says=[f"name:     {norm}", "model.layers.2.self_attn.q_proj"])
        self.assertEqual(self.partials(), [])

    def test_configurations_that_contradict_the_tensors_of_codes(self):
        self.succeeds("quantize", CANARY, "w4a16-asym", "-o", "asym", "--data-free")
        config = self.folder / "asym/config.json"
        config.write_text(config.read_text().replace('"symmetric": false', '"symmetric": true'))
        self.refused("convert", "asym", "out", "--to", "f32", says=["weight_zero_point", "symmetric"])
        self.succeeds("quantize", CANARY, "gptq", "-o", "gptq", "--data-free")
        config = self.folder / "gptq/config.json"
        config.write_text(config.read_text().replace('"desc_act": false', '"desc_act": true'))
        header, tensors = read_safetensors(self.folder / "gptq/model.safetensors")
        order = MATRIX.replace("weight", "g_idx")
        header[order.replace("g_idx", "x_idx")] = header.pop(order)
        write_safetensors(self.folder / "gptq/model.safetensors", header, tensors)
        self.refused("convert", "gptq", "out", "--to", "f32", says=[order])
        self.assertFalse((self.folder / "out").exists())

    def test_a_window_that_llama_cpp_does_not_know_is_said_to_be_lost(self):
        model = self.copy_of_canary()
        edit_json(model / "config.json", model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=64)
        for command in (["quantize", model, "gguf:q8_0", "-o", "q.gguf", "--data-free"],
                        ["convert", model, "f.gguf", "--to", "f16"]):
            self.assertIn("the sliding window of 64 tokens is lost", self.succeeds(*command).errors)

    def test_a_matrix_too_small_for_the_scales_of_its_type_is_named(self):
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        begin, end = header[MATRIX]["data_offsets"]
        for value, named in ((0x2080, True), (0x0000, False)):  # bf16: 2.2e-19 in every place, or zero
            tensors[begin:end] = struct.pack("<H", value) * ((end - begin) // 2)
            write_safetensors(model / "model.safetensors", header, tensors)
            process = self.succeeds("quantize", model, "gguf:q4_k_m", "-o", "out.gguf", "--data-free", "-f")
            self.assertEqual(f"{MATRIX}: its values, at most 2.2e-19" in process.errors, named, process.errors)

    def test_a_value_that_the_type_does_not_hold_is_refused(self):
        self.succeeds("convert", CANARY, "wide", "--to", "f32")
        file = self.folder / "wide/model.safetensors"
        header, tensors = read_safetensors(file)
        begin = header[MATRIX]["data_offsets"][0]
        # What bf16 rounds to its largest value, and the next larger float32.
        for bits, held in ((0x7F7F7FFF, True), (0x7F7F8000, False)):
            struct.pack_into("<I", tensors, begin + 4, bits)
            write_safetensors(file, header, tensors)
            if held:
                self.succeeds("convert", "wide", "narrow", "--to", "bf16")
            else:
                self.refused("convert", "wide", "none", "--to", "bf16",
                             says=[MATRIX, "values up to 3.38953e+38", "row 0, column 1"])
            self.refused("convert", "wide", "none", "--to", "f16", says=[MATRIX, "values up to 65504"])
            self.assertFalse((self.folder / "none").exists())

    def test_a_model_too_big_for_memory(self):
        # 3 TiB of bf16 in one sparse file, whose header and configuration agree.
        hidden, feed, layers, vocab = 16384, 65536, 400, 4096
        model = self.copy_of_canary()
        (model / "model.safetensors").unlink()
        edit_json(model / "config.json", hidden_size=hidden, intermediate_size=feed,
                  num_hidden_layers=layers, num_attention_heads=128, num_key_value_heads=128,
                  head_dim=128, tie_word_embeddings=True)
        shapes = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]}
        for layer in range(layers):
            prefix = f"model.layers.{layer}."
            for name in ("input_layernorm", "post_attention_layernorm"):
                shapes[f"{prefix}{name}.weight"] = [hidden]
            for name in ("q", "k", "v", "o"):
                shapes[f"{prefix}self_attn.{name}_proj.weight"] = [hidden, hidden]
            shapes[f"{prefix}mlp.gate_proj.weight"] = [feed, hidden]
            shapes[f"{prefix}mlp.up_proj.weight"] = [feed, hidden]
            shapes[f"{prefix}mlp.down_proj.weight"] = [hidden, feed]
        header, end = {}, 0
        for name, shape in shapes.items():
            begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
        write_safetensors(model / "model.safetensors", header, b"")
        try:
            os.truncate(model / "model.safetensors",
                        (model / "model.safetensors").stat().st_size + end)
        except OSError as error:
            self.skipTest(f"no sparse file of {end >> 40} TiB here: {error}")
        self.refused("eval", model, "--chunk", "64", "--chunks", "1", says=["memory"])
        self.refused("bench", model, says=["memory"])
        self.refused("compare", model, *COMPARE[2:], "--out", "out", says=["memory"])
        self.refused("quantize", model, "w4a16", "-o", "out", "--memory-limit", "4GiB", says=["memory"])
        # Where the disk has no room for the artefact either, that is said first.
        self.refused("quantize", model, "w4a16", "-o", "out", says=["expected:", "found:", "try:"])
        self.assertFalse((self.folder / "out").exists())


class UnknownArchitecture(ProgramTest):
    def test_the_error_names_the_supported_ones_and_fp8_works_by_name(self):
        model = self.copy_of_canary()
        edit_json(model / "config.json", architectures=["FancyForCausalLM"], model_type="fancy")
        self.refused("eval", model, says=["FancyForCausalLM", "llama"])
        self.refused("quantize", model, "fp8", "-o", "fp8", says=["llama"])
        self.refused("quantize", model, "gguf:q8_0", "-o", "m.gguf", "--arch-agnostic",
                     says=["llama", "fp8"])
        self.succeeds("quantize", model, "fp8", "-o", "fp8", "--arch-agnostic")
        edit_json(self.folder / "fp8/config.json", architectures=["LlamaForCausalLM"],
                  model_type="llama")
        # The canary is a Llama, so its artefact must still score like the model.
        result = self.succeeds("eval", "fp8", "--reference", CANARY, "--chunk", "128", "--chunks",
                               "2")
        self.assertRegex(result.output, r"top-1 agreement +(0\.9|1\.0)")


if __name__ == "__main__":
    unittest.main()
