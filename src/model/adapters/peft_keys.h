// The keys of PEFT's adapter_config.json and the types of their values; for src/model/adapters
// only.
#pragma once
#include <string>
#include <vector>

#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// kCorrupt with the first key whose value has another type than PEFT gives it: such a value would
// otherwise be read as the default.
Result<void> check_peft_types(const Json& config, const std::string& origin);
// Keys that are not known, in their order.
std::vector<std::string> unknown_peft_keys(const Json& config);

// A value of the configuration that is not what it can be.
Error bad_peft_value(const std::string& origin, const std::string& key, std::string expected,
                     std::string found);

}  // namespace quantlane
