#!/usr/bin/env python3
"""Where output may go: nothing that is not an artefact of the program is ever replaced."""

import os
import shutil
import signal
import stat
import unittest

from program import CANARY, COMPARE, TEXT, ProgramTest, read_safetensors, write_safetensors


class Artefacts(ProgramTest):
    def files(self, folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def test_force_replaces_an_artefact_and_nothing_else(self):
        self.succeeds("quantize", CANARY, "fp8", "-o", "out")
        self.refused("quantize", CANARY, "w8a8", "-o", "out", says=["out", "--force"])
        self.succeeds("quantize", CANARY, "w8a8", "-o", "out", "--force")
        for name in ("notes.md", "sub/file", "model.bin"):
            with self.subTest(name=name):
                mine = self.folder / "out" / name
                mine.parent.mkdir(exist_ok=True)
                mine.write_text("mine")
                before = self.files(self.folder / "out")
                for command in (["quantize", CANARY, "fp8", "-o", "out", "--force"],
                                ["convert", CANARY, "out", "--force"]):
                    self.refused(*command, says=["out", name.split("/")[0]])
                self.assertEqual(self.files(self.folder / "out"), before)
                mine.unlink()
                if mine.parent != self.folder / "out":
                    mine.parent.rmdir()

    def test_force_replaces_a_gguf_file_but_no_other_file(self):
        out = self.folder / "m.gguf"
        self.succeeds("quantize", CANARY, "gguf:q8_0", "-o", out)
        self.succeeds("quantize", CANARY, "gguf:q4_k_m", "-o", out, "--force")
        out.write_text("mine")
        self.refused("quantize", CANARY, "gguf:q8_0", "-o", out, "--force", says=[out])
        self.assertEqual(out.read_text(), "mine")

    def test_source_and_output_are_apart(self):
        model = self.copy_of_canary()
        before = self.files(model)
        for out in (model, model / "sub", self.folder, f"{model}/../model/sub"):
            for force in ([], ["--force"]):
                self.refused("convert", model, out, *force, says=["source"])
        self.assertEqual(self.files(model), before)
        self.assertFalse((model / "sub").exists())


    def test_every_file_of_the_source_is_apart_from_the_output(self):
        self.succeeds("quantize", CANARY, "gguf:q4_0", "-o", "sp.gguf", "--data-free", "--split-max-size", "2MB")
        before = self.files(self.folder)
        self.refused("convert", "sp-00001-of-00003.gguf", "sp-00002-of-00003.gguf", "--to", "same", "--force",
                     says=["apart from the source"])
        self.assertEqual(self.files(self.folder), before)
        hub, links = self.folder / "hub", self.folder / "links"
        self.succeeds("convert", CANARY, hub, "--to", "bf16")
        links.mkdir()
        for file in hub.iterdir():
            (links / file.name).symlink_to(file)
        before = self.files(hub)
        self.refused("quantize", links, "fp8", "-o", hub, "--force", says=["apart from the source"])
        self.assertEqual(self.files(hub), before)

    def test_a_path_through_a_missing_folder_leads_to_what_is_there(self):
        """The folder is made on the way, so what the path leads to is what would be replaced."""
        for name in ("thesis/chapter.doc", "mine.gguf", "deployed/Modelfile", "chunks.dat"):
            mine = self.folder / name
            mine.parent.mkdir(exist_ok=True)
            mine.write_text("mine")
        self.succeeds("quantize", CANARY, "gguf:q8_0", "-o", "m.gguf")
        before = self.files(self.folder)
        for command, out in ((["quantize", CANARY, "fp8", "-o"], "new/../thesis"),
                             (["quantize", CANARY, "fp8", "-o"], "new/deeper/../../thesis/"),
                             (["quantize", CANARY, "gguf:q8_0", "-o"], "new/../mine.gguf"),
                             (["convert", CANARY], "new/../thesis"),
                             (["imatrix", CANARY, "--chunks", "1", "-o"], "new/../mine.gguf"),
                             (["imatrix", CANARY, "--chunks", "1", "-o"], "new/../chunks.dat"),
                             (["deploy", "m.gguf", "--for", "ollama", "-o"], "new/../deployed")):
            self.refused(*command, out, says=[out.split("/")[-1], "does not exist yet"])
            self.refused(*command, out, "--force", says=[out.split("/")[-1]])
            self.assertEqual(self.files(self.folder), before, out)
            self.assertFalse((self.folder / "new").exists())

    def test_a_source_that_is_a_link_is_not_replaced_by_another_spelling(self):
        model = self.copy_of_canary()
        (self.folder / "link").symlink_to(model)
        for out in ("new/../link", "link", "link/", "new/../link/sub", "model/sub", "new/../model"):
            for source in ("link", "model"):
                for force in ([], ["--force"]):
                    self.refused("quantize", source, "fp8", "-o", out, *force, says=["source"])
        self.assertEqual((self.folder / "link").readlink(), model)
        self.assertFalse((self.folder / "new").exists())


class Spellings(ProgramTest):
    def test_every_spelling_of_an_output_is_written_where_it_leads(self):
        """Folders that a path only goes through are not made."""
        self.succeeds("quantize", CANARY, "gguf:q8_0", "-o", "source.gguf")
        self.succeeds(*COMPARE, "--out", "compared")
        (self.folder / "ids.json").write_text("[1, 2, 3]")
        kept = sorted(self.folder.iterdir())
        for spelled, place in (("nd/NAME/.", "nd/NAME"), ("nd/NAME/", "nd/NAME"), ("nd//NAME", "nd/NAME"),
                               ("./nd/../NAME", "NAME"), (".//nd/./NAME/./", "nd/NAME"), ("nd/x/../../NAME", "NAME"),
                               ("nd/../nd/NAME", "nd/NAME")):
            for name, made, command in (
                    ("out", "config.json", ["quantize", CANARY, "fp8", "-o"]),
                    ("m.gguf", "", ["quantize", CANARY, "gguf:q4_0", "--data-free", "-o"]),
                    ("out", "config.json", ["convert", CANARY]),
                    ("m.gguf", "", ["convert", CANARY]),
                    ("i.dat", "", ["imatrix", CANARY, "--chunks", "1", "-o"]),
                    ("st.safetensors", "", ["imatrix", CANARY, "--chunks", "1", "-o"]),
                    ("out", "Modelfile", ["deploy", "source.gguf", "--for", "ollama", "-o"]),
                    ("l.npy", "", ["eval", CANARY, "--ids", "ids.json", "--logits"]),
                    ("p.html", "", ["report", "compared", "--html"])):
                with self.subTest(spelled=spelled, command=command):
                    self.succeeds(*command, spelled.replace("NAME", name))
                    file = self.folder / place.replace("NAME", name) / made
                    self.assertTrue(file.is_file())
                    top = self.folder / place.replace("NAME", name).split("/")[0]
                    self.assertEqual(sorted({*kept, top}), sorted(set(self.folder.iterdir()) - {self.folder / "cache"}))
                    self.assertEqual(len([path for path in top.rglob("*") if path.is_dir()]), place.count("/") if made else 0)
                    shutil.rmtree(top) if top.is_dir() else top.unlink()


class Inputs(ProgramTest):
    """What a command reads is never where it writes."""

    def refused_before_work(self, *command, says):
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        process = self.refused(*command, says=["apart from " + says])
        self.assertNotIn("calibrate", process.errors)
        self.assertEqual({path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}, before)

    def test_quantize_keeps_the_files_of_its_options(self):
        self.succeeds("imatrix", CANARY, "--chunks", "2", "-o", "i.gguf")
        self.succeeds("imatrix", CANARY, "--chunks", "2", "-o", "st.safetensors")
        self.succeeds("quantize", CANARY, "fp8", "-o", "so")
        (self.folder / "so/model-2.safetensors").write_bytes((self.folder / "st.safetensors").read_bytes())
        (self.folder / "so/README.md").write_bytes(TEXT.read_bytes())
        for out in ("i.gguf", "new/../i.gguf", "./i.gguf"):
            self.refused_before_work("quantize", CANARY, "gguf:q4_k_m", "--imatrix", "i.gguf", "-o", out, "-f", says="--imatrix")
        (self.folder / "link.gguf").symlink_to("i.gguf")
        for imatrix, out in (("link.gguf", "i.gguf"), ("i.gguf", "link.gguf"), ("link.gguf", "link.gguf")):
            self.refused_before_work("quantize", CANARY, "gguf:q4_k_m", "--imatrix", imatrix, "-o", out, "-f", says="--imatrix")
        for option, file in (("--statistics", "so/model-2.safetensors"), ("--calibration-text", "so/README.md"), ("--adapter", "so")):
            self.refused_before_work("quantize", CANARY, "w4a16", option, file, "-o", "so", "-f", says=option)
        shard = self.folder / "i-00001-of-00002.gguf"
        shard.write_bytes((self.folder / "i.gguf").read_bytes())
        self.refused_before_work("quantize", CANARY, "gguf:q4_k_m", "--imatrix", shard, "-o", "i.gguf", "-f", "--split-max-size", "1MB", says="--imatrix")

    def test_other_commands_keep_what_they_read(self):
        self.succeeds("imatrix", CANARY, "--chunks", "2", "-o", "i.dat")
        self.succeeds("quantize", CANARY, "fp8", "-o", "fp8")
        self.succeeds(*COMPARE, "--out", "out")
        for says, command in (
                ("the adapter", ["merge-lora", CANARY, "fp8", "-o", "fp8", "-f"]),
                ("--text", ["imatrix", CANARY, "--text", "i.dat", "-o", "i.dat", "-f"]),
                ("an input", ["imatrix", "merge", "i.dat", "-o", "./i.dat", "-f"]),
                ("--ids", ["eval", CANARY, "--ids", "i.dat", "--logits", "i.dat"]),
                ("--calibration-text", [*COMPARE, "--calibration-text", "out/report.html", "--out", "out"]),
                ("--imatrix", [*COMPARE, "--imatrix", "out/work/calibration.safetensors", "--out", "out"])):
            self.refused_before_work(*command, says=says)


class Meanwhile(ProgramTest):
    """What others put at the place of an output while the work is under way stays."""

    def test_a_file_that_appears_while_the_work_goes_on_is_kept(self):
        for command, mine, kept in (
                (["quantize", CANARY, "gguf:q4_k_m", "-o", "m.gguf"], "m.gguf", "m.gguf.finished-{}"),
                (["quantize", CANARY, "gguf:q4_0+gptq", "-o", "s.gguf", "--split-max-size", "2MB"],
                 "s-00002-of-00003.gguf", "s.gguf.finished-{}/s-00001-of-00003.gguf"),
                (["imatrix", CANARY, "-o", "i.dat"], "i.dat", "i.dat.finished-{}"),
                (["imatrix", CANARY, "-o", "i.gguf"], "i.gguf", "i.gguf.finished-{}"),
                (["imatrix", CANARY, "-o", "i.safetensors"], "i.safetensors", "i.safetensors.finished-{}")):
            with self.subTest(command=command):
                process = self.start(*command)
                said = ""
                while "calibrate" not in said:
                    line = process.stderr.readline()
                    self.assertNotEqual(line, "", said)
                    said += line
                os.kill(process.pid, signal.SIGSTOP)
                (self.folder / mine).write_text("mine")
                os.kill(process.pid, signal.SIGCONT)
                _, errors = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 1, errors)
                self.assertEqual((self.folder / mine).read_text(), "mine")
                finished = kept.format(process.pid)
                self.assertIn(finished.split("/")[0], errors)
                show = ["inspect"] if command[0] == "quantize" else ["imatrix", "show"]
                self.succeeds(*show, finished)
                self.assertEqual(self.partials(), [])

    def test_force_replaces_only_what_it_may_when_the_work_is_done(self):
        """Checked at the start and once more at the end, with the same answers."""
        for lane, out, mine in (("w4a16", "new", "new/precious"), ("w4a16", "made", "made/precious"), ("w4a16", "taken", "taken"),
                                ("gguf:q4_k_m", "m.gguf", "m.gguf"), ("gguf:q4_k_m", "d.gguf", "d.gguf/precious")):
            with self.subTest(out=out):
                if out == "made":
                    self.succeeds("quantize", CANARY, "bf16", "-o", out)
                process = self.start("quantize", CANARY, lane, "-o", out, "--force")
                said = ""
                while "calibrate" not in said:
                    line = process.stderr.readline()
                    self.assertNotEqual(line, "", said)
                    said += line
                os.kill(process.pid, signal.SIGSTOP)
                (self.folder / mine).parent.mkdir(exist_ok=True)
                (self.folder / mine).write_text("mine")
                os.kill(process.pid, signal.SIGCONT)
                _, errors = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 1, errors)
                self.assertEqual((self.folder / mine).read_text(), "mine")
                self.assertIn(f"{out}.finished-{process.pid}", errors)
                self.succeeds("inspect", f"{out}.finished-{process.pid}")
                self.assertEqual(self.partials(), [])

    def test_force_replaces_an_artefact_that_appears_meanwhile(self):
        self.succeeds("quantize", CANARY, "fp8", "-o", "other")
        process = self.start("quantize", CANARY, "w4a16", "-o", "out", "--force")
        while "calibrate" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        os.kill(process.pid, signal.SIGSTOP)
        (self.folder / "other").rename(self.folder / "out")
        os.kill(process.pid, signal.SIGCONT)
        _, errors = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn("int4", self.succeeds("inspect", "out").output)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name != "cache"], ["out"])


class Files(ProgramTest):
    def test_devices_pipes_and_sockets_are_never_replaced_and_no_force_is_advised(self):
        os.mkfifo(self.folder / "pipe")
        for out, what in (("/dev/null", "a device"), ("pipe", "a pipe")):
            for force in ([], ["--force"]):
                for command in (["quantize", CANARY, "fp8", "-o"], ["convert", CANARY]):
                    process = self.refused(*command, out, *force, says=[out, what, "never replaced"])
                    self.assertNotIn("--force", process.errors)
        self.assertTrue(stat.S_ISFIFO((self.folder / "pipe").stat().st_mode))

    def test_a_link_that_leads_nowhere_is_named_as_what_it_is(self):
        (self.folder / "link").symlink_to("nowhere")
        for command in (["quantize", CANARY, "fp8", "-o", "link/out"], [*COMPARE, "--out", "link"]):
            process = self.refused(*command, says=["a link to nowhere, where nothing is"])
            self.assertNotIn("is a file", process.errors)

    def test_logits_and_pages_replace_only_their_own_kind(self):
        (self.folder / "ids.json").write_text("[1, 2, 3]")
        self.succeeds(*COMPARE, "--out", "out")
        for command in (["eval", CANARY, "--ids", "ids.json", "--logits"],
                        ["report", "out", "--html"]):
            new = self.folder / "new"
            for _ in range(2):
                self.succeeds(*command, new)
            new.unlink()
            new.write_text("mine")
            self.refused(*command, new, says=[new])
            self.assertEqual(new.read_text(), "mine")
            new.unlink()
            os.mkfifo(new)
            self.refused(*command, new, says=[new])
            self.assertTrue(stat.S_ISFIFO(new.stat().st_mode))
            new.unlink()

    def test_float16_overflow_is_refused(self):
        model = self.copy_of_canary()
        header, tensors = read_safetensors(model / "model.safetensors")
        name = "model.layers.1.mlp.up_proj.weight"
        offset = header[name]["data_offsets"][0]
        tensors[offset:offset + 2] = b"\x80\x7e"  # 8.5e37
        write_safetensors(model / "model.safetensors", header, tensors)
        for command in (["convert", model, "o", "--to", "f16"], ["quantize", model, "f16", "-o", "o"],
                        ["quantize", model, "gguf:f16", "-o", "o.gguf"]):
            self.refused(*command, says=["65504", "up_proj" if "gguf" not in command[2] else "name:"])
        self.assertFalse((self.folder / "o").exists() or (self.folder / "o.gguf").exists())


class Comparisons(ProgramTest):
    def test_a_folder_with_foreign_results_is_refused(self):
        for name in ("report.json", "report.html", "artifacts/fp8/mine", "work/mine"):
            with self.subTest(name=name):
                mine = self.folder / "out" / name
                mine.parent.mkdir(parents=True)
                mine.write_text("mine")
                self.refused(*COMPARE, "--out", "out", says=["out/" + name.split("/")[0]])
                self.assertEqual([path for path in (self.folder / "out").rglob("*")
                                  if path.is_file()], [mine])
                shutil.rmtree(self.folder / "out")

    def test_the_checkpoint_stays_as_it_is(self):
        model = self.copy_of_canary()
        names = sorted(model.iterdir())
        (self.folder / "link").symlink_to(model)
        for out in ("model", "model/cmp", "new/../model", "link/deep/cmp"):
            self.refused("compare", "model", "--lanes", "fp8", "--out", out,
                         says=["apart from the checkpoint"])
        model.rename(self.folder / "artifacts")
        self.refused("compare", "artifacts", "--lanes", "fp8", "--out", ".",
                     says=["apart from the checkpoint"])
        self.assertEqual([path.name for path in names],
                         sorted(path.name for path in (self.folder / "artifacts").iterdir()))

    def test_what_others_put_into_an_artefact_stays(self):
        self.succeeds(*COMPARE, "--out", "out")
        notes = self.folder / "out/artifacts/fp8/notes.txt"
        notes.write_text("mine")
        self.succeeds(*COMPARE, "--out", "out")
        process = self.refused(*COMPARE, "--out", "out", "--fresh", says=["artifacts/fp8", "notes.txt"])
        self.assertNotIn("calibrate", process.errors, "at once")
        (self.folder / "out/artifacts/fp8/config.json").write_text("{}")  # must be made again
        self.refused(*COMPARE, "--out", "out", says=["artifacts/fp8", "notes.txt"])
        self.assertEqual(notes.read_text(), "mine")
        notes.unlink()
        self.succeeds(*COMPARE, "--out", "out", "--fresh")

    def test_a_second_run_into_the_same_folder_ends_at_once(self):
        process = self.start(*COMPARE, "--out", "out")
        while "calibrate" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        os.kill(process.pid, signal.SIGSTOP)
        try:
            second = self.refused(*COMPARE, "--out", "out", says=["a running process works with", "out"])
            self.assertNotIn("calibrate", second.errors)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=300)
        self.assertIn(process.returncode, (0, 3, 5))
        self.succeeds(*COMPARE, "--out", "out")

    def test_other_files_stay(self):
        (self.folder / "out").mkdir()
        (self.folder / "out/notes.md").write_text("mine")
        for _ in range(2):
            self.succeeds(*COMPARE, "--out", "out")
        self.assertEqual((self.folder / "out/notes.md").read_text(), "mine")


if __name__ == "__main__":
    unittest.main()
