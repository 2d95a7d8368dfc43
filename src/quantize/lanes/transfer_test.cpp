// Quantized sources: codes are carried over or refused, never quantized again unasked.
#include "quantize/lanes/transfer.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using fixtures::ScratchFolder;
using testing::HasSubstr;

using fixtures::kCanary;

class Transfers : public testing::Test {
 protected:
  // The canary as `lane` writes it.
  std::shared_ptr<const Checkpoint> made(const std::string& lane) {
    const auto source = open_checkpoint(kCanary);
    const fs::path out = scratch_.path() / (lane.starts_with("gguf:") ? lane + ".gguf" : lane);
    const auto summary = run(*source, lane, out);
    EXPECT_TRUE(summary.has_value()) << summary.error().message();
    return open_checkpoint(out);
  }
  static Result<QuantizeSummary> run(const Checkpoint& source, const std::string& lane_name,
                                     const fs::path& out, bool allow = false) {
    const auto lane = find_lane(lane_name);
    ThreadPool pool(2);
    return run_quantize({.source = source, .lane = *lane, .out = out, .allow_requantize = allow},
                        pool, no_progress());
  }
  static Result<QuantizeSummary> as_stored(const Checkpoint& source, const fs::path& out) {
    const auto lane = lane_as_stored(source);
    EXPECT_TRUE(lane.has_value());
    ThreadPool pool(2);
    return run_quantize({.source = source, .lane = *lane, .out = out, .as_stored = true}, pool,
                        no_progress());
  }
  // A file of another tool, unpacked.
  std::shared_ptr<const Checkpoint> fixture(const std::string& name) {
    const fs::path folder = fixtures::shared_data("formats/hf-quantized");
    const fs::path copy = out(name);
    fs::create_directories(copy);
    for (const char* file : {"config.json", "hf_quant_config.json", "quantize_config.json"}) {
      if (fs::exists(folder / name / file)) fs::copy_file(folder / name / file, copy / file);
    }
    fs::copy_file(folder / "base/tokenizer.json", copy / "tokenizer.json");
    EXPECT_TRUE(
        fixtures::unpack_xz(folder / name / "model.safetensors.xz", copy / "model.safetensors"));
    return open_checkpoint(copy);
  }
  [[nodiscard]] fs::path out(const std::string& name) const { return scratch_.path() / name; }
  // Values of all parameters are the same.
  static void expect_same_values(const Checkpoint& got, const Checkpoint& want) {
    for (const Parameter& p : want.graph()->parameters) {
      const auto a = got.weight(*got.graph()->find(p.role, p.layer));
      const auto b = want.weight(p);
      ASSERT_TRUE(a.has_value() && b.has_value()) << p.name;
      std::vector<float> x(static_cast<std::size_t>(p.rows * p.cols));
      std::vector<float> y(x.size());
      a->decode_rows(0, p.rows, x.data());
      b->decode_rows(0, p.rows, y.data());
      EXPECT_TRUE(x == y) << p.name;
    }
  }
  static std::int64_t count(const QuantizeSummary& summary, Transfer transfer) {
    return std::ranges::count(summary.transfers, transfer,
                              [](const auto& row) { return row.second; });
  }

  const ScratchFolder scratch_;
};

TEST_F(Transfers, Fp4CodesKeepTheirBitsAndTheScaleOfTheTensorStandsBeside) {
  for (const std::string name : {"mxfp4", "nvfp4"}) {
    const auto source = made(name + "a16");
    const auto summary = as_stored(*source, out(name + ".gguf"));
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_EQ(count(*summary, Transfer::kMove), 42);
    EXPECT_EQ(summary->tensor_types.at(name), 42);
    const auto artefact = open_checkpoint(out(name + ".gguf"));
    const bool factors = artefact->container().find("blk.0.attn_q.scale") != nullptr;
    EXPECT_EQ(factors, name == "nvfp4");
    for (const Parameter& p : source->graph()->parameters) {
      std::vector<float> want(static_cast<std::size_t>(p.rows * p.cols));
      std::vector<float> got(want.size());
      source->weight(p)->decode_rows(0, p.rows, want.data());
      artefact->weight(*artefact->graph()->find(p.role, p.layer))
          ->decode_rows(0, p.rows, got.data());
      // The engines of the folder round decoded NVFP4 values to bf16.
      for (std::size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * 0x1p-8F) << p.name;
    }
    // Copied as they are, factors included.
    const auto again = as_stored(*artefact, out(name + "-again.gguf"));
    ASSERT_TRUE(again.has_value()) << again.error().message();
    EXPECT_EQ(count(*again, Transfer::kCopy), 42);
    expect_same_values(*open_checkpoint(out(name + "-again.gguf")), *artefact);
  }
}

TEST_F(Transfers, IntegerCodesBecomeBlocksWithoutChangingAValue) {
  for (const auto& [lane, type, file_type] :
       {std::tuple{"w4a16", "q4_0", 2}, std::tuple{"w8a8", "q8_0", 7}}) {
    const auto source = made(lane);
    const auto summary = as_stored(*source, out(std::string(lane) + ".gguf"));
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_EQ(count(*summary, Transfer::kMove), 42);
    EXPECT_EQ(summary->transfers.size(), 42U);
    EXPECT_EQ(summary->tensor_types.at(type), 42);
    EXPECT_EQ(summary->tensor_types.at("bf16"), 2);
    const auto artefact = open_checkpoint(out(std::string(lane) + ".gguf"));
    expect_same_values(*artefact, *source);
    EXPECT_EQ(artefact->container().metadata().integer("general.file_type"), file_type);
    // The inputs of w8a8 are rounded, too.
    EXPECT_EQ(summary->notices.size(), lane == std::string("w8a8") ? 1U : 0U);
  }
}

TEST_F(Transfers, ARecipeTakesTheCodesThatItsTypesHold) {
  const auto source = made("w4a16");
  const auto summary = run(*source, "gguf:q4_0", out("a.gguf"));
  ASSERT_TRUE(summary.has_value()) << summary.error().message();
  EXPECT_EQ(count(*summary, Transfer::kMove), 42);
  EXPECT_EQ(summary->tensor_types.at("q6_k"), 1);  // the head, which the source holds in bf16
  EXPECT_TRUE(run(*source, "gguf:q8_0", out("b.gguf")).has_value());
  const auto refused = run(*source, "gguf:q4_k_m", out("c.gguf"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(refused.error().found, HasSubstr("42 of 44 matrices"));
  EXPECT_THAT(refused.error().found, HasSubstr("int4_g128_sym -> q4_k"));
  EXPECT_THAT(refused.error().hint, HasSubstr("--allow-requantize"));
  EXPECT_FALSE(fs::exists(out("c.gguf")));
  const auto allowed = run(*source, "gguf:q4_k_m", out("c.gguf"), true);
  ASSERT_TRUE(allowed.has_value()) << allowed.error().message();
  EXPECT_EQ(count(*allowed, Transfer::kRequantize), 42);
}

TEST_F(Transfers, BlocksOfTheSameTypeAreCopied) {
  const auto source = made("gguf:q4_k_m");
  const auto summary = run(*source, "gguf:q4_k_m", out("a.gguf"));
  ASSERT_TRUE(summary.has_value()) << summary.error().message();
  EXPECT_EQ(count(*summary, Transfer::kCopy), 44);
  const auto same = as_stored(*source, out("b.gguf"));
  ASSERT_TRUE(same.has_value()) << same.error().message();
  const auto a = open_checkpoint(out("a.gguf"));
  const auto b = open_checkpoint(out("b.gguf"));
  for (const TensorInfo& tensor : source->container().tensors()) {
    for (const Checkpoint* copy : {a.get(), b.get()}) {
      const TensorInfo* other = copy->container().find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_TRUE(
          std::ranges::equal(copy->container().bytes(*other), source->container().bytes(tensor)))
          << tensor.name;
    }
  }
  EXPECT_EQ(b->container().metadata().integer("general.file_type"), 15);
}

TEST_F(Transfers, FolderLanesAskBeforeTheyQuantizeAgain) {
  const auto blocks = made("gguf:q8_0");
  const auto refused = run(*blocks, "fp8", out("fp8"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().found, HasSubstr("q8_0 -> fp8_e4m3_channel"));
  const auto allowed = run(*blocks, "fp8", out("fp8"), true);
  ASSERT_TRUE(allowed.has_value()) << allowed.error().message();
  EXPECT_EQ(count(*allowed, Transfer::kRequantize), 42);
  const auto plain = run(*blocks, "f32", out("f32"));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(count(*plain, Transfer::kDequantize), 44);
}

TEST_F(Transfers, CodesWithoutABlockFormatAreAnError) {
  const auto source = made("fp8");
  const auto summary = as_stored(*source, out("a.gguf"));
  ASSERT_FALSE(summary.has_value());
  EXPECT_EQ(summary.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(summary.error().found, "fp8_e4m3_channel");
}

// Files of llm-compressor: zero points cost the rounding of their products, nothing else.
TEST_F(Transfers, FilesOfOtherToolsKeepTheirCodes) {
  const fs::path folder = fixtures::shared_data("formats/hf-quantized");
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (const auto& [name, type, exact] : {std::tuple{"ct-w4a16-sym-g128", "q4_0", true},
                                          std::tuple{"ct-w4a16-gptq-static-g128", "q4_0", true},
                                          std::tuple{"ct-w4a16-awq-asym-g128", "q4_1", false},
                                          std::tuple{"ct-int8-w8a8-dynamic", "q8_0", true}}) {
    const auto source = fixture(name);
    ASSERT_NE(source, nullptr);
    const auto summary = as_stored(*source, out(std::string(name) + ".gguf"));
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_EQ(summary->tensor_types.at(type), 14) << name;
    if (exact) {
      expect_same_values(*open_checkpoint(out(std::string(name) + ".gguf")), *source);
    }
  }
}

// Scales of AutoAWQ and GPTQ are f16: compressed-tensors takes them so.
TEST_F(Transfers, FilesOfOtherToolsKeepTheirCodesInOtherDialects) {
  const fs::path folder = fixtures::shared_data("formats/hf-quantized");
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (const auto& [name, lane_name] :
       {std::pair{"autoawq-gemm-asym-g128", "w4a16-asym"},
        std::pair{"gptqmodel-gptq-v1-sym-g128", "w4a16"}, std::pair{"modelopt-nvfp4", "nvfp4"},
        std::pair{"ct-nvfp4", "modelopt-nvfp4"}}) {
    const auto source = fixture(name);
    ASSERT_NE(source, nullptr);
    const Lane lane = find_lane(lane_name).value();
    ThreadPool pool(2);
    const auto summary = run_quantize(
        {.source = *source, .lane = lane, .out = out(std::string(name) + "-out"), .converts = true},
        pool, no_progress());
    ASSERT_TRUE(summary.has_value()) << summary.error().message();
    EXPECT_EQ(count(*summary, Transfer::kMove), 14) << name;
    const auto artefact = open_checkpoint(out(std::string(name) + "-out"));
    ASSERT_NE(artefact, nullptr);
    for (const Parameter& p : source->graph()->parameters) {
      if (!is_block_linear(p.role)) continue;
      const Weight a = source->weight(p).value();
      const Weight b = artefact->weight(*artefact->graph()->find(p.role, p.layer)).value();
      ASSERT_TRUE(b.is_quantized()) << p.name;
      EXPECT_EQ(b.quantized()->scales, a.quantized()->scales) << p.name;
      EXPECT_EQ(b.quantized()->zeros, a.quantized()->zeros) << p.name;
      EXPECT_EQ(a.input_rounding().has_value(), b.input_rounding().has_value()) << p.name;
      if (a.input_rounding()) {
        EXPECT_FLOAT_EQ(b.input_rounding()->static_scale * a.input_rounding()->static_scale, 1);
      }
    }
  }
}

// ModelOpt stores static scales of inputs in float32, and engines hold them so.
TEST_F(Transfers, StaticScalesOfInputsStayFloat32WhereBf16DoesNotHoldThem) {
  const Lane modelopt = find_lane("modelopt-fp8").value();
  const Lane lane = find_lane("fp8-static").value();
  ThreadPool pool(2);
  Statistics statistics;
  const auto canary = open_checkpoint(kCanary);
  for (const Parameter& p : canary->graph()->parameters) {
    if (!is_block_linear(p.role)) continue;
    const std::vector<float> row(static_cast<std::size_t>(p.cols), 3.0F);
    statistics.add(p.module(), row.data(), 1, p.cols);
  }
  ASSERT_TRUE(
      run_quantize(
          {.source = *canary, .lane = modelopt, .statistics = &statistics, .out = out("modelopt")},
          pool, no_progress())
          .has_value());
  auto edit = fixtures::EditableCheckpoint::read(out("modelopt"));
  for (const float scale : {0.0123456789F, 0.0078125F}) {
    const std::string name = "model.layers.0.mlp.down_proj.input_scale";
    const auto bytes = std::as_bytes(std::span(&scale, 1));
    edit.tensor(name).bytes = {bytes.begin(), bytes.end()};
    const fs::path folder = out("edited" + std::to_string(scale));
    edit.write(folder);
    fs::copy_file(kCanary / "tokenizer.json", folder / "tokenizer.json");
    const auto source = open_checkpoint(folder);
    for (const bool converts : {false, true}) {
      const fs::path target = out((converts ? "converted" : "kept") + std::to_string(scale));
      const auto summary =
          run_quantize({.source = *source, .lane = lane, .out = target, .converts = converts}, pool,
                       no_progress());
      ASSERT_TRUE(summary.has_value()) << summary.error().message();
      const auto artefact = open_checkpoint(target);
      const bool bf16 = scale == 0.0078125F;
      EXPECT_EQ(artefact->container().find(name)->type.plain, bf16 ? DType::kBF16 : DType::kF32);
      EXPECT_EQ(std::ranges::count_if(summary->notices,
                                      [](const std::string& n) { return n.contains("stay f32"); }),
                bf16 ? 0 : 1);
      for (const Parameter& p : source->graph()->parameters) {
        if (!is_block_linear(p.role)) continue;
        const Weight a = source->weight(p).value();
        const Weight b = artefact->weight(*artefact->graph()->find(p.role, p.layer)).value();
        EXPECT_EQ(b.input_rounding()->static_scale, a.input_rounding()->static_scale) << p.name;
      }
    }
  }
}

TEST_F(Transfers, ConversionsSayWhyCodesCannotBeKept) {
  const fs::path folder = fixtures::shared_data("formats/hf-quantized");
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (const auto& [name, lane_name, reason] :
       {std::tuple{"ct-w4a16-gptq-gidx-g128", "gptq", "act-order"},
        std::tuple{"autoawq-gemm-asym-g128", "w4a16", "zero points"},
        std::tuple{"ct-nvfp4a16", "nvfp4", "none in the source"}}) {
    const auto source = fixture(name);
    ASSERT_NE(source, nullptr);
    const Lane lane = find_lane(lane_name).value();
    ThreadPool pool(2);
    const auto refused =
        run_quantize({.source = *source, .lane = lane, .out = out("refused"), .converts = true},
                     pool, no_progress());
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_THAT(refused.error().found, HasSubstr(reason)) << name;
    EXPECT_THAT(refused.error().hint, HasSubstr("quantlane quantize")) << name;
  }
}

// Scales of nvfp4 have seven bits: without a factor small matrices would lose most of their values.
TEST(NewBlocks, OfFewScaleBitsStandUnderAFactor) {
  auto edit = fixtures::EditableCheckpoint::read(fixtures::kCanary);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto source_error = [&](int shift) {
    // Exponents of bf16: every value times 2^shift.
    auto changed = edit;
    auto& bytes = changed.tensor(name).bytes;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
      unsigned bits = std::to_integer<unsigned>(bytes[i]) | std::to_integer<unsigned>(bytes[i + 1])
                                                                << 8;
      if ((bits & 0x7F80U) != 0) bits = static_cast<unsigned>(static_cast<int>(bits) + shift * 128);
      bytes[i] = static_cast<std::byte>(bits & 255U);
      bytes[i + 1] = static_cast<std::byte>(bits >> 8);
    }
    const fixtures::ScratchFolder scratch;
    changed.write(scratch.path() / "model");
    for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
      fs::copy_file(fixtures::kCanary / file, scratch.path() / "model" / file);
    const auto source = fixtures::open_checkpoint(scratch.path() / "model");
    const Lane lane = find_lane("gguf:q8_0").value();
    ThreadPool pool(2);
    QuantizeJob job{.source = *source, .lane = lane, .out = scratch.path() / "m.gguf"};
    job.request.overrides.push_back(
        {.pattern = "ffn_up", .type = {.block = block_format_by_name("nvfp4")}});
    const auto done = run_quantize(job, pool, no_progress());
    EXPECT_TRUE(done.has_value()) << done.error().message();
    const auto artefact = fixtures::open_checkpoint(scratch.path() / "m.gguf");
    EXPECT_NE(artefact->container().find("blk.0.ffn_up.scale"), nullptr);
    const Parameter& p = *source->graph()->find(Role::kUp, 0);
    std::vector<float> want(static_cast<std::size_t>(p.rows * p.cols));
    std::vector<float> got(want.size());
    source->weight(p).value().decode_rows(0, p.rows, want.data());
    artefact->weight(*artefact->graph()->find(Role::kUp, 0))
        .value()
        .decode_rows(0, p.rows, got.data());
    double off = 0;
    double all = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      off += std::pow(static_cast<double>(got[i]) - static_cast<double>(want[i]), 2);
      all += std::pow(static_cast<double>(want[i]), 2);
    }
    return std::sqrt(off / all);
  };
  const double as_trained = source_error(0);
  EXPECT_LT(as_trained, 0.1);
  EXPECT_NEAR(source_error(-6), as_trained, 1e-6);
  EXPECT_NEAR(source_error(30), as_trained, 1e-6);
}

}  // namespace
}  // namespace quantlane
