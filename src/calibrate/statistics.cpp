#include "calibrate/statistics.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

#include "containers/container.h"
#include "core/check.h"
#include "core/hash.h"
#include "core/json.h"

namespace quantlane {
namespace {

constexpr std::string_view kModel = "quantlane.model";
constexpr std::string_view kTexts = "quantlane.texts";
constexpr std::string_view kChunkSize = "quantlane.chunk_size";
constexpr std::string_view kExperts = "quantlane.experts";
constexpr std::string_view kChecksum = "quantlane.checksum";
constexpr std::string_view kSum = ".in_sum2";
constexpr std::string_view kAbsmax = kStatisticsAbsmax;
constexpr std::string_view kCount = ".count";
constexpr std::string_view kMagnitudes = ".in_magnitudes";
// Exponent and five bits of the mantissa of 2^-32, the lower edge of bin 0.
constexpr int kFirstBin = (127 - 32) * kBinsPerOctave;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <class T>
Result<std::vector<T>> read_vector(const Container& container, const std::string& name,
                                   DType dtype) {
  const TensorInfo* tensor = container.find(name);
  if (tensor == nullptr || tensor->type != ElementType{.plain = dtype} ||
      tensor->shape.size() != 1) {
    return fail(corrupt("reading calibration statistics")
                    .in(container.files()[0])
                    .of(name)
                    .expects("a vector of " + std::string(dtype_row(dtype).name))
                    .advise("delete the file: it is made again"));
  }
  std::vector<T> values(static_cast<std::size_t>(tensor->element_count()));
  std::ranges::copy(container.bytes(*tensor), std::as_writable_bytes(std::span(values)).begin());
  return values;
}

void write_origin(const StatisticsOrigin& origin, Metadata& metadata) {
  if (!origin.model.empty()) metadata.set(std::string(kModel), origin.model);
  if (!origin.texts.empty()) {
    Json texts = Json::array();
    for (const std::string& text : origin.texts) texts.push(text);
    metadata.set(std::string(kTexts), texts.dump());
  }
  if (origin.chunk_size > 0)
    metadata.set(std::string(kChunkSize), std::to_string(origin.chunk_size));
  if (origin.experts > 0) metadata.set(std::string(kExperts), std::to_string(origin.experts));
}

// 0 for what is no number up to 2^24.
std::int64_t number_of(const Metadata& metadata, std::string_view key) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;
  const std::string* text = metadata.string(key);
  if (text == nullptr) return 0;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool whole = error == std::errc() && end == text->data() + text->size();
  return whole && value > 0 && value <= kMost ? value : 0;
}

StatisticsOrigin read_origin(const Metadata& metadata) {
  StatisticsOrigin origin;
  if (const std::string* model = metadata.string(kModel)) origin.model = *model;
  if (const std::string* texts = metadata.string(kTexts)) {
    if (const auto names = Json::parse(*texts, std::string(kTexts))) {
      for (const Json& name : names->items()) origin.texts.emplace_back(name.string());
    }
  }
  origin.chunk_size = number_of(metadata, kChunkSize);
  origin.experts = number_of(metadata, kExperts);
  return origin;
}

// Of all that save() writes of them.
std::string checksum_of(const Statistics& statistics) {
  ContentHash hash;
  Metadata origin;
  write_origin(statistics.origin(), origin);
  const auto add_text = [&](std::string_view text) {
    hash.add(std::to_string(text.size()) + ":");
    hash.add(text);
  };
  for (const std::string_view key : {kModel, kTexts, kChunkSize, kExperts}) {
    const std::string* value = origin.string(key);
    add_text(value == nullptr ? "" : *value);
  }
  for (const auto& [module, inputs] : statistics.modules()) {
    add_text(module);
    hash.add(std::as_bytes(std::span(&inputs.tokens, 1)));
    hash.add(bytes_of(inputs.sum_squares));
    hash.add(bytes_of(inputs.absmax));
    hash.add(bytes_of(inputs.magnitudes));
  }
  return hash.hex();
}

}  // namespace

int magnitude_bin(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(std::abs(value)) >> 18U;
  return std::clamp(static_cast<int>(bits) - kFirstBin, 0, kMagnitudeBins - 1);
}

double bin_magnitude(int bin) {
  return std::ldexp(1.0 + (bin % kBinsPerOctave + 0.5) / kBinsPerOctave, bin / kBinsPerOctave - 32);
}

void Statistics::add(std::string_view module, const float* x, std::int64_t tokens,
                     std::int64_t cols) {
  auto it = modules_.find(module);
  if (it == modules_.end()) it = modules_.emplace(std::string(module), InputStatistics{}).first;
  InputStatistics& statistics = it->second;
  const auto width = static_cast<std::size_t>(cols);
  statistics.sum_squares.resize(width);
  statistics.absmax.resize(width);
  // Float partial sums over one pass (at most a few thousand rows), then double.
  statistics.magnitudes.resize(kMagnitudeBins);
  std::vector<float> partial(width);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const float* row = x + t * cols;
    if ((statistics.tokens + t) % kSampledToken == 0) {
      for (std::size_t c = 0; c < width; ++c) {
        ++statistics.magnitudes[static_cast<std::size_t>(magnitude_bin(row[c]))];
      }
    }
    for (std::size_t c = 0; c < width; ++c) {
      partial[c] += row[c] * row[c];
      statistics.absmax[c] = std::max(statistics.absmax[c], std::abs(row[c]));
    }
  }
  for (std::size_t c = 0; c < width; ++c)
    statistics.sum_squares[c] += static_cast<double>(partial[c]);
  statistics.tokens += tokens;
}

void Statistics::set(std::string module, InputStatistics inputs) {
  modules_.insert_or_assign(std::move(module), std::move(inputs));
}

Result<void> Statistics::merge(const Statistics& other) {
  for (const auto& [module, added] : other.modules_) {
    const auto own = modules_.find(module);
    if (own == modules_.end() || own->second.tokens == 0 ||
        own->second.sum_squares.size() == added.sum_squares.size()) {
      continue;
    }
    return fail(invalid("merging calibration statistics")
                    .of(module)
                    .expects(std::to_string(own->second.sum_squares.size()) + " columns")
                    .got(std::to_string(added.sum_squares.size())));
  }
  origin_.texts.insert(origin_.texts.end(), other.origin_.texts.begin(), other.origin_.texts.end());
  for (const auto& [module, added] : other.modules_) {
    InputStatistics& own = modules_[module];
    if (own.tokens == 0) {
      own = added;
      continue;
    }
    for (std::size_t c = 0; c < own.sum_squares.size(); ++c)
      own.sum_squares[c] += added.sum_squares[c];
    if (added.absmax.empty()) own.absmax.clear();
    if (added.magnitudes.empty()) own.magnitudes.clear();
    for (std::size_t i = 0; i < own.magnitudes.size(); ++i)
      own.magnitudes[i] += added.magnitudes[i];
    for (std::size_t c = 0; c < own.absmax.size(); ++c)
      own.absmax[c] = std::max(own.absmax[c], added.absmax[c]);
    own.tokens += added.tokens;
  }
  return {};
}

std::vector<float> Statistics::importance(std::string_view module, std::int64_t cols) const {
  const auto it = modules_.find(module);
  if (it == modules_.end() || it->second.tokens == 0 ||
      static_cast<std::int64_t>(it->second.sum_squares.size()) != cols) {
    return {};
  }
  std::vector<float> mean(it->second.sum_squares.size());
  double total = 0;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const double value = it->second.sum_squares[c] / static_cast<double>(it->second.tokens);
    mean[c] = static_cast<float>(value);
    total += value;
  }
  const float least = kLeastImportance * static_cast<float>(total / static_cast<double>(cols));
  for (float& value : mean) value = std::max(value, least);
  return mean;
}

Result<void> Statistics::save(const std::filesystem::path& path, const Metadata& metadata,
                              ReplaceCheck may_replace) const {
  std::vector<PlannedTensor> plan;
  for (const auto& [module, statistics] : modules_) {
    const auto width = static_cast<std::int64_t>(statistics.sum_squares.size());
    plan.push_back(
        {.name = module + std::string(kSum), .type = {.plain = DType::kF64}, .shape = {width}});
    plan.push_back(
        {.name = module + std::string(kAbsmax), .type = {.plain = DType::kF32}, .shape = {width}});
    plan.push_back(
        {.name = module + std::string(kCount), .type = {.plain = DType::kI64}, .shape = {1}});
    if (!statistics.magnitudes.empty()) {
      plan.push_back({.name = module + std::string(kMagnitudes),
                      .type = {.plain = DType::kI64},
                      .shape = {kMagnitudeBins}});
    }
  }
  Metadata all = metadata;
  write_origin(origin_, all);
  all.set(std::string(kChecksum), checksum_of(*this));
  QUANTLANE_TRY(const auto writer, create_safetensors(path, plan, all, std::move(may_replace)));
  std::size_t index = 0;
  for (const auto& [module, statistics] : modules_) {
    QUANTLANE_TRY_VOID(writer->write(index++, bytes_of(statistics.sum_squares)));
    QUANTLANE_TRY_VOID(writer->write(index++, bytes_of(statistics.absmax)));
    QUANTLANE_TRY_VOID(writer->write(index++, std::as_bytes(std::span(&statistics.tokens, 1))));
    if (!statistics.magnitudes.empty()) {
      QUANTLANE_TRY_VOID(writer->write(index++, bytes_of(statistics.magnitudes)));
    }
  }
  return writer->commit();
}

Result<Statistics> Statistics::load(const std::filesystem::path& path) {
  QUANTLANE_TRY(const auto container, open_container(path));
  Statistics statistics;
  statistics.origin_ = read_origin(container->metadata());
  for (const TensorInfo& tensor : container->tensors()) {
    if (!tensor.name.ends_with(kCount)) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - kCount.size());
    InputStatistics read;
    QUANTLANE_TRY(read.sum_squares,
                  read_vector<double>(*container, module + std::string(kSum), DType::kF64));
    QUANTLANE_TRY(read.absmax,
                  read_vector<float>(*container, module + std::string(kAbsmax), DType::kF32));
    QUANTLANE_TRY(const auto count,
                  read_vector<std::int64_t>(*container, tensor.name, DType::kI64));
    if (container->find(module + std::string(kMagnitudes)) != nullptr) {
      QUANTLANE_TRY(
          read.magnitudes,
          read_vector<std::int64_t>(*container, module + std::string(kMagnitudes), DType::kI64));
    }
    const bool counted =
        (read.magnitudes.empty() || read.magnitudes.size() == kMagnitudeBins) &&
        std::ranges::all_of(read.magnitudes, [](std::int64_t n) { return n >= 0; });
    if (!counted || read.absmax.size() != read.sum_squares.size() || count.size() != 1 ||
        count[0] < 1 ||
        !std::ranges::all_of(
            read.sum_squares, [](double v) { return std::isfinite(v) && v >= 0; }) ||
        !std::ranges::all_of(read.absmax, [](float v) { return std::isfinite(v) && v >= 0; })) {
      return fail(corrupt("reading calibration statistics")
                      .in(path.string())
                      .of(module)
                      .expects("finite sums and a positive token count")
                      .advise("delete the file: it is made again"));
    }
    read.tokens = count[0];
    statistics.modules_.emplace(module, std::move(read));
  }
  if (statistics.modules_.empty()) {
    return fail(corrupt("reading calibration statistics")
                    .in(path.string())
                    .expects("statistics of at least one Linear")
                    .got("none")
                    .advise("quantlane imatrix CKPT -o FILE.safetensors writes such a file"));
  }
  // Files of older versions have none.
  const std::string* checksum = container->metadata().string(kChecksum);
  if (const std::string own = checksum_of(statistics); checksum != nullptr && *checksum != own) {
    return fail(corrupt("reading calibration statistics")
                    .in(path.string())
                    .of(std::string(kChecksum))
                    .expects(*checksum)
                    .got(own + ": the file is not as it was written")
                    .advise("collect the statistics again"));
  }
  return statistics;
}

}  // namespace quantlane
