// The keys of PEFT's adapter_config.json and the types of their values; for src/model/adapters
// only.
#pragma once
#include <string>
#include <vector>

#include "core/json.h"
#include "quantlane/result.h"

namespace quantlane {

// The keys that are not known, in their order. kCorrupt with the first key whose value has another
// type than PEFT gives it: such a value would otherwise be read as the default.
Result<std::vector<std::string>> read_peft_keys(const Json& config, const std::string& origin);

// A value of the configuration that is not what it can be.
Error bad_peft_value(const std::string& origin, const std::string& key, std::string expected,
                     std::string found);

}  // namespace quantlane
