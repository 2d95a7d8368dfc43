// PEFT: a folder with adapter_config.json and adapter_model.safetensors.
#pragma once
#include "model/adapters/adapter.h"

namespace quantlane {
extern const AdapterFormat kPeft;
}  // namespace quantlane
