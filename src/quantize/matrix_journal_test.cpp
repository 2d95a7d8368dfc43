#include "quantize/matrix_journal.h"

#include <cstdlib>
#include <fstream>
#include <new>

#include <gmock/gmock.h>

#include "calibrate/feedback_source.h"
#include "core/file.h"
#include "model/checkpoint_fixtures.h"
#include "quantize/lanes/lane_needs.h"
#include "quantize/pipeline.h"
#include "quantlane/cancel.h"

namespace quantlane {
namespace {

namespace fs = std::filesystem;
using fixtures::kCanary;
using fixtures::ScratchFolder;

std::vector<std::byte> some_bytes(std::size_t count, int factor) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::byte>((i * static_cast<std::size_t>(factor)) & 255U);
  return bytes;
}

JobSettings settings(const std::string& text) { return {{"lane", "fp8"}, {"text", text}}; }

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".matrix") files.push_back(entry.path());
  return files;
}

TEST(MatrixJournal, FindsWhatAnEarlierRunHasPut) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  const auto bytes = some_bytes(1000, 7);
  {
    MatrixJournal journal = MatrixJournal::open(artefact, settings("key one")).value();
    EXPECT_EQ(journal.left(), 0);
    EXPECT_FALSE(journal.find("a.b").has_value());
    ASSERT_TRUE(journal.put("a.b", bytes).has_value());
  }
  MatrixJournal journal = MatrixJournal::open(artefact, settings("key one")).value();
  EXPECT_EQ(journal.left(), 1);
  EXPECT_EQ(journal.find("a.b"), bytes);
  EXPECT_FALSE(journal.find("a.c").has_value());
  journal.remove();
  EXPECT_FALSE(fs::exists(scratch.path() / "model.resume"));
}

TEST(MatrixJournal, CreatesNothingBeforeThereIsSomethingToKeep) {
  const ScratchFolder scratch;
  MatrixJournal journal = MatrixJournal::open(scratch.path() / "model", settings("key")).value();
  EXPECT_TRUE(fs::is_empty(scratch.path()));
  journal.remove_all();
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(MatrixJournal, LiesBesideAFolderThatIsSpelledWithASlash) {
  const ScratchFolder scratch;
  MatrixJournal journal =
      MatrixJournal::open(scratch.path() / "model" / "", settings("key")).value();
  ASSERT_TRUE(journal.put("a", some_bytes(10, 1)).has_value());
  EXPECT_TRUE(fs::exists(scratch.path() / "model.resume"));
  EXPECT_FALSE(fs::exists(scratch.path() / "model"));
}

TEST(MatrixJournal, KeepsWhatOtherSettingsMadeUntilTheJobIsDoneAndSaysWhy) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  {
    MatrixJournal first = MatrixJournal::open(artefact, settings("one")).value();
    ASSERT_TRUE(first.put("a.b", some_bytes(10, 1)).has_value());
  }
  {
    MatrixJournal second = MatrixJournal::open(artefact, settings("two")).value();
    EXPECT_EQ(second.left(), 0);
    EXPECT_FALSE(second.find("a.b").has_value());
    ASSERT_EQ(second.notices().size(), 1);
    EXPECT_THAT(second.notices()[0],
                testing::AllOf(testing::HasSubstr("model.resume"), testing::HasSubstr("1 matrices"),
                               testing::HasSubstr("other settings (text: one)")));
    ASSERT_TRUE(second.put("a.b", some_bytes(10, 2)).has_value());
    second.remove();
  }
  {
    MatrixJournal again = MatrixJournal::open(artefact, settings("one")).value();
    EXPECT_EQ(again.left(), 1);
    EXPECT_EQ(again.find("a.b"), some_bytes(10, 1));
  }
  MatrixJournal third = MatrixJournal::open(artefact, {{"lane", "w8a8"}, {"text", "one"}}).value();
  EXPECT_THAT(third.notices()[0], testing::HasSubstr("other settings (lane: fp8"));
  ASSERT_TRUE(third.put("a.b", some_bytes(10, 3)).has_value());
  third.remove_all();
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(MatrixJournal, LeavesTheFilesOfARunningProcessAlone) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  MatrixJournal running = MatrixJournal::open(artefact, settings("one")).value();
  ASSERT_TRUE(running.put("a", some_bytes(10, 1)).has_value());
  const auto same = MatrixJournal::open(artefact, settings("one"));
  ASSERT_FALSE(same.has_value());
  EXPECT_THAT(same.error().found, testing::HasSubstr("running"));
  MatrixJournal other = MatrixJournal::open(artefact, settings("two")).value();
  other.remove_all();
  EXPECT_TRUE(running.find("a").has_value());
  ASSERT_TRUE(running.put("b", some_bytes(10, 1)).has_value());
}

TEST(MatrixJournal, CountsWhatIsWholeAndSaysWhatIsNot) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  {
    MatrixJournal journal = MatrixJournal::open(artefact, settings("key")).value();
    for (const char* matrix : {"a", "b", "c"})
      ASSERT_TRUE(journal.put(matrix, some_bytes(100, 3)).has_value());
  }
  const auto files = files_of(scratch.path() / "model.resume");
  ASSERT_EQ(files.size(), 3);
  fs::resize_file(files[0], 40);
  fs::remove(files[1]);
  fs::copy_file(files[2], files[1]);  // whole, but of another matrix
  const MatrixJournal journal = MatrixJournal::open(artefact, settings("key")).value();
  EXPECT_EQ(journal.left(), 1);
  ASSERT_EQ(journal.notices().size(), 2);
  EXPECT_THAT(journal.notices()[0], testing::HasSubstr("going on from 1 matrices"));
  EXPECT_THAT(journal.notices()[1], testing::HasSubstr("2 matrices"));
}

TEST(MatrixJournal, TornAndChangedFilesAreNotFound) {
  const ScratchFolder scratch;
  MatrixJournal journal = MatrixJournal::open(scratch.path() / "model", settings("key")).value();
  ASSERT_TRUE(journal.put("a", some_bytes(100, 3)).has_value());
  const fs::path file = files_of(scratch.path() / "model.resume").at(0);
  const std::string whole = read_text(file).value();
  for (const std::size_t size : {std::size_t{0}, std::size_t{20}, whole.size() - 1}) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, size);
    EXPECT_FALSE(journal.find("a").has_value()) << size;
  }
  std::string changed = whole;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  std::ofstream(file, std::ios::binary) << changed;
  EXPECT_FALSE(journal.find("a").has_value());
  std::ofstream(file, std::ios::binary) << whole;
  EXPECT_TRUE(journal.find("a").has_value());
}

TEST(MatrixJournal, CodesOfEveryKindComeBack) {
  const ScratchFolder scratch;
  MatrixJournal journal = MatrixJournal::open(scratch.path() / "model", settings("key")).value();
  for (const char* name : {"w8a8", "w4a16", "w4a16-asym", "fp8", "nvfp4a16", "mxfp4a16"}) {
    QuantTensor tensor;
    tensor.scheme = find_lane(name).value().scheme.weight;
    if (tensor.scheme.granularity == Granularity::kGroup) tensor.scheme.group_size = 32;
    tensor.rows = 3;
    tensor.cols = 64;
    const int low = tensor.scheme.type == ValueType::kInt && tensor.scheme.symmetric ? -8 : 0;
    for (int i = 0; i < 192; ++i) tensor.codes.push_back(static_cast<std::int8_t>(low + i % 16));
    tensor.scales.resize(static_cast<std::size_t>(tensor.scheme.scale_count(3, 64)));
    for (std::size_t i = 0; i < tensor.scales.size(); ++i)
      tensor.scales[i] = static_cast<float>(i + 1);
    if (!tensor.scheme.symmetric) tensor.zeros.assign(tensor.scales.size(), 7);
    tensor.tensor_scale = 0.25F;
    ASSERT_TRUE(journal.put(name, tensor).has_value());
    QuantTensor back = tensor;
    back.codes.assign(back.codes.size(), 0);
    back.scales.assign(back.scales.size(), 0);
    back.zeros.assign(back.zeros.size(), 0);
    back.tensor_scale = 0;
    ASSERT_TRUE(journal.find(name, back)) << name;
    EXPECT_EQ(back.codes, tensor.codes) << name;
    EXPECT_EQ(back.scales, tensor.scales) << name;
    EXPECT_EQ(back.zeros, tensor.zeros) << name;
    EXPECT_EQ(back.tensor_scale, tensor.tensor_scale) << name;
    back.codes.push_back(0);
    back.codes.push_back(0);
    EXPECT_FALSE(journal.find(name, back)) << "another size";
  }
}

TEST(MatrixJournal, AFolderOfSomethingElseIsLeftAlone) {
  const ScratchFolder scratch;
  fs::create_directory(scratch.path() / "model.resume");
  std::ofstream(scratch.path() / "model.resume" / "thesis.tex") << "words";
  const auto refused = MatrixJournal::open(scratch.path() / "model", settings("key"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(scratch.path() / "model.resume" / "thesis.tex"));
}

// Asks for cancellation once so many bytes are done, and keeps what is said.
class Impatient final : public Progress {
 public:
  explicit Impatient(std::uint64_t patience) : patience_(patience) {}
  void begin(std::string_view, std::uint64_t, std::string_view) override {}
  void update(std::uint64_t done) override {
    if (done >= patience_) request_cancel();
  }
  void end() override {}
  void notice(std::string_view text) override { notices += std::string(text) + "\n"; }
  std::string notices;

 private:
  std::uint64_t patience_;
};

class InterruptedJobs : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Lanes, InterruptedJobs,
                         testing::Values("w4a16+gptq", "w4a16-asym+gptq", "fp8+gptq",
                                         "nvfp4a16+gptq", "gguf:q4_k_m+gptq"));

TEST_P(InterruptedJobs, GoOnToTheSameBytes) {
  const auto model = fixtures::open_checkpoint(kCanary);
  ASSERT_NE(model, nullptr);
  const Lane lane = find_lane(GetParam()).value();
  const TokenChunks chunks =
      make_chunks(*model, read_text(kCanary / "calibration.txt").value(), "test", 64, 4).value();
  const ScratchFolder scratch;
  const auto run = [&](const char* name, Progress& progress) {
    ThreadPool pool(2);
    FeedbackSource feedback(model, chunks, pool);
    const fs::path out = scratch.path() / (std::string(name) + (lane.is_gguf() ? ".gguf" : ""));
    return run_quantize({.source = *model, .lane = lane, .out = out, .feedback = &feedback}, pool,
                        progress);
  };
  const auto bytes_of = [&](const std::string& name) {
    const fs::path out = scratch.path() / name;
    return read_text(lane.is_gguf() ? fs::path(out.string() + ".gguf") : out / "model.safetensors")
        .value();
  };
  // The flag is never taken back, hence a process of its own.
  const auto cancelled = [&] {
    Impatient patience(lane.is_gguf() ? 3'000'000 : 8'000'000);
    const auto stopped = run("resumed", patience);
    std::_Exit(!stopped && stopped.error().code == ErrorCode::kCancelled ? 0 : 1);
  };
  EXPECT_EXIT(cancelled(), testing::ExitedWithCode(0), "");
  ASSERT_TRUE(run("whole", no_progress()).has_value());
  Impatient listener(std::uint64_t{1} << 60);
  ASSERT_TRUE(run("resumed", listener).has_value());
  EXPECT_THAT(listener.notices, testing::HasSubstr("going on from"));
  EXPECT_TRUE(bytes_of("resumed") == bytes_of("whole"));
  for (const auto& entry : fs::directory_iterator(scratch.path()))
    EXPECT_NE(entry.path().extension(), ".resume");
}

// The same folder, file by file, with what `progress` was told.
class EndedJobs : public testing::Test {
 protected:
  Result<QuantizeSummary> run(const Lane& lane, const char* name, Progress& progress,
                              RecipeRequest request = {}) {
    ThreadPool pool(2);  // not before a fork
    FeedbackSource feedback(model_, chunks_, pool);
    return run_quantize({.source = *model_,
                         .lane = lane,
                         .out = scratch_.path() / name,
                         .request = std::move(request),
                         .feedback = wants_feedback(lane) ? &feedback : nullptr},
                        pool, progress);
  }
  // In a process of its own, as the flag is never taken back.
  void interrupt(const Lane& lane, const char* name, RecipeRequest request = {}) {
    const auto cancelled = [&] {
      Impatient patience(3'000'000);
      const auto stopped = run(lane, name, patience, request);
      std::_Exit(!stopped && stopped.error().code == ErrorCode::kCancelled ? 0 : 1);
    };
    EXPECT_EXIT(cancelled(), testing::ExitedWithCode(0), "");
  }
  const ScratchFolder scratch_;
  const std::shared_ptr<const Checkpoint> model_ = fixtures::open_checkpoint(kCanary);
  const TokenChunks chunks_ =
      make_chunks(*model_, read_text(kCanary / "calibration.txt").value(), "test", 64, 4).value();
};

TEST_F(EndedJobs, OfAnotherLaneGoWithTheNextArtefact) {
  interrupt(find_lane("gguf:q4_k_m+gptq").value(), "model.gguf");
  ASSERT_TRUE(fs::exists(scratch_.path() / "model.gguf.resume"));
  Impatient listener(std::uint64_t{1} << 60);
  ASSERT_TRUE(run(find_lane("gguf:q8_0+rtn").value(), "model.gguf", listener).has_value());
  EXPECT_THAT(listener.notices, testing::HasSubstr("other settings (lane: gguf:q4_k_m+gptq"));
  EXPECT_FALSE(fs::exists(scratch_.path() / "model.gguf.resume"));
}

class OutOfMemory final : public Progress {
 public:
  void begin(std::string_view, std::uint64_t, std::string_view) override {}
  void update(std::uint64_t done) override {
    if (done >= 3'000'000) throw std::bad_alloc();
  }
  void end() override {}
  void notice(std::string_view) override {}
};

TEST_F(EndedJobs, ThatRanOutOfMemorySayWhatTheyCanGoOnFrom) {
  const Lane lane = find_lane("gguf:q4_k_m+gptq").value();
  OutOfMemory progress;
  const auto ended = run(lane, "model.gguf", progress);
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kResourceLimit);
  EXPECT_THAT(ended.error().hint, testing::HasSubstr("model.gguf.resume"));
  Impatient listener(std::uint64_t{1} << 60);
  ASSERT_TRUE(run(lane, "model.gguf", listener).has_value());
  EXPECT_THAT(listener.notices, testing::HasSubstr("going on from"));
  const auto plain = run(find_lane("gguf:q8_0+rtn").value(), "other.gguf", progress);
  ASSERT_FALSE(plain.has_value());
  EXPECT_THAT(plain.error().hint, testing::Not(testing::HasSubstr("resume")));
}

// Later matrices depend on the codes of earlier ones.
TEST_F(EndedJobs, WithOtherTypesAreNotGoneOnFrom) {
  const Lane lane = find_lane("gguf:q4_k_m+gptq").value();
  RecipeRequest request;
  request.overrides = {{.pattern = "blk.0.attn_q", .type = writable_type("q8_0").value()}};
  interrupt(lane, "model.gguf", request);
  Impatient listener(std::uint64_t{1} << 60);
  ASSERT_TRUE(run(lane, "model.gguf", listener).has_value());
  EXPECT_THAT(listener.notices, testing::HasSubstr("other settings (types of matrices)"));
  ASSERT_TRUE(run(lane, "whole.gguf", no_progress()).has_value());
  EXPECT_TRUE(read_text(scratch_.path() / "model.gguf").value() ==
              read_text(scratch_.path() / "whole.gguf").value());
}

TEST_F(EndedJobs, LeaveFoldersOfOthersAlone) {
  fs::create_directory(scratch_.path() / "model.resume");
  std::ofstream(scratch_.path() / "model.resume" / "thesis.tex") << "words";
  ASSERT_TRUE(run(find_lane("fp8+rtn").value(), "model", no_progress()).has_value());
  EXPECT_TRUE(fs::exists(scratch_.path() / "model.resume" / "thesis.tex"));
}

}  // namespace
}  // namespace quantlane
