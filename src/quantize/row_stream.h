// Turns the rows of one parameter into the bytes of one or more stored tensors: slices are encoded
// in parallel and handed over in order, while the next are encoded; memory is bounded by a few
// slices.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "model/weight.h"
#include "quantize/algorithms/algorithm.h"
#include "quantize/lanes/lane.h"
#include "quantize/vanished_groups.h"
#include "quantize/zero_rows.h"
#include "quantlane/result.h"

namespace quantlane {

// Bytes of one slice for each planned tensor of the parameter.
using SliceParts = std::vector<std::vector<std::byte>>;

// Called for rows [begin, begin + count), from several threads at once.
using SliceEncoder = std::function<Result<SliceParts>(std::int64_t begin, std::int64_t count)>;
// Called in row order, by one worker at a time; must not use the pool.
using SliceSink = std::function<Result<void>(const SliceParts& parts, std::int64_t rows_done)>;

// Slices begin at multiples of `row_multiple` rows and have about `most_rows` at most. The first
// failing slice, in row order, decides the error. Checks for cancellation between waves.
Result<void> stream_slices(std::int64_t rows, std::int64_t cols, ThreadPool& pool,
                           const SliceEncoder& encode, const SliceSink& sink,
                           std::int64_t row_multiple = 1,
                           std::int64_t most_rows = std::numeric_limits<std::int64_t>::max());

// An empty matrix of the scheme, for linear_encoder() to fill.
std::shared_ptr<QuantTensor> whole_tensor(const Scheme& scheme, const Weight& weight);

// Encodes rows of `weight` under a group scheme and packs them as `writer` lays them out; one part
// per planned tensor. NaN and infinities are refused with the tensor's name and row. `whole`, if
// given, takes the codes of all rows as well; `zero_rows` is shown them before, `vanished` after,
// but for rows whose scales cannot be too small.
SliceEncoder linear_encoder(const Weight& weight, const std::string& name,
                            const DialectWriter& writer, const LinearScheme& scheme,
                            const Algorithm& algorithm, InputModel inputs,
                            std::shared_ptr<QuantTensor> whole = nullptr,
                            ZeroRows* zero_rows = nullptr, VanishedGroups* vanished = nullptr);

// Packs the rows of codes that are there already; `whole` must outlive it.
SliceEncoder kept_encoder(const QuantTensor& whole, const DialectWriter& writer,
                          const LinearScheme& scheme);
// Gives out rows of `type` that are there already, plain ones if they are finite; `bytes` must
// outlive it.
SliceEncoder kept_encoder(std::span<const std::byte> bytes, const ElementType& type,
                          std::int64_t cols, const std::string& name);

// Where output row r of a plain or block tensor comes from (and its column c, for biases), and what
// is added to every value
// (Gemma's norms are stored minus one in one container and whole in the other).
struct RowMap {
  std::function<std::int64_t(std::int64_t)> source_row;  // empty = the same row
  std::vector<std::int64_t> source_column;               // empty = the same column
  float shift = 0;
  float factor = 1;  // every value is multiplied by it, first
};
// Encodes rows of `weight` as `type` (f32, f16, bf16 or blocks), one part.
SliceEncoder typed_encoder(const Weight& weight, const std::string& name, ElementType type,
                           const Algorithm* algorithm, InputModel inputs, RowMap map,
                           ZeroRows* zero_rows = nullptr);

}  // namespace quantlane
