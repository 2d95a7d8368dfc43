// What becomes of matrices that the source holds in quantized form: their codes are carried over
// where the artefact's type can hold them, else they are quantized a second time, which is never
// done unasked.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

enum class Transfer : std::uint8_t {
  kEncode,      // the source holds plain floats
  kDequantize,  // the artefact holds plain floats
  kCopy,        // the same blocks
  kMove,        // the same codes as blocks (formats/code_moves.h)
  kRequantize,  // new codes for the decoded values
};
// "dequantized", "copied", "moved", "requantized"; empty for kEncode.
std::string_view transfer_name(Transfer transfer);

// Is the parameter stored as codes, by a dialect or in blocks? Codes of edited parameters are
// neither copied nor moved.
bool is_quantized(const Checkpoint& source, const Parameter& parameter);
// How `parameter` is stored in `source`: "q4_k", "int4_g128_sym", "bf16".
std::string stored_encoding(const Checkpoint& source, const Parameter& parameter);
Transfer transfer_to(const Checkpoint& source, const Parameter& parameter,
                     const ElementType& target);
// Do codes or blocks that are carried over stand under a factor that blocks have no room for: a
// scale of the tensor, or the ".scale" beside it? And which, as loaded.
bool keeps_factor(const Checkpoint& source, const Parameter& parameter, Transfer transfer);
float kept_factor(const Weight& weight);
// The largest magnitude of a matrix.
float largest_value(const Weight& weight, ThreadPool& pool);
// Do new blocks of `target` get a factor of their own (BlockFormat::takes_factor)? Matrices of the
// layers: readers know of no others. And which.
bool gets_factor(const Parameter& parameter, Transfer transfer, const ElementType& target);
float new_factor(const Weight& weight, const BlockFormat& target, ThreadPool& pool);
// The type that takes the parameter as it is: its blocks, blocks for its codes, its plain float;
// nullopt where GGUF has none or codes were edited.
std::optional<ElementType> type_as_stored(const Checkpoint& source, const Parameter& parameter);

struct PlannedTransfer {
  const Parameter* parameter;
  std::string target;
  Transfer transfer;
  std::string obstacle = {};  // why codes of a folder cannot be kept; empty: the target says it
};
// kUnsupported where matrices would be quantized a second time; `what` begins the error.
// `converts`: the command has no --allow-requantize.
Result<void> refuse_requantizing(const Checkpoint& source, const std::string& what, bool converts,
                                 std::span<const PlannedTransfer> transfers);

}  // namespace quantlane
