#include "quantize/lanes/transfer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/code_moves.h"
#include "model/gguf_factors.h"

namespace quantlane {
namespace {

// The scheme of a Linear that a dialect stores.
std::optional<Scheme> scheme_of(const Checkpoint& source, const Parameter& parameter) {
  if (source.quantization() == nullptr || !is_linear(parameter.role)) return std::nullopt;
  const auto linear = source.quantization()->scheme_of(parameter.module());
  return linear ? std::optional(linear->weight) : std::nullopt;
}

const BlockFormat* stored_blocks(const Checkpoint& source, const Parameter& parameter) {
  const TensorInfo* stored = source.stored(parameter).tensor;
  return stored == nullptr ? nullptr : stored->type.block;
}

}  // namespace

std::string_view transfer_name(Transfer transfer) {
  switch (transfer) {
    case Transfer::kEncode:
      return "";
    case Transfer::kDequantize:
      return "dequantized";
    case Transfer::kCopy:
      return "copied";
    case Transfer::kMove:
      return "moved";
    case Transfer::kRequantize:
      return "requantized";
  }
  return "";
}

bool is_quantized(const Checkpoint& source, const Parameter& parameter) {
  return scheme_of(source, parameter).has_value() || stored_blocks(source, parameter) != nullptr;
}

std::string stored_encoding(const Checkpoint& source, const Parameter& parameter) {
  if (const auto scheme = scheme_of(source, parameter)) return scheme->spelling();
  const TensorInfo* stored = source.stored(parameter).tensor;
  return stored == nullptr ? "" : std::string(stored->type.name());
}

Transfer transfer_to(const Checkpoint& source, const Parameter& parameter,
                     const ElementType& target) {
  if (target.block == nullptr) {
    return is_quantized(source, parameter) ? Transfer::kDequantize : Transfer::kEncode;
  }
  if (source.edited(parameter) && is_quantized(source, parameter)) return Transfer::kRequantize;
  if (const auto scheme = scheme_of(source, parameter)) {
    return can_move_codes(*scheme, parameter.cols, *target.block) ? Transfer::kMove
                                                                  : Transfer::kRequantize;
  }
  const BlockFormat* blocks = stored_blocks(source, parameter);
  if (blocks == nullptr) return Transfer::kEncode;
  return blocks == target.block ? Transfer::kCopy : Transfer::kRequantize;
}

bool keeps_factor(const Checkpoint& source, const Parameter& parameter, Transfer transfer) {
  if (transfer == Transfer::kMove) {
    const auto scheme = scheme_of(source, parameter);
    return scheme && scheme->tensor_scale != TensorScale::kNone;
  }
  if (transfer != Transfer::kCopy || !is_linear(parameter.role)) return false;
  const TensorInfo* stored = source.stored(parameter).tensor;
  return stored != nullptr && source.container().find(factor_name(stored->name)) != nullptr;
}

float kept_factor(const Weight& weight) {
  const QuantTensor* tensor = weight.quantized();
  if (tensor == nullptr || tensor->scheme.tensor_scale == TensorScale::kNone)
    return weight.factor();
  return tensor->scheme.tensor_scale == TensorScale::kDivides ? 1 / tensor->tensor_scale
                                                              : tensor->tensor_scale;
}

bool gets_factor(const Parameter& parameter, Transfer transfer, const ElementType& target) {
  return target.block != nullptr && target.block->takes_factor && is_block_linear(parameter.role) &&
         (transfer == Transfer::kEncode || transfer == Transfer::kRequantize);
}

float largest_value(const Weight& weight, ThreadPool& pool) {
  std::vector<float> largest(static_cast<std::size_t>(weight.rows()));
  pool.parallel_for(weight.rows(), [&](std::int64_t r, int) {
    std::vector<float> row(static_cast<std::size_t>(weight.cols()));
    weight.decode_rows(r, 1, row.data());
    float& most = largest[static_cast<std::size_t>(r)];
    for (const float value : row) most = std::max(most, std::abs(value));
  });
  return std::ranges::max(largest);
}

float new_factor(const Weight& weight, const BlockFormat& target, ThreadPool& pool) {
  const float factor = largest_value(weight, pool) / target.largest;
  return std::isnormal(factor) && std::isnormal(1 / factor) ? factor : 1;
}

std::optional<ElementType> type_as_stored(const Checkpoint& source, const Parameter& parameter) {
  if (source.edited(parameter) && is_quantized(source, parameter)) return std::nullopt;
  if (const auto scheme = scheme_of(source, parameter)) {
    const BlockFormat* block = block_for_codes(*scheme, parameter.cols);
    return block == nullptr ? std::nullopt : std::optional(ElementType{.block = block});
  }
  const TensorInfo* stored = source.stored(parameter).tensor;
  if (stored == nullptr || (stored->type.block == nullptr && !is_float(stored->type.plain))) {
    return std::nullopt;
  }
  return stored->type;
}

Result<void> refuse_requantizing(const Checkpoint& source, const std::string& what, bool converts,
                                 std::span<const PlannedTransfer> transfers) {
  const auto is_second = [](const PlannedTransfer& row) {
    return row.transfer == Transfer::kRequantize;
  };
  const auto first = std::ranges::find_if(transfers, is_second);
  if (first == transfers.end()) return {};
  return fail(
      unsupported(what)
          .in(source.path().string())
          .of(first->parameter->name)
          .expects("an unquantized checkpoint (bf16, f16 or f32), or types that hold its codes")
          .got("one that is quantized already: " +
               std::to_string(std::ranges::count_if(transfers, is_second)) + " of " +
               std::to_string(transfers.size()) + " matrices would get new codes, this one " +
               stored_encoding(source, *first->parameter) + " -> " + first->target +
               (first->obstacle.empty() ? "" : ": " + first->obstacle))
          .advise("start from the original checkpoint: quantizing twice adds both errors. " +
                  std::string(converts ? "quantlane quantize --allow-requantize"
                                       : "--allow-requantize") +
                  " does it and says how far the weights move"));
}

}  // namespace quantlane
