// llama.cpp: a GGUF file with general.type "adapter" (convert_lora_to_gguf.py).
#pragma once
#include "model/adapters/adapter.h"

namespace quantlane {
extern const AdapterFormat kGgufLora;
}  // namespace quantlane
