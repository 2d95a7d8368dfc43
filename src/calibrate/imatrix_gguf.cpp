// llama.cpp's importance matrices as GGUF (since 2025), in this order:
//   general.type = "imatrix"; imatrix.datasets, string array; imatrix.chunk_count, u32;
//   imatrix.chunk_size, u32 (llama-quantize asks for the last three)
//   tensors by name: "<weight>.in_sum2" F32 [matrices, cols], "<weight>.counts" F32 [matrices, 1]
// A single matrix is [cols] and [1]. Tensors of other names are passed over.
// Source: tools/imatrix/imatrix.cpp and common/imatrix-loader.cpp of llama.cpp 0c1e57098.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "calibrate/imatrix.h"
#include "containers/gguf.h"
#include "containers/tensor_size.h"
#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::string_view kType = "general.type";
constexpr std::string_view kTypeImatrix = "imatrix";
constexpr std::string_view kDatasets = "imatrix.datasets";
constexpr std::string_view kChunkCount = "imatrix.chunk_count";
constexpr std::string_view kChunkSize = "imatrix.chunk_size";
constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";
constexpr std::int64_t kMaxChunkSize = std::int64_t{1} << 24;

Error refuse(const std::string& origin, std::string name) {
  return corrupt("reading an importance matrix (GGUF)").in(origin).of(std::move(name));
}

bool recognises(std::span<const std::byte> file) {
  const auto magic = std::as_bytes(std::span(kGgufMagic));
  return file.size() >= magic.size() && std::ranges::equal(file.first(magic.size()), magic);
}

Result<std::int64_t> read_number(const Metadata& metadata, std::string_view key, std::int64_t least,
                                 std::int64_t most, const std::string& origin) {
  const auto value = metadata.integer(key);
  if (value && *value >= least && *value <= most) return *value;
  return fail(refuse(origin, std::string(key))
                  .expects(fmt::format("an integer within {}..{}", least, most))
                  .got(value ? std::to_string(*value) : "none"));
}

Result<Imatrix> read_keys(const Metadata& metadata, const std::string& origin) {
  if (const std::string* type = metadata.string(kType); type == nullptr || *type != kTypeImatrix) {
    return fail(refuse(origin, std::string(kType))
                    .expects(std::string(kTypeImatrix))
                    .got(type == nullptr ? "none" : *type)
                    .advise("the file is no importance matrix"));
  }
  Imatrix imatrix;
  const std::vector<std::string>* datasets = metadata.strings(kDatasets);
  if (datasets == nullptr) {
    return fail(refuse(origin, std::string(kDatasets)).expects("an array of strings"));
  }
  imatrix.datasets = *datasets;
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  QUANTLANE_TRY(imatrix.chunk_count, read_number(metadata, kChunkCount, 0, kMost, origin));
  QUANTLANE_TRY(imatrix.chunk_size, read_number(metadata, kChunkSize, 1, kMaxChunkSize, origin));
  return imatrix;
}

Result<std::vector<float>> read_values(std::span<const std::byte> file, const TensorInfo& tensor,
                                       const std::string& origin) {
  if (tensor.type != ElementType{.plain = DType::kF32}) {
    return fail(refuse(origin, tensor.name)
                    .at(tensor.offset)
                    .expects("f32")
                    .got(std::string(tensor.type.name())));
  }
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  std::ranges::copy(file.subspan(tensor.offset, tensor.size_bytes),
                    std::as_writable_bytes(std::span(values)).begin());
  return values;
}

Result<std::vector<std::int64_t>> whole_counts(const std::vector<float>& values,
                                               const TensorInfo& tensor,
                                               const std::string& origin) {
  constexpr float kMost = 9.0e15F;  // below 2^53, so that doubles stay exact
  std::vector<std::int64_t> counts;
  for (const float value : values) {
    if (!(value >= 0 && value <= kMost)) {
      return fail(refuse(origin, tensor.name)
                      .at(tensor.offset)
                      .expects("counts of tokens")
                      .got(std::to_string(value)));
    }
    counts.push_back(std::llround(value));
  }
  return counts;
}

struct Pair {
  const TensorInfo* sums = nullptr;
  const TensorInfo* counts = nullptr;
};

std::map<std::string, Pair> pairs_of(const GgufFile& file) {
  std::map<std::string, Pair> pairs;
  for (const TensorInfo& tensor : file.tensors) {
    const std::string_view name = tensor.name;
    if (name.ends_with(kSums)) {
      pairs[std::string(name.substr(0, name.size() - kSums.size()))].sums = &tensor;
    } else if (name.ends_with(kCounts)) {
      pairs[std::string(name.substr(0, name.size() - kCounts.size()))].counts = &tensor;
    }
  }
  return pairs;
}

Result<ImatrixEntry> read_entry(std::span<const std::byte> file, const std::string& name,
                                const Pair& pair, const std::string& origin) {
  if (pair.sums == nullptr || pair.counts == nullptr) {
    return fail(refuse(origin, name)
                    .expects(fmt::format("tensors {}{} and {}{}", name, kSums, name, kCounts))
                    .got("only one of them"));
  }
  ImatrixEntry entry;
  QUANTLANE_TRY(const auto sums, read_values(file, *pair.sums, origin));
  entry.sums.assign(sums.begin(), sums.end());
  QUANTLANE_TRY(const auto counts, read_values(file, *pair.counts, origin));
  QUANTLANE_TRY(entry.counts, whole_counts(counts, *pair.counts, origin));
  const auto matrices = entry.counts.size();
  if (entry.sums.empty() || matrices == 0 ||
      pair.sums->element_count() != pair.sums->shape.back() * static_cast<std::int64_t>(matrices)) {
    return fail(refuse(origin, name)
                    .at(pair.sums->offset)
                    .expects("sums of shape [matrices, inputs] and one count for each matrix")
                    .got(fmt::format("sums of shape {} with {} counts",
                                     shape_text(pair.sums->shape), matrices)));
  }
  return entry;
}

Result<Imatrix> parse(std::span<const std::byte> file, const std::string& origin) {
  QUANTLANE_TRY(const GgufFile parsed, parse_gguf(file, origin));
  QUANTLANE_TRY(Imatrix imatrix, read_keys(parsed.metadata, origin));
  for (const auto& [name, pair] : pairs_of(parsed)) {
    QUANTLANE_TRY(ImatrixEntry entry, read_entry(file, name, pair, origin));
    imatrix.entries.emplace(name, std::move(entry));
  }
  return checked_imatrix(std::move(imatrix), origin);
}

std::vector<PlannedTensor> plan_of(const Imatrix& imatrix) {
  std::vector<PlannedTensor> plan;
  for (const auto& [name, entry] : imatrix.entries) {
    const auto matrices = static_cast<std::int64_t>(entry.counts.size());
    const auto cols = static_cast<std::int64_t>(entry.values_per_count());
    const auto shape = [matrices](std::int64_t width) {
      return matrices == 1 ? std::vector<std::int64_t>{width}
                           : std::vector<std::int64_t>{matrices, width};
    };
    plan.push_back({.name = name + std::string(kSums), .type = {}, .shape = shape(cols)});
    plan.push_back({.name = name + std::string(kCounts), .type = {}, .shape = shape(1)});
  }
  return plan;
}

Result<void> write(const Imatrix& given, const std::filesystem::path& path,
                   ReplaceCheck may_replace) {
  std::optional<Imatrix> counted;
  if (given.chunk_size == 0) (counted = given)->set_chunk_size(kImatrixChunk);
  const Imatrix& imatrix = counted ? *counted : given;
  const auto unsigned_of = [](std::int64_t value) {
    return static_cast<std::uint32_t>(
        std::min<std::int64_t>(value, std::numeric_limits<std::uint32_t>::max()));
  };
  Metadata metadata;
  metadata.set(std::string(kType), std::string(kTypeImatrix));
  metadata.set(std::string(kDatasets), imatrix.datasets);
  metadata.set(std::string(kChunkCount), unsigned_of(imatrix.chunk_count));
  metadata.set(std::string(kChunkSize), unsigned_of(imatrix.chunk_size));
  QUANTLANE_TRY(const auto writer,
                create_gguf(path, plan_of(imatrix), metadata, std::move(may_replace)));
  std::size_t index = 0;
  for (const auto& [name, entry] : imatrix.entries) {
    const std::vector<float> sums(entry.sums.begin(), entry.sums.end());
    const std::vector<float> counts(entry.counts.begin(), entry.counts.end());
    if (!std::ranges::all_of(sums, [](float v) { return std::isfinite(v); })) {
      return fail(unsupported("writing an importance matrix (GGUF)")
                      .in(path.string())
                      .of(name)
                      .expects("sums within float32"));
    }
    QUANTLANE_TRY_VOID(writer->write(index++, std::as_bytes(std::span(sums))));
    QUANTLANE_TRY_VOID(writer->write(index++, std::as_bytes(std::span(counts))));
  }
  return writer->commit();
}

}  // namespace

constinit const ImatrixFormat kImatrixGguf = {.name = "gguf",
                                              .extension = ".gguf",
                                              .states_chunk_size = true,
                                              .recognises = recognises,
                                              .parse = parse,
                                              .write = write};

}  // namespace quantlane
