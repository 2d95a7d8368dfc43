// Against checkpoints that llm-compressor wrote by round-to-nearest from the same base weights.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "core/json.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

const std::string kFixtures = QUANTLANE_SOURCE_DIR "/../shared/data/formats/hf-quantized/";

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, StoredTensor>;

std::string unpacked(const std::string& path) {
  std::string text;
  FILE* pipe = popen(("xz -dc '" + path + "'").c_str(), "r");
  if (pipe == nullptr) return text;
  std::vector<char> buffer(1 << 20);
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), size);
  }
  pclose(pipe);
  return text;
}

Tensors read_fixture(const std::string& folder) {
  Tensors tensors;
  const std::string file = unpacked(kFixtures + folder + "/model.safetensors.xz");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, file.data(), sizeof header_size);
  const Json header = Json::parse(file.substr(8, header_size), folder).value();
  for (const auto& [name, entry] : header.members()) {
    if (name == "__metadata__") continue;
    StoredTensor tensor;
    for (const Json& extent : entry["shape"].items()) tensor.shape.push_back(extent.integer());
    const auto begin = static_cast<std::size_t>(entry["data_offsets"].items()[0].integer());
    const auto end = static_cast<std::size_t>(entry["data_offsets"].items()[1].integer());
    tensor.bytes = file.substr(8 + header_size + begin, end - begin);
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

std::vector<float> values_of(const StoredTensor& tensor, DType dtype) {
  std::vector<float> values(tensor.bytes.size() /
                            static_cast<std::size_t>(dtype_row(dtype).size_bytes));
  decode_plain(dtype, reinterpret_cast<const std::byte*>(tensor.bytes.data()),
               static_cast<std::int64_t>(values.size()), values.data());
  return values;
}

// Stored codes as int8 (FP8: the byte), unpacked where eight share a word.
std::vector<std::int8_t> stored_codes(const StoredTensor& tensor, const Scheme& scheme) {
  std::vector<std::int8_t> codes;
  if (scheme.bits == 8) {
    codes.assign(tensor.bytes.begin(), tensor.bytes.end());
    return codes;
  }
  for (const char byte : tensor.bytes) {
    const auto pair = static_cast<std::uint8_t>(byte);
    const int offset = scheme.type == ValueType::kInt ? 8 : 0;
    codes.push_back(static_cast<std::int8_t>((pair & 15) - offset));
    codes.push_back(static_cast<std::int8_t>((pair >> 4) - offset));
  }
  return codes;
}

struct Fixture {
  const char* folder;
  const char* scheme;
  const char* codes_suffix;
};

// The tool rounds amax / 6 to bf16 before it multiplies with the scale of the tensor, so that some
// of its NVFP4 scales are neighbours of the nearest ones.
void expect_scales_of_rounded_quotients(const std::vector<float>& weights, float divisor,
                                        const std::vector<float>& stored) {
  ASSERT_EQ(stored.size(), weights.size() / 16);
  for (std::size_t g = 0; g < stored.size(); ++g) {
    float largest = 0;
    for (std::size_t i = 16 * g; i < 16 * g + 16; ++i)
      largest = std::max(largest, std::abs(weights[i]));
    const float rounded = bf16_to_f32(f32_to_bf16(largest / 6.0F));
    EXPECT_EQ(stored[g], e4m3_to_f32(f32_to_e4m3(divisor * rounded))) << g;
  }
}

// The same weights under scales that are given.
QuantTensor with_scales(QuantTensor tensor, const std::vector<float>& weights,
                        const std::vector<float>& scales) {
  tensor.scales = scales;
  const GroupFormat& format = *group_format_for(tensor.scheme);
  const std::size_t length = weights.size() / scales.size();
  for (std::size_t g = 0; g < scales.size(); ++g) {
    format.project(std::span(weights).subspan(g * length, length),
                   {.scale = tensor.effective_scale(static_cast<std::int64_t>(g))}, tensor.scheme,
                   tensor.codes.data() + g * length);
  }
  return tensor;
}

class HfFixtures : public testing::TestWithParam<Fixture> {};

INSTANTIATE_TEST_SUITE_P(LlmCompressor, HfFixtures,
                         testing::Values(Fixture{"ct-fp8-dynamic-channel", "fp8_e4m3_channel", ""},
                                         Fixture{"ct-int8-w8a8-dynamic", "int8_channel_sym", ""},
                                         Fixture{"ct-w4a16-sym-g128", "int4_g128_sym", "_packed"},
                                         Fixture{"ct-fp8-block", "fp8_e4m3_b128x128", ""},
                                         Fixture{"ct-nvfp4a16", "nvfp4", "_packed"},
                                         Fixture{"ct-mxfp4", "mxfp4", "_packed"}),
                         [](const auto& test) {
                           std::string name = test.param.scheme;
                           return name;
                         });

// The tool divides in the dtype of the weights (bf16; FP4: in float32) and rounds that quotient to
// a code, so that some of its codes are not the nearest ones. With its quotients project() gives
// its codes bit for bit; with the exact quotients the codes are at least as near to the weights,
// value by value.
TEST_P(HfFixtures, ScalesAndCodesAreReproduced) {
  const Fixture& fixture = GetParam();
  if (!std::filesystem::exists(kFixtures + fixture.folder)) {
    GTEST_SKIP() << kFixtures << " is not here";
  }
  const Tensors base = read_fixture("base");
  const Tensors written = read_fixture(fixture.folder);
  const Scheme scheme = Scheme::parse(fixture.scheme).value();
  const GroupFormat& format = *group_format_for(scheme);
  int checked = 0;
  for (const auto& [name, scale_tensor] : written) {
    if (!name.ends_with(".weight_scale")) continue;
    const std::string weight_name = name.substr(0, name.size() - std::strlen("_scale"));
    const StoredTensor& source = base.at(weight_name);
    const std::int64_t rows = source.shape[0];
    const std::int64_t cols = source.shape[1];
    const std::vector<float> weights = values_of(source, DType::kBF16);
    float tensor_scale = 0;
    if (scheme.tensor_scale != TensorScale::kNone) {
      tensor_scale = values_of(written.at(weight_name + "_global_scale"), DType::kF32)[0];
    }
    auto tensor = quantize_rows(scheme, weights.data(), rows, cols, {}, tensor_scale);
    ASSERT_TRUE(tensor) << tensor.error().message();
    const std::vector<float> stored = values_of(scale_tensor, scheme.scale_dtype);
    if (scheme.tensor_scale == TensorScale::kNone) {
      EXPECT_EQ(tensor->scales, stored) << name;
    } else {
      expect_scales_of_rounded_quotients(weights, tensor_scale, stored);
      tensor = with_scales(*tensor, weights, stored);
    }

    const std::vector<std::int8_t> expected =
        stored_codes(written.at(weight_name + fixture.codes_suffix), scheme);
    ASSERT_EQ(expected.size(), weights.size());
    const std::int64_t width =
        scheme.granularity == Granularity::kChannel ? cols : scheme.group_size;
    std::vector<float> quotients(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t index = scheme.first_scale(at / cols, cols) + at % cols / width;
      quotients[i] = weights[i] / tensor->effective_scale(index);
      if (scheme.bits == 8 || scheme.type == ValueType::kInt)
        round_values(DType::kBF16, &quotients[i], 1);
    }
    std::vector<std::int8_t> codes(weights.size());
    format.project(quotients, {.scale = 1}, scheme, codes.data());
    EXPECT_EQ(codes, expected) << weight_name;

    QuantTensor theirs = *tensor;
    theirs.codes = expected;
    std::vector<float> our_values(weights.size());
    std::vector<float> their_values(weights.size());
    tensor->decode_rows(0, rows, our_values.data());
    theirs.decode_rows(0, rows, their_values.data());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      ASSERT_LE(std::abs(our_values[i] - weights[i]), std::abs(their_values[i] - weights[i]))
          << weight_name << " " << i;
    }
    ++checked;
  }
  EXPECT_EQ(checked, 14);
}

}  // namespace
}  // namespace quantlane
