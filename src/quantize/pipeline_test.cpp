// Whole artefacts, written and read back.
#include "quantize/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "containers/gguf.h"
#include "core/cancel.h"
#include "core/half.h"
#include "core/rng.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::EditableCheckpoint;
using fixtures::open_checkpoint;
using fixtures::ScratchFolder;

using fixtures::kCanary;

std::vector<std::byte> random_bf16(std::int64_t count, Rng& rng) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * 2);
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const std::uint16_t bits = f32_to_bf16(static_cast<float>(rng.normal() * 0.05));
    std::memcpy(bytes.data() + i, &bits, 2);
  }
  return bytes;
}

// One Llama layer whose matrices span several slices.
EditableCheckpoint wide_model() {
  EditableCheckpoint model;
  model.config = fixtures::read_json(fixtures::model_data("llama") / "config.json");
  for (const auto& [key, value] :
       {std::pair{"hidden_size", 256}, std::pair{"intermediate_size", 3072},
        std::pair{"num_attention_heads", 4}, std::pair{"num_key_value_heads", 2},
        std::pair{"head_dim", 64}, std::pair{"num_hidden_layers", 1}, std::pair{"vocab_size", 96}})
    model.config.set(key, value);
  const auto config = architecture_by_name("llama")->from_hugging_face(model.config, "config.json");
  EXPECT_TRUE(config.has_value());
  Rng rng(7);
  for (const Parameter& p : build_graph(*config).parameters) {
    const bool vector = !is_matrix(p.role);
    model.tensors.push_back({{.name = p.name,
                              .type = {.plain = DType::kBF16},
                              .shape = vector ? std::vector<std::int64_t>{p.cols}
                                              : std::vector<std::int64_t>{p.rows, p.cols}},
                             random_bf16(p.rows * p.cols, rng)});
  }
  return model;
}

Result<QuantizeSummary> quantize(const Checkpoint& source, const std::string& lane_name,
                                 const fs::path& out, int threads = 2, bool agnostic = false) {
  const auto lane = find_lane(lane_name);
  EXPECT_TRUE(lane.has_value()) << lane_name;
  ThreadPool pool(threads);
  return run_quantize({.source = source, .lane = *lane, .out = out, .arch_agnostic = agnostic},
                      pool, no_progress());
}

std::vector<float> values_of(const Checkpoint& checkpoint, Role role, std::int64_t layer) {
  const Parameter* parameter = checkpoint.graph()->find(role, layer);
  if (parameter == nullptr) return {};
  const auto weight = checkpoint.weight(*parameter);
  EXPECT_TRUE(weight.has_value()) << parameter->name;
  std::vector<float> values(static_cast<std::size_t>(parameter->rows * parameter->cols));
  weight->decode_rows(0, parameter->rows, values.data());
  return values;
}

double relative_rmse(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) return 1e9;
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    error += d * d;
    norm += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(error / norm);
}

void expect_equal_tensor(const Container& got, const Container& want, const std::string& name) {
  const TensorInfo* a = got.find(name);
  const TensorInfo* b = want.find(name);
  ASSERT_TRUE(a != nullptr && b != nullptr) << name;
  EXPECT_EQ(a->type, b->type) << name;
  EXPECT_EQ(a->shape, b->shape) << name;
  ASSERT_EQ(a->size_bytes, b->size_bytes) << name;
  EXPECT_EQ(std::memcmp(got.bytes(*a).data(), want.bytes(*b).data(), a->size_bytes), 0) << name;
}

std::string contents(const fs::path& path) {
  auto text = read_text(path);
  EXPECT_TRUE(text.has_value()) << path;
  return text.value_or("");
}

std::vector<std::string> listing(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

// ---- lanes on a trained model ----------------------------------------------------------------

// Inputs whose columns are all alike.
Statistics even_inputs(const Checkpoint& checkpoint) {
  Statistics statistics;
  for (const Parameter& p : checkpoint.graph()->parameters) {
    if (!is_linear(p.role)) continue;
    const auto cols = static_cast<std::size_t>(p.cols);
    statistics.set(std::string(p.module()), {.sum_squares = std::vector<double>(cols, 1.0),
                                             .absmax = std::vector<float>(cols, 7.0F),
                                             .tokens = 1});
  }
  return statistics;
}

struct LaneBound {
  const char* lane;
  double rmse;  // relative, of any Linear
};
class CanaryLanes : public testing::TestWithParam<LaneBound> {};
INSTANTIATE_TEST_SUITE_P(
    Default, CanaryLanes,
    testing::Values(LaneBound{"fp8", 0.03}, LaneBound{"w8a8", 0.015},
                    LaneBound{"w8a8-static", 0.015}, LaneBound{"w4a16", 0.13},
                    LaneBound{"fp8-static", 0.04}, LaneBound{"fp8-block", 0.035},
                    LaneBound{"w4a16-asym", 0.12}, LaneBound{"awq", 0.12}, LaneBound{"gptq", 0.13},
                    LaneBound{"nvfp4a16", 0.11}, LaneBound{"nvfp4", 0.11},
                    LaneBound{"mxfp4a16", 0.14}, LaneBound{"mxfp4", 0.14},
                    LaneBound{"modelopt-fp8", 0.04}, LaneBound{"modelopt-nvfp4", 0.11},
                    LaneBound{"gguf:q8_0", 0.008}, LaneBound{"gguf:q6_k", 0.025},
                    LaneBound{"gguf:q4_k_m", 0.09}),
    [](const auto& lane) {
      std::string name = lane.param.lane;
      std::erase_if(name, [](char c) { return c == ':' || c == '-'; });
      return name;
    });

TEST_P(CanaryLanes, ReadsBackWithinTheBoundOfItsFormat) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  ASSERT_NE(source, nullptr);
  const std::string lane = GetParam().lane;
  const bool gguf = lane.starts_with("gguf:");
  const fs::path out = scratch.path() / (gguf ? "out.gguf" : "out");
  const Statistics statistics = even_inputs(*source);
  const auto row = find_lane(lane);
  ASSERT_TRUE(row.has_value());
  ThreadPool pool(2);
  const auto summary =
      run_quantize({.source = *source, .lane = *row, .statistics = &statistics, .out = out}, pool,
                   no_progress());
  ASSERT_TRUE(summary.has_value()) << summary.error().message();
  const auto artefact = open_checkpoint(out);
  ASSERT_NE(artefact, nullptr);
  for (const Parameter& parameter : source->graph()->parameters) {
    const auto got = values_of(*artefact, parameter.role, parameter.layer);
    const auto want = values_of(*source, parameter.role, parameter.layer);
    const bool plain = !is_linear(parameter.role) && parameter.role != Role::kEmbedding;
    const bool kept =
        plain || (!gguf && !is_linear(parameter.role)) || (!gguf && parameter.role == Role::kHead);
    if (kept) {
      EXPECT_EQ(got, want) << parameter.name;
      if (!gguf) expect_equal_tensor(artefact->container(), source->container(), parameter.name);
      continue;
    }
    const double error = relative_rmse(got, want);
    EXPECT_LT(error, GetParam().rmse) << parameter.name;
    EXPECT_GT(error, GetParam().rmse / 50) << parameter.name;
  }
  EXPECT_EQ(summary->size_bytes,
            size_on_disk(fs::is_directory(out) ? out / "model.safetensors" : out));
  EXPECT_NEAR(summary->bits_per_weight, stored_bits_per_weight(*artefact), 1e-6);
  EXPECT_TRUE(artefact->tokenizer().has_value());
  EXPECT_EQ(listing(scratch.path()), std::vector<std::string>{out.filename().string()});
  if (gguf) return;
  ASSERT_NE(artefact->dialect(), nullptr);
  EXPECT_EQ(artefact->dialect()->name, row->dialect->name);
  for (const Parameter& parameter : source->graph()->parameters) {
    if (!is_linear(parameter.role) || parameter.role == Role::kHead) continue;
    const auto weight = artefact->weight(parameter);
    ASSERT_TRUE(weight.has_value()) << weight.error().message();
    ASSERT_EQ(weight->input_rounding().has_value(), row->scheme.input.has_value());
    if (row->scheme.input && row->scheme.input->calibrated()) {
      EXPECT_GT(weight->input_rounding()->static_scale, 0);
    }
  }
  // Quantizing once more is refused: no lane here holds the codes of another one.
  const std::string other = row->name.starts_with("w8a8") ? "w4a16" : "w8a8";
  const auto again = quantize(*artefact, other, scratch.path() / "again");
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(fs::exists(scratch.path() / "again"));
}

TEST(Pipeline, StaticInputsNeedStatistics) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  for (const char* lane : {"fp8-static", "w8a8-static", "nvfp4", "modelopt-fp8"}) {
    const auto summary = quantize(*source, lane, scratch.path() / "out");
    ASSERT_FALSE(summary.has_value()) << lane;
    EXPECT_NE(summary.error().expected.find("largest magnitudes"), std::string::npos);
    EXPECT_TRUE(listing(scratch.path()).empty());
  }
}

TEST(Pipeline, QuantizedGgufIsRefused) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  ASSERT_TRUE(quantize(*source, "gguf:q8_0", scratch.path() / "a.gguf").has_value());
  const auto blocks = open_checkpoint(scratch.path() / "a.gguf");
  const auto refused = quantize(*blocks, "gguf:q4_k_m", scratch.path() / "b.gguf");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  // Dequantizing is not.
  EXPECT_TRUE(quantize(*blocks, "bf16", scratch.path() / "plain").has_value());
}

TEST(Pipeline, GgufToFolderAndBackKeepsEveryTensor) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  const fs::path first = scratch.path() / "first.gguf";
  const fs::path second = scratch.path() / "second.gguf";
  ASSERT_TRUE(quantize(*source, "gguf:f32", first).has_value());
  const auto gguf = open_checkpoint(first);
  ASSERT_NE(gguf, nullptr);
  const auto written = quantize(*gguf, "f32", scratch.path() / "folder");
  ASSERT_TRUE(written.has_value()) << written.error().message();
  const auto folder = open_checkpoint(scratch.path() / "folder");
  ASSERT_NE(folder, nullptr);
  for (const Parameter& p : source->graph()->parameters) {
    EXPECT_EQ(values_of(*folder, p.role, p.layer), values_of(*source, p.role, p.layer)) << p.name;
  }
  const auto back = quantize(*folder, "gguf:f32", second);
  ASSERT_TRUE(back.has_value()) << back.error().message();
  const auto again = open_checkpoint(second);
  ASSERT_NE(again, nullptr);
  ASSERT_EQ(again->container().tensors().size(), gguf->container().tensors().size());
  for (const TensorInfo& tensor : gguf->container().tensors())
    expect_equal_tensor(again->container(), gguf->container(), tensor.name);
}

TEST(Pipeline, DivisorsThatConfigJsonCannotSayAreRefused) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(kCanary);
  ASSERT_TRUE(quantize(*source, "gguf:f32", scratch.path() / "plain.gguf").has_value());
  const auto plain = open_container(scratch.path() / "plain.gguf");
  ASSERT_TRUE(plain.has_value());
  std::vector<PlannedTensor> plan;
  for (const TensorInfo& tensor : (*plain)->tensors())
    plan.push_back({tensor.name, tensor.type, tensor.shape});
  std::vector<float> divisors(static_cast<std::size_t>(source->graph()->config.head_dim / 2), 1);
  divisors.front() = 3;
  plan.push_back({"rope_freqs.weight", {}, {static_cast<std::int64_t>(divisors.size())}});
  const fs::path path = scratch.path() / "stretched.gguf";
  auto writer = create_gguf(path, plan, (*plain)->metadata());
  ASSERT_TRUE(writer.has_value());
  for (std::size_t i = 0; i + 1 < plan.size(); ++i)
    ASSERT_TRUE((*writer)->write(i, (*plain)->bytes((*plain)->tensors()[i])).has_value());
  ASSERT_TRUE((*writer)->write(plan.size() - 1, std::as_bytes(std::span(divisors))).has_value());
  ASSERT_TRUE((*writer)->commit().has_value());
  const auto stretched = open_checkpoint(path);
  ASSERT_NE(stretched, nullptr);
  const auto refused = quantize(*stretched, "bf16", scratch.path() / "folder");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.error().tensor, "rope_freqs.weight");
  EXPECT_TRUE(quantize(*stretched, "gguf:f16", scratch.path() / "kept.gguf").has_value());
}

// The fixture's writer follows llama.cpp's converter: permuted rows (and biases), whole norms.
class Families : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(fixtures::kFamilies),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::erase(name, '-');
                           return name;
                         });
TEST_P(Families, GgufIsRewrittenUnchanged) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(fixtures::model_data(GetParam()));
  ASSERT_NE(source, nullptr);
  fixtures::write_gguf(*source, scratch.path() / "a.gguf");
  const auto gguf = open_checkpoint(scratch.path() / "a.gguf");
  ASSERT_NE(gguf, nullptr);
  const auto written = quantize(*gguf, "gguf:f32", scratch.path() / "b.gguf");
  ASSERT_TRUE(written.has_value()) << written.error().message();
  const auto again = open_container(scratch.path() / "b.gguf");
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ((*again)->tensors().size(), gguf->container().tensors().size());
  for (const TensorInfo& tensor : gguf->container().tensors())
    expect_equal_tensor(**again, gguf->container(), tensor.name);
}

// ---- slices, threads, failures ---------------------------------------------------------------

class WideModel : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder());
    model_.write(folder());
  }
  [[nodiscard]] fs::path folder() const { return scratch_.path() / "source"; }
  [[nodiscard]] fs::path out(const std::string& name) const { return scratch_.path() / name; }

  const ScratchFolder scratch_;
  EditableCheckpoint model_ = wide_model();
};

TEST_F(WideModel, BytesDoNotDependOnThreads) {
  const auto source = open_checkpoint(folder());
  ASSERT_NE(source, nullptr);
  fixtures::write_gguf(*source, out("f32.gguf"));
  const auto gguf = open_checkpoint(out("f32.gguf"));
  ASSERT_NE(gguf, nullptr);
  for (const std::string& lane : default_lanes()) {
    const bool is_gguf = lane.starts_with("gguf:");
    std::string first;
    for (const int threads : {1, 2, 3}) {
      const fs::path target = out("x" + std::to_string(threads) + (is_gguf ? ".gguf" : ""));
      const auto done = quantize(is_gguf ? *gguf : *source, lane, target, threads);
      ASSERT_TRUE(done.has_value()) << done.error().message();
      const auto bytes = read_text(is_gguf ? target : target / "model.safetensors");
      ASSERT_TRUE(bytes.has_value());
      if (threads == 1) first = *bytes;
      EXPECT_TRUE(*bytes == first) << lane << " with " << threads << " threads";
    }
  }
}

TEST_F(WideModel, ReplacesAnEarlierOutputAsAWhole) {
  const auto source = open_checkpoint(folder());
  ASSERT_TRUE(quantize(*source, "fp8", out("o")).has_value());
  ASSERT_TRUE(write_text(out("o") / "model-00002-of-00002.safetensors", "x").has_value());
  ASSERT_TRUE(quantize(*source, "w8a8", out("o")).has_value());
  EXPECT_FALSE(fs::exists(out("o") / "model-00002-of-00002.safetensors"));
  EXPECT_EQ(open_checkpoint(out("o"))->config_json()["quantization_config"]["format"].string(),
            "int-quantized");
  EXPECT_EQ(listing(scratch_.path()), (std::vector<std::string>{"o", "source"}));
}

TEST_F(WideModel, NanIsNamedAndLeavesTheOldOutput) {
  const auto good = open_checkpoint(folder());
  ASSERT_TRUE(quantize(*good, "fp8", out("o")).has_value());
  const auto before = contents(out("o") / "model.safetensors");
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  const std::uint16_t nan = 0x7FC0;
  std::memcpy(model_.tensor(name).bytes.data() + 2 * (3072 * 200 + 5), &nan, 2);
  fs::create_directories(out("bad"));
  model_.write(out("bad"));
  const auto bad = open_checkpoint(out("bad"));
  ASSERT_NE(bad, nullptr);
  fixtures::write_gguf(*bad, out("bad.gguf"));
  const auto bad_gguf = open_checkpoint(out("bad.gguf"));
  for (const std::string& lane : default_lanes()) {
    const bool gguf = lane.starts_with("gguf:");
    for (const int threads : {1, 3}) {
      const auto done =
          quantize(gguf ? *bad_gguf : *bad, lane, out(gguf ? "o.gguf" : "o"), threads);
      ASSERT_FALSE(done.has_value()) << lane;
      EXPECT_EQ(done.error().code, ErrorCode::kCorrupt);
      EXPECT_NE(done.error().tensor.find("model.layers.0.mlp.down_proj"), std::string::npos)
          << done.error().message();
      EXPECT_NE(done.error().found.find("row 200, column 5"), std::string::npos) << lane;
      EXPECT_NE(done.error().file.find("bad"), std::string::npos) << lane;
    }
  }
  EXPECT_EQ(listing(scratch_.path()), (std::vector<std::string>{"bad", "bad.gguf", "o", "source"}));
  EXPECT_TRUE(contents(out("o") / "model.safetensors") == before);
}

TEST_F(WideModel, UnknownArchitecturesAreQuantizedByName) {
  const auto known = open_checkpoint(folder());
  ASSERT_TRUE(quantize(*known, "fp8", out("known")).has_value());
  model_.config.set("architectures", Json::array().push("NovelForCausalLM"));
  fs::create_directories(out("novel"));
  model_.write(out("novel"));
  const auto novel = Checkpoint::open_any(out("novel"));
  ASSERT_TRUE(novel.has_value()) << novel.error().message();
  const auto refused = quantize(**novel, "fp8", out("x"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("NovelForCausalLM"), std::string::npos);
  EXPECT_NE(refused.error().hint.find("--arch-agnostic"), std::string::npos);
  EXPECT_FALSE(quantize(**novel, "gguf:q8_0", out("x.gguf"), 1, true).has_value());
  const auto done = quantize(**novel, "fp8", out("x"), 2, true);
  ASSERT_TRUE(done.has_value()) << done.error().message();
  EXPECT_TRUE(contents(out("x") / "model.safetensors") ==
              contents(out("known") / "model.safetensors"));
  const auto config = fixtures::read_json(out("x") / "config.json");
  EXPECT_EQ(config["architectures"].items()[0].string(), "NovelForCausalLM");
  EXPECT_EQ(config["quantization_config"]["format"].string(), "float-quantized");
}

TEST_F(WideModel, OutputsOfTheWrongKindAreRefused) {
  const auto source = open_checkpoint(folder());
  EXPECT_EQ(quantize(*source, "fp8", out("o.gguf")).error().code, ErrorCode::kUsage);
  EXPECT_EQ(quantize(*source, "gguf:q8_0", out("o")).error().code, ErrorCode::kUsage);
}

// The flag is never taken back, hence a process of its own.
TEST_F(WideModel, ACancelledRunLeavesNothing) {
  const auto source = open_checkpoint(folder());
  fixtures::write_gguf(*source, out("f32.gguf"));
  const auto gguf = open_checkpoint(out("f32.gguf"));
  const auto before = listing(scratch_.path());
  const auto cancelled = [&] {
    request_cancel();
    const auto a = quantize(*source, "w8a8", out("o"), 1);
    const auto b = quantize(*gguf, "gguf:q8_0", out("o.gguf"), 1);
    const bool right = !a && !b && a.error().code == ErrorCode::kCancelled &&
                       b.error().code == ErrorCode::kCancelled;
    std::_Exit(right && listing(scratch_.path()) == before ? 0 : 1);
  };
  EXPECT_EXIT(cancelled(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(listing(scratch_.path()), before);
}

}  // namespace
}  // namespace quantlane
