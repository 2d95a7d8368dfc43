#include "quantize/row_stream.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "core/cancel.h"
#include "core/check.h"
#include "kernels/encode.h"
#include "quantize/raw_values.h"
#include "quantize/scale_reach.h"

namespace quantlane {
namespace {

// Values in one slice: large enough to amortise the hand-over, small enough that a wave of slices
// stays in the outer caches.
constexpr std::int64_t kSliceValues = std::int64_t{1} << 18;
// Slices per worker in one wave.
constexpr std::int64_t kSlicesPerWorker = 4;

// Finite, and times `factor` as well: 0 * value is 0 or, of NaN and infinity, NaN: sums that
// vectors take.
bool all_finite(const float* values, std::int64_t count, float factor) {
  constexpr std::int64_t kSums = 16;
  float sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t l = 0; l < kSums; ++l) sums[l] += 0.0F * (values[i + l] * factor);
  }
  for (; i < count; ++i) sums[0] += 0.0F * (values[i] * factor);
  return std::ranges::all_of(sums, [](float sum) { return sum == 0; });
}

Result<void> check_finite(const float* values, std::int64_t rows, std::int64_t cols,
                          std::int64_t first_row, const std::string& name) {
  const std::int64_t count = rows * cols;
  if (all_finite(values, count, 1)) return {};
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::isfinite(values[i])) continue;
    return fail(not_finite("quantizing a weight", name, first_row * cols + i, cols));
  }
  return {};
}

// Larger values would become infinite, or collapse to what the scales of blocks reach.
float largest_of(const ElementType& type) {
  if (type.block != nullptr) return type.block->largest;
  if (type.plain == DType::kF16) return 65504.0F;
  return type.plain == DType::kBF16 ? 0x1.FEp127F : std::numeric_limits<float>::infinity();
}

// The first value that does not round to the largest any more: half a step above it.
float first_beyond(const ElementType& type) {
  const float largest = largest_of(type);
  return type.plain == DType::kBF16 && type.block == nullptr ? 0x1.FFp127F
                                                             : largest * (1 + 0x1p-12F);
}

Result<void> check_range(const float* values, std::int64_t rows, std::int64_t cols,
                         std::int64_t first_row, const std::string& name, const ElementType& type) {
  // Values just above overflow here, too, and are judged below.
  const float overflows = std::numeric_limits<float>::max() / largest_of(type);
  if (all_finite(values, rows * cols, overflows)) return {};
  const float beyond = first_beyond(type);
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    if (std::abs(values[i]) < beyond) continue;
    return fail(unsupported("writing " + std::string(type.name()))
                    .of(name)
                    .expects(fmt::format("values up to {:g}", largest_of(type)))
                    .got(fmt::format("{:g} in row {}, column {}", values[i], first_row + i / cols,
                                     i % cols))
                    .advise(type.plain == DType::kBF16 && type.block == nullptr
                                ? "write f32"
                                : "write bf16 or f32"));
  }
  return {};
}

// The hot data-free formats have row encoders that read bf16 directly.
using FastEncoder = kernels::EncodedRow (*)(const std::uint16_t*, std::int64_t, std::int8_t*);
FastEncoder fast_encoder(const Weight& weight, const Scheme& scheme, const Algorithm& algorithm) {
  if (algorithm.wants_statistics || scheme.granularity != Granularity::kChannel ||
      scheme.scale_dtype != DType::kBF16 || scheme.bits != 8 || !scheme.symmetric ||
      weight.bf16_rows() == nullptr) {
    return nullptr;
  }
  return scheme.type == ValueType::kInt ? kernels::encode_row_int8 : kernels::encode_row_e4m3;
}

Result<QuantTensor> encode_fast(FastEncoder encode, const Weight& weight, const std::string& name,
                                const Scheme& scheme, std::int64_t begin, std::int64_t count) {
  QuantTensor slice;
  slice.scheme = scheme;
  slice.rows = count;
  slice.cols = weight.cols();
  slice.codes.resize(static_cast<std::size_t>(count * slice.cols));
  slice.scales.resize(static_cast<std::size_t>(count));
  for (std::int64_t r = 0; r < count; ++r) {
    const auto row = encode(weight.bf16_rows() + (begin + r) * slice.cols, slice.cols,
                            slice.codes.data() + r * slice.cols);
    slice.scales[static_cast<std::size_t>(r)] = row.scale;
    if (row.finite) continue;
    std::vector<float> values(static_cast<std::size_t>(slice.cols));
    weight.decode_rows(begin + r, 1, values.data());
    QUANTLANE_TRY_VOID(check_finite(values.data(), 1, slice.cols, begin + r, name));
  }
  return slice;
}

// Slices do not overlap, but share the one scale of a tensor, which is the same in all.
void keep_slice(const QuantTensor& slice, std::int64_t begin, QuantTensor& whole) {
  std::ranges::copy(slice.codes, whole.codes.begin() + begin * whole.cols);
  if (whole.scheme.granularity == Granularity::kTensor) {
    if (begin == 0) whole.scales = slice.scales;
  } else {
    const std::int64_t first = whole.scheme.first_scale(begin, whole.cols);
    std::ranges::copy(slice.scales, whole.scales.begin() + first);
    std::ranges::copy(slice.zeros, whole.zeros.begin() + (slice.zeros.empty() ? 0 : first));
  }
  if (begin == 0) whole.tensor_scale = slice.tensor_scale;
}

// The opposite of keep_slice().
QuantTensor rows_of(const QuantTensor& whole, std::int64_t begin, std::int64_t count) {
  QuantTensor slice;
  slice.scheme = whole.scheme;
  slice.rows = count;
  slice.cols = whole.cols;
  slice.tensor_scale = whole.tensor_scale;
  const auto part = [](const auto& values, std::int64_t first, std::int64_t size) {
    return std::remove_cvref_t<decltype(values)>(values.begin() + first,
                                                 values.begin() + first + size);
  };
  slice.codes = part(whole.codes, begin * whole.cols, count * whole.cols);
  if (whole.scheme.granularity == Granularity::kTensor) {
    slice.scales = whole.scales;
    return slice;
  }
  const std::int64_t first = whole.scheme.first_scale(begin, whole.cols);
  const std::int64_t scales = whole.scheme.scale_count(count, whole.cols);
  slice.scales = part(whole.scales, first, scales);
  if (!whole.zeros.empty()) slice.zeros = part(whole.zeros, first, scales);
  return slice;
}

// The slices of a few rows, encoded and not yet handed over.
struct Wave {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::vector<std::optional<Result<SliceParts>>> slices = {};
};

// In row order, up to the first that failed.
Result<void> hand_over(Wave& wave, std::int64_t slice_rows, const SliceSink& sink) {
  std::int64_t done = wave.first;
  for (auto& parts : wave.slices) {
    if (!*parts) return std::unexpected(std::move(*parts).error());
    done = std::min(wave.end, done + slice_rows);
    QUANTLANE_TRY_VOID(sink(**parts, done));
    parts.reset();
  }
  return {};
}

}  // namespace

std::shared_ptr<QuantTensor> whole_tensor(const Scheme& scheme, const Weight& weight) {
  auto whole = std::make_shared<QuantTensor>();
  whole->scheme = scheme;
  whole->rows = weight.rows();
  whole->cols = weight.cols();
  whole->codes.resize(static_cast<std::size_t>(weight.rows() * weight.cols()));
  whole->scales.resize(static_cast<std::size_t>(scheme.scale_count(weight.rows(), weight.cols())));
  if (!scheme.symmetric) whole->zeros.resize(whole->scales.size());
  return whole;
}

Result<void> stream_slices(std::int64_t rows, std::int64_t cols, ThreadPool& pool,
                           const SliceEncoder& encode, const SliceSink& sink,
                           std::int64_t row_multiple, std::int64_t most_rows) {
  const std::int64_t wanted = std::min(most_rows, kSliceValues / std::max<std::int64_t>(1, cols));
  const std::int64_t slice_rows = std::max<std::int64_t>(1, wanted / row_multiple) * row_multiple;
  const std::int64_t wave_rows = slice_rows * pool.size() * kSlicesPerWorker;
  Wave before;
  for (std::int64_t first = 0; first < rows; first += wave_rows) {
    QUANTLANE_TRY_VOID(check_cancel("quantizing"));
    Wave wave{.first = first, .end = std::min(rows, first + wave_rows)};
    const std::int64_t slices = (wave.end - first + slice_rows - 1) / slice_rows;
    wave.slices.resize(static_cast<std::size_t>(slices));
    // One worker writes the wave before while the others encode.
    Result<void> written;
    pool.parallel_for(slices + 1, [&](std::int64_t i, int) {
      if (i == 0) {
        written = hand_over(before, slice_rows, sink);
        return;
      }
      const std::int64_t begin = first + (i - 1) * slice_rows;
      wave.slices[static_cast<std::size_t>(i - 1)] =
          encode(begin, std::min(slice_rows, wave.end - begin));
    });
    QUANTLANE_TRY_VOID(written);
    before = std::move(wave);
  }
  return hand_over(before, slice_rows, sink);
}

SliceEncoder linear_encoder(const Weight& weight, const std::string& name,
                            const DialectWriter& writer, const LinearScheme& scheme,
                            const Algorithm& algorithm, InputModel inputs,
                            std::shared_ptr<QuantTensor> whole, ZeroRows* zero_rows,
                            VanishedGroups* vanished) {
  const FastEncoder fast = fast_encoder(weight, scheme.weight, algorithm);
  return [&weight, name, &writer, scheme, &algorithm, inputs = std::move(inputs), fast,
          whole = std::move(whole), zero_rows,
          vanished](std::int64_t begin, std::int64_t count) -> Result<SliceParts> {
    QuantTensor slice;
    if (fast != nullptr) {
      if (zero_rows != nullptr) {
        zero_rows->see(weight.bf16_rows() + begin * weight.cols(), count, weight.cols());
      }
      QUANTLANE_TRY(slice, encode_fast(fast, weight, name, scheme.weight, begin, count));
    } else {
      std::vector<float> values(static_cast<std::size_t>(count * weight.cols()));
      weight.decode_rows(begin, count, values.data());
      if (zero_rows != nullptr) zero_rows->see(values.data(), count, weight.cols());
      QUANTLANE_TRY_VOID(check_finite(values.data(), count, weight.cols(), begin, name));
      auto rounded = algorithm.quantize(scheme.weight, values.data(), count, weight.cols(),
                                        inputs.view(begin));
      if (!rounded) return fail(std::move(rounded).error().of(name));
      slice = std::move(*rounded);
      QUANTLANE_TRY_VOID(check_reach(values.data(), slice, begin, name));
      if (vanished != nullptr) vanished->see(values.data(), slice);
    }
    if (whole != nullptr) keep_slice(slice, begin, *whole);
    return writer.pack(scheme, slice, weight.rows());
  };
}

SliceEncoder kept_encoder(const QuantTensor& whole, const DialectWriter& writer,
                          const LinearScheme& scheme) {
  return [&whole, &writer, scheme](std::int64_t begin, std::int64_t count) -> Result<SliceParts> {
    return writer.pack(scheme, rows_of(whole, begin, count), whole.rows);
  };
}

SliceEncoder kept_encoder(std::span<const std::byte> bytes, const ElementType& type,
                          std::int64_t cols, const std::string& name) {
  const std::uint64_t row_bytes = type.bytes_of(cols);
  return [bytes, type, cols, name, row_bytes](std::int64_t begin,
                                              std::int64_t count) -> Result<SliceParts> {
    const auto rows = bytes.subspan(static_cast<std::size_t>(begin) * row_bytes,
                                    static_cast<std::size_t>(count) * row_bytes);
    QUANTLANE_TRY_VOID(check_raw_values(type, rows, name, begin * cols, cols));
    return SliceParts{{rows.begin(), rows.end()}};
  };
}

SliceEncoder typed_encoder(const Weight& weight, const std::string& name, ElementType type,
                           const Algorithm* algorithm, InputModel inputs, RowMap map,
                           ZeroRows* zero_rows) {
  return [&weight, name, type, algorithm, inputs = std::move(inputs), map = std::move(map),
          zero_rows](std::int64_t begin, std::int64_t count) -> Result<SliceParts> {
    const std::int64_t cols = weight.cols();
    std::vector<float> values(static_cast<std::size_t>(count * cols));
    if (!map.source_row) {
      weight.decode_rows(begin, count, values.data());
    } else {
      for (std::int64_t r = 0; r < count; ++r) {
        weight.decode_rows(map.source_row(begin + r), 1, values.data() + r * cols);
      }
    }
    if (zero_rows != nullptr) zero_rows->see(values.data(), count, cols);
    QUANTLANE_TRY_VOID(check_finite(values.data(), count, cols, begin, name));
    if (!map.source_column.empty()) {
      const std::vector<float> logical = values;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t c = i % map.source_column.size();
        values[i] = logical[i - c + static_cast<std::size_t>(map.source_column[c])];
      }
    }
    if (map.shift != 0) {
      for (float& value : values) value += map.shift;
    }
    if (map.factor != 1) {
      for (float& value : values) value *= map.factor;
    }
    if (std::isfinite(largest_of(type))) {
      QUANTLANE_TRY_VOID(check_range(values.data(), count, cols, begin, name, type));
    }
    SliceParts parts(1);
    const auto row_bytes = static_cast<std::size_t>(type.bytes_of(cols));
    parts[0].resize(static_cast<std::size_t>(count) * row_bytes);
    if (type.block == nullptr) {
      encode_plain(type.plain, values.data(), count * cols, parts[0].data());
    } else {
      algorithm->encode(*type.block, values.data(), count, cols, inputs.view(begin, map.factor),
                        parts[0].data());
    }
    return parts;
  };
}

}  // namespace quantlane
