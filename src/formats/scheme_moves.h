// The numbers of a quantized matrix under another scheme: the same codes and scales as another
// dialect stores them.
#pragma once
#include <optional>
#include <string>

#include "formats/quant_tensor.h"
#include "formats/scheme.h"

namespace quantlane {

// Does `target` hold all codes, scales and zero points of `tensor`? Finer scales repeat coarser
// ones; symmetric integers have zero points in the middle where the target is asymmetric, and the
// reverse where all lie there. Only the factor of a tensor may be rounded, to float32, where one
// dialect divides by it and the other multiplies. Not: codes in another width, columns in the order
// of their activations, nested scales.
bool holds_numbers(const Scheme& target, const QuantTensor& tensor);
// Why it does not; nullopt where it does.
std::optional<std::string> obstacle_to_move(const Scheme& target, const QuantTensor& tensor);
// Are all scales of `tensor` values of `dtype`?
bool holds_scales(DType dtype, const QuantTensor& tensor);
// `tensor` under `target`, which must hold its numbers.
QuantTensor moved_to(const Scheme& target, const QuantTensor& tensor);
// The rounding of inputs `stored`, with its static scale, as `target` says and stores it: nullopt
// where the two round otherwise. A divisor becomes a factor, and the reverse.
std::optional<ActivationScheme> input_moved_to(const ActivationScheme& target,
                                               const ActivationScheme& stored);

}  // namespace quantlane
