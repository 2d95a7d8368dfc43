#include "quantize/matrix_journal.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>

#include "calibrate/feedback_source.h"
#include "core/file.h"
#include "model/checkpoint_fixtures.h"
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

TEST(MatrixJournal, FindsWhatAnEarlierRunHasPut) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  const auto bytes = some_bytes(1000, 7);
  {
    MatrixJournal journal = MatrixJournal::open(artefact, "key one").value();
    EXPECT_EQ(journal.left(), 0);
    EXPECT_FALSE(journal.find("a.b").has_value());
    ASSERT_TRUE(journal.put("a.b", bytes).has_value());
  }
  MatrixJournal journal = MatrixJournal::open(artefact, "key one").value();
  EXPECT_EQ(journal.left(), 1);
  EXPECT_EQ(journal.find("a.b"), bytes);
  EXPECT_FALSE(journal.find("a.c").has_value());
  journal.remove();
  EXPECT_FALSE(fs::exists(scratch.path() / "model.resume"));
}

TEST(MatrixJournal, ForgetsWhatWasMadeUnderAnotherKey) {
  const ScratchFolder scratch;
  const fs::path artefact = scratch.path() / "model";
  MatrixJournal first = MatrixJournal::open(artefact, "key one").value();
  ASSERT_TRUE(first.put("a.b", some_bytes(10, 1)).has_value());
  MatrixJournal second = MatrixJournal::open(artefact, "key two").value();
  EXPECT_EQ(second.left(), 0);
  EXPECT_FALSE(second.find("a.b").has_value());
}

TEST(MatrixJournal, TornAndChangedFilesAreNotFound) {
  const ScratchFolder scratch;
  MatrixJournal journal = MatrixJournal::open(scratch.path() / "model", "key").value();
  ASSERT_TRUE(journal.put("a", some_bytes(100, 3)).has_value());
  fs::path file;
  for (const auto& entry : fs::directory_iterator(scratch.path() / "model.resume"))
    if (entry.path().extension() == ".matrix") file = entry.path();
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
  MatrixJournal journal = MatrixJournal::open(scratch.path() / "model", "key").value();
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
  const auto refused = MatrixJournal::open(scratch.path() / "model", "key");
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

}  // namespace
}  // namespace quantlane
