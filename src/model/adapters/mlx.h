// MLX (mlx_lm): a folder with adapter_config.json and adapters.safetensors.
#pragma once
#include "model/adapters/adapter.h"

namespace quantlane {
extern const AdapterFormat kMlx;
}  // namespace quantlane
