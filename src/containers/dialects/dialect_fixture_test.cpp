// Every dialect against files of the tools that define it: the values that those decode, bit for
// bit, and, where we write the dialect, the same bytes back.
#include <algorithm>
#include <cstring>
#include <memory>

#include "containers/dialects/dialect_test_files.h"
#include "containers/dialects/part_collector.h"
#include "core/hash.h"

namespace quantlane {
namespace {

struct Fixture {
  const char* name;
  const char* dialect;
};
constexpr Fixture kFixtures[] = {{"ct-fp8-block", "compressed-tensors"},
                                 {"ct-fp8-dynamic-channel", "compressed-tensors"},
                                 {"ct-fp8-static-tensor", "compressed-tensors"},
                                 {"ct-int8-w8a8-dynamic", "compressed-tensors"},
                                 {"ct-mxfp4", "compressed-tensors"},
                                 {"ct-nvfp4", "compressed-tensors"},
                                 {"ct-nvfp4a16", "compressed-tensors"},
                                 {"ct-w4a16-awq-asym-g128", "compressed-tensors"},
                                 {"ct-w4a16-gptq-gidx-g128", "compressed-tensors"},
                                 {"ct-w4a16-gptq-static-g128", "compressed-tensors"},
                                 {"ct-w4a16-sym-g128", "compressed-tensors"},
                                 {"autoround-auto_gptq-sym-g128", "gptq"},
                                 {"gptqmodel-gptq-v1-sym-g128", "gptq"},
                                 {"gptqmodel-gptq-v1-asym-descact-g128", "gptq"},
                                 {"gptqmodel-gptq-v2-asym-descact-g128", "gptq_v2"},
                                 {"autoawq-gemm-asym-g128", "awq"},
                                 {"autoround-auto_awq-asym-g128", "awq"},
                                 {"modelopt-fp8", "modelopt"},
                                 {"modelopt-nvfp4", "modelopt"},
                                 {"bnb-nf4", "bitsandbytes"},
                                 {"bnb-nf4-double-quant", "bitsandbytes"}};

// Written back although the writer would refuse: asymmetric weights of GPTQ version 1.
constexpr std::string_view kRefused = "gptqmodel-gptq-v1-asym-descact-g128";

Json read_json(const fs::path& path) {
  const auto text = read_text(path);
  EXPECT_TRUE(text.has_value()) << path;
  auto json = Json::parse(text.value_or("null"), path.string());
  EXPECT_TRUE(json.has_value()) << path;
  return json.value_or(Json());
}

std::unique_ptr<Container> open_packed(const fs::path& packed) {
  const fs::path file =
      fs::temp_directory_path() / ("quantlane-packed-" + std::to_string(::getpid()));
  EXPECT_TRUE(write_text(file, test::unpack(packed)).has_value());
  auto container = open_container(file);
  fs::remove(file);
  EXPECT_TRUE(container.has_value()) << container.error().message();
  return container ? std::move(*container) : nullptr;
}

// `unsigned_zeros`: -0 counts as 0.
std::string decoded_sha256(const QuantTensor& tensor, bool unsigned_zeros) {
  std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
  tensor.decode_rows(0, tensor.rows, values.data());
  for (float& value : values) {
    if (unsigned_zeros) value += 0.0F;
  }
  return sha256_hex(std::as_bytes(std::span(values)));
}

QuantTensor slice_of(const QuantTensor& tensor, std::int64_t begin, std::int64_t count) {
  QuantTensor slice = tensor;
  const std::int64_t end = begin + count;
  const Scheme& scheme = tensor.scheme;
  slice.rows = count;
  slice.codes.assign(tensor.codes.begin() + begin * tensor.cols,
                     tensor.codes.begin() + end * tensor.cols);
  if (scheme.granularity == Granularity::kTensor) return slice;
  const std::int64_t first = scheme.first_scale(begin, tensor.cols);
  const std::int64_t scales = scheme.scale_count(count, tensor.cols);
  slice.scales.assign(tensor.scales.begin() + first, tensor.scales.begin() + first + scales);
  if (!tensor.zeros.empty()) {
    slice.zeros.assign(tensor.zeros.begin() + first, tensor.zeros.begin() + first + scales);
  }
  return slice;
}

// The tensors of `module` as the writer makes them from slices of `step` rows are the stored ones.
void expect_same_bytes(const Dialect& dialect, const Container& container, std::string_view module,
                       const StoredLinear& linear, std::int64_t step, bool refused) {
  const QuantTensor& tensor = linear.weight;
  const LinearScheme scheme{.weight = tensor.scheme, .input = linear.input};
  step *= dialect.writer->row_multiple(scheme);
  EXPECT_EQ(dialect.writer->cannot_hold(scheme, tensor.rows, tensor.cols).has_value(), refused);
  const auto plan = dialect.writer->plan(module, scheme, tensor.rows, tensor.cols);
  std::vector<PartCollector> parts(plan.begin(), plan.end());
  for (std::int64_t r = 0; r < tensor.rows; r += step) {
    const auto packed = dialect.writer->pack(
        scheme, slice_of(tensor, r, std::min(step, tensor.rows - r)), tensor.rows);
    ASSERT_EQ(packed.size(), plan.size());
    for (std::size_t i = 0; i < plan.size(); ++i) parts[i].add(packed[i]);
  }
  ASSERT_EQ(dialect.writer->finish != nullptr, dialect.name == "bitsandbytes");
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const PlannedTensor& planned = plan[i].tensor;
    const TensorInfo* stored = container.find(planned.name);
    ASSERT_NE(stored, nullptr) << planned.name;
    EXPECT_EQ(planned.type.name(), stored->type.name()) << planned.name;
    EXPECT_EQ(planned.shape, stored->shape) << planned.name;
    EXPECT_EQ(parts[i].bytes().size(), planned.size_bytes()) << planned.name;
    EXPECT_TRUE(std::ranges::equal(parts[i].bytes(), container.bytes(*stored))) << planned.name;
  }
  const auto of_module = [&](const TensorInfo& stored) {
    return stored.name.starts_with(std::string(module) + ".") && !stored.name.ends_with(".bias");
  };
  EXPECT_EQ(std::ranges::count_if(container.tensors(), of_module),
            static_cast<std::ptrdiff_t>(plan.size()));
}

// The tensors of one module: each fixture is a checkpoint of its own.
class OneModule final : public Container {
 public:
  OneModule(const Container& all, const std::string& module) : all_(all) {
    for (const TensorInfo& tensor : all.tensors()) {
      if (tensor.name.starts_with(module + ".")) tensors_.push_back(tensor);
    }
  }
  [[nodiscard]] std::string_view kind() const override { return all_.kind(); }
  [[nodiscard]] std::span<const TensorInfo> tensors() const override { return tensors_; }
  [[nodiscard]] const TensorInfo* find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &TensorInfo::name);
    return found == tensors_.end() ? nullptr : &*found;
  }
  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo& tensor) const override {
    return all_.bytes(tensor);
  }
  [[nodiscard]] const Metadata& metadata() const override { return all_.metadata(); }
  [[nodiscard]] std::span<const std::string> files() const override { return all_.files(); }
  void drop(const TensorInfo&) const override {}
  void drop(const TensorInfo&, std::uint64_t, std::uint64_t) const override {}

 private:
  const Container& all_;
  std::vector<TensorInfo> tensors_;
};

class DialectFixture : public testing::TestWithParam<Fixture> {
 protected:
  void read_map(const Json& config, const Container& container) {
    for (const Dialect* row : dialects()) {
      if (!row->recognises(config)) continue;
      EXPECT_EQ(dialect_, nullptr) << "two dialects claim " << GetParam().name;
      dialect_ = row;
    }
    ASSERT_NE(dialect_, nullptr);
    EXPECT_EQ(dialect_->name, GetParam().dialect);
    auto map = dialect_->read_map({.config = config,
                                   .container = container,
                                   .origin = "config.json",
                                   .model_dtype = DType::kBF16});  // GPTQModel's, whatever the file
    ASSERT_TRUE(map.has_value()) << map.error().message();
    map_ = std::move(*map);
  }

  void check(const Container& container, std::string_view module, const LinearScheme& scheme,
             std::int64_t rows, std::int64_t cols, std::string_view sha256, bool unsigned_zeros) {
    const auto verified = dialect_->verify(container, module, scheme, rows, cols);
    EXPECT_TRUE(verified.has_value()) << verified.error().message();
    const auto linear = dialect_->unpack(container, module, scheme, rows, cols);
    ASSERT_TRUE(linear.has_value()) << linear.error().message();
    EXPECT_EQ(decoded_sha256(linear->weight, unsigned_zeros), sha256) << module;
    if (linear->input && linear->input->calibrated()) {
      EXPECT_GT(linear->input->static_scale, 0);
    }
    // compressed-tensors gave up files in the order of activations.
    const bool ordered = !linear->weight.group_of_column.empty();
    if (dialect_->writer == nullptr || (ordered && dialect_->name == "compressed-tensors")) return;
    // Scales that were rounded once are not the ones that they were rounded from.
    if (scheme.weight.nested_scales) return;
    expect_same_bytes(*dialect_, container, module, *linear, 1, GetParam().name == kRefused);
    expect_same_bytes(*dialect_, container, module, *linear, 24, GetParam().name == kRefused);
    expect_same_bytes(*dialect_, container, module, *linear, 512, GetParam().name == kRefused);
  }

  const Dialect* dialect_ = nullptr;
  std::unique_ptr<QuantizationMap> map_;
};
INSTANTIATE_TEST_SUITE_P(Files, DialectFixture, testing::ValuesIn(kFixtures),
                         [](const auto& fixture) {
                           std::string name = fixture.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(DialectFixture, CommittedRowsDecodeBitExactAndPackBack) {
  const fs::path folder = test::committed("dialects");
  const Json index = read_json(folder / "slices.json");
  const Json entry = index[GetParam().name];
  const auto file = open_packed(folder / "slices.safetensors.xz");
  ASSERT_NE(file, nullptr);
  const OneModule container(*file, GetParam().name);
  ASSERT_NO_FATAL_FAILURE(read_map(entry["quantization_config"], container));
  EXPECT_FALSE(map_->scheme_of("lm_head").has_value());
  // The module of the configurations; the tensors have the name of the fixture.
  auto scheme = map_->scheme_of("model.layers.0.self_attn.k_proj");
  if (!scheme) scheme = map_->scheme_of(GetParam().name);
  ASSERT_TRUE(scheme.has_value());
  check(container, GetParam().name, *scheme, entry["rows"].integer(), entry["cols"].integer(),
        entry["sha256_f32"].string(), true);
}

TEST_P(DialectFixture, WholeFileDecodesBitExactAndPacksBack) {
  const fs::path folder = test::shared_formats() / "hf-quantized" / GetParam().name;
  if (!fs::exists(folder)) GTEST_SKIP() << "no fixtures in " << folder;
  const auto container = open_packed(folder / "model.safetensors.xz");
  ASSERT_NE(container, nullptr);
  const Json config = read_json(folder / "config.json");
  ASSERT_NO_FATAL_FAILURE(read_map(config["quantization_config"], *container));
  EXPECT_FALSE(map_->scheme_of("lm_head").has_value());
  EXPECT_FALSE(map_->scheme_of("model.embed_tokens").has_value() &&
               GetParam().dialect != std::string_view("compressed-tensors"));
  std::int64_t checked = 0;
  const Json goldens = read_json(folder / "golden.json");
  for (const auto& [module, golden] : goldens["weights"].members()) {
    const auto scheme = map_->scheme_of(module);
    ASSERT_TRUE(scheme.has_value()) << module;
    check(*container, module, *scheme, golden["shape"].items()[0].integer(),
          golden["shape"].items()[1].integer(), golden["sha256_f32"].string(),
          // ModelOpt's table of E2M1 has no -0.
          GetParam().name == std::string_view("modelopt-nvfp4"));
    ++checked;
  }
  EXPECT_EQ(checked, 14);
}

}  // namespace
}  // namespace quantlane
