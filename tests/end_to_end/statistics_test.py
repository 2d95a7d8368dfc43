#!/usr/bin/env python3
"""One pass whose statistics are saved, merged and used by lanes of every kind."""

import json
import unittest

from program import CANARY, TEXT, ProgramTest, edit_json, read_safetensors, write_safetensors

TWO = ["--chunks", "2"]
CALIBRATION = CANARY / "calibration.txt"


class SavedStatistics(ProgramTest):
    def test_lanes_of_both_kinds_come_out_as_with_a_pass_of_their_own(self):
        self.succeeds("imatrix", CANARY, "--text", CALIBRATION, *TWO, "-o", "s.safetensors")
        own = ["--calibration-text", CALIBRATION, "--calibration-chunks", "2"]
        for lane, out in (("gguf:q4_k_m", "{}.gguf"), ("gguf:iq2_m", "{}-iq2.gguf"), ("w4a16", "{}"),
                          ("fp8-static", "{}-fp8")):
            self.succeeds("quantize", CANARY, lane, "-o", out.format("own"), *own)
            self.succeeds("quantize", CANARY, lane, "-o", out.format("saved"), "--statistics", "s.safetensors")
            made, saved = (self.folder / out.format(name) for name in ("own", "saved"))
            if made.is_dir():
                made, saved = made / "model.safetensors", saved / "model.safetensors"
            self.assertEqual(made.read_bytes(), saved.read_bytes(), lane)
        self.succeeds("quantize", CANARY, "gguf:q4_k_m", "-o", "named.gguf", "--imatrix", "s.safetensors")
        shown = self.succeeds("inspect", "named.gguf", "--no-verify").output
        self.assertRegex(shown, r"quantize.imatrix.file +s.safetensors")
        self.assertRegex(shown, r"quantize.imatrix.chunks_count +2")

    def test_samples_are_no_longer_than_the_context_of_the_model(self):
        model = self.copy_of_canary("short")
        edit_json(model / "config.json", max_position_embeddings=256)
        self.succeeds("imatrix", model, "--text", CALIBRATION, *TWO, "-o", "s.safetensors")
        own = ["--calibration-text", CALIBRATION, "--calibration-chunks", "2"]
        self.succeeds("quantize", model, "w4a16", "-o", "own", *own)
        self.succeeds("quantize", model, "w4a16", "-o", "saved", "--statistics", "s.safetensors")
        made, saved = ((self.folder / name / "model.safetensors").read_bytes() for name in ("own", "saved"))
        self.assertEqual(made, saved)
        self.succeeds("compare", model, "--lanes", "w4a16", "--calibration-text", CALIBRATION, "--chunk", "64",
                      "--chunks", "2", "--task-items", "1", "--out", "report")
        report = json.loads((self.folder / "report/report.json").read_text())
        self.assertEqual(report["calibration"]["tokens"], 32 * 256)

    def test_compare_takes_them_for_its_gguf_lanes(self):
        self.succeeds("imatrix", CANARY, "--text", CALIBRATION, *TWO, "-o", "s.safetensors")
        self.succeeds("compare", CANARY, "--lanes", "gguf:q4_k_m", "--imatrix", "s.safetensors", "--chunk", "64",
                      "--chunks", "2", "--task-items", "1", "--out", "report")
        report = json.loads((self.folder / "report/report.json").read_text())
        self.assertIn("importances from s.safetensors", report["lanes"][0]["notices"])

    def test_merging_adds_and_show_tells(self):
        self.succeeds("imatrix", CANARY, "--text", CALIBRATION, *TWO, "-o", "a.safetensors")
        self.succeeds("imatrix", CANARY, "--text", TEXT, "--chunks", "3", "-o", "b.safetensors")
        process = self.succeeds("imatrix", "merge", "a.safetensors", "b.safetensors", "-o", "ab.safetensors", "--json")
        merged = json.loads(process.output)
        self.assertEqual((merged["format"], merged["chunk_count"], merged["tokens"]), ("safetensors", 5, 5 * 512))
        self.assertEqual(merged["datasets"], [str(CALIBRATION), str(TEXT)])
        report = json.loads(self.succeeds("imatrix", "show", "ab.safetensors", "--json").output)
        rows = {row["name"]: row for row in report["tensors"]}
        row = rows["model.layers.3.mlp.down_proj.weight"]
        self.assertEqual((row["layer"], row["tensor"], row["columns"]), (3, "mlp.down_proj", 768))
        self.assertEqual(len(rows), 6 * 7 + 1)
        self.assertIn("mlp.down_proj", self.succeeds("imatrix", "show", "ab.safetensors").output)
        self.succeeds("quantize", CANARY, "gguf:q4_k_m", "-o", "ab.gguf", "--statistics", "ab.safetensors")

    def test_lanes_without_calibration_say_so_and_texts_beside_statistics_are_refused(self):
        self.succeeds("imatrix", CANARY, *TWO, "-o", "s.safetensors")
        for lane in ("fp8", "bf16"):
            said = self.succeeds("quantize", CANARY, lane, "-o", lane, "--statistics", "s.safetensors").errors
            self.assertIn("from the weights alone: the statistics are not used", said)
            self.assertNotIn("own pass", said)
        text = ["--statistics", "s.safetensors", "--calibration-text", CALIBRATION]
        self.refused("quantize", CANARY, "w4a16", "-o", "no", *text, code=2,
                     says=["--statistics and --calibration-text"])
        self.assertFalse((self.folder / "no").exists())
        # Error feedback reads it.
        self.succeeds("quantize", CANARY, "w4a16+gptq", "-o", "fed", "--calibration-chunks", "2", *text)

    def test_a_flipped_byte_is_refused(self):
        self.succeeds("imatrix", CANARY, *TWO, "-o", "s.safetensors")
        file = self.folder / "s.safetensors"
        data = bytearray(file.read_bytes())
        data[-40] ^= 1
        file.write_bytes(data)
        self.refused("quantize", CANARY, "w4a16", "-o", "no", "--statistics", file, says=["s.safetensors", "checksum"])

    def test_other_kinds_and_models_are_refused(self):
        self.succeeds("imatrix", CANARY, *TWO, "-o", "a.safetensors")
        self.succeeds("imatrix", CANARY, *TWO, "-o", "a.gguf")
        self.refused("imatrix", "merge", "a.safetensors", "a.gguf", "-o", "c.safetensors", says=["a.gguf", "statistics"])
        self.refused("imatrix", "merge", "a.safetensors", "-o", "c.gguf", says=["a.safetensors", "importance matrix"])
        other = self.copy_of_canary()
        header, tensors = read_safetensors(other / "model.safetensors")
        tensors[0] ^= 1
        write_safetensors(other / "model.safetensors", header, tensors)
        self.succeeds("imatrix", other, *TWO, "-o", "b.safetensors")
        self.refused("imatrix", "merge", "a.safetensors", "b.safetensors", "-o", "c.safetensors",
                     says=["b.safetensors", "content"])
        self.refused("quantize", CANARY, "gguf:q4_k_m", "-o", "c.gguf", "--imatrix", "b.safetensors",
                     says=["b.safetensors", "content"])
        self.refused("imatrix", "show", CANARY / "model.safetensors", says=["model.safetensors"])
        self.refused("imatrix", CANARY, *TWO, "-o", other / "model.safetensors", "--force", says=["something else"])
        self.assertFalse(any(self.folder.glob("c.*")))


if __name__ == "__main__":
    unittest.main()
