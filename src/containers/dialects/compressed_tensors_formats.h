// The "format" of a compressed-tensors configuration: which tensors a quantized Linear has. Engines
// choose their loader by it, not by the tensors that are there.
#pragma once
#include <string_view>

#include "containers/container.h"
#include "core/json_members.h"
#include "formats/scheme.h"
#include "quantlane/result.h"

namespace quantlane::compressed_tensors {

// "mixed-precision": each group says its own.
constexpr std::string_view kMixed = "mixed-precision";
constexpr std::string_view kDense = "dense";  // no quantized Linears

// The format of the whole configuration, "" when it says none.
Result<std::string_view> read_format(const JsonMembers& config);
// That of a group; without a key it is `common`, which must then be one of tensors.
Result<std::string_view> read_group_format(const JsonMembers& group, std::string_view common);
// Is `name` a format of the numbers that `weight` has? The error is about the key of `group`, or
// of `config` where that has none.
Result<void> check_format(const JsonMembers& config, const JsonMembers& group,
                          std::string_view name, const Scheme& weight);

// The module whose codes `tensor` holds ("….q_proj" of "….q_proj.weight_packed"); "" for scales,
// plain weights and everything else.
std::string_view module_with_codes(const TensorInfo& tensor);
// Does an engine that was told `format` look for these codes? An unknown format ("") holds any.
bool format_holds(std::string_view format, const TensorInfo& tensor);
// The format that has such codes of such a scheme; "" where none has.
std::string_view format_named_for(const TensorInfo& tensor, const Scheme& weight);

}  // namespace quantlane::compressed_tensors
