// Any bytes as PEFT's adapter_config.json: an error that names the key, or ranks and scales that
// are finite.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "core/json.h"
#include "model/adapters/peft_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = quantlane::Json::parse(text, "input");
  if (!json) return 0;
  const auto config = quantlane::PeftConfig::parse(*json, "input");
  if (!config) {
    QUANTLANE_CHECK(config.error().file == "input" && !config.error().tensor.empty());
    return 0;
  }
  for (const char* module : {"model.layers.0.self_attn.q_proj", "lm_head", ""}) {
    if (const auto settings = config->settings_of(module)) {
      QUANTLANE_CHECK(settings->rank >= 1);
      QUANTLANE_CHECK(std::isfinite(settings->scale) && settings->scale != 0);
    } else {
      QUANTLANE_CHECK(settings.error().file == "input" && !settings.error().tensor.empty());
    }
    static_cast<void>(config->targets_module(module, 0, true, false));
  }
  return 0;
}
