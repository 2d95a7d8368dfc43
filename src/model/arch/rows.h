// The rows of architectures(), one file each.
#pragma once
#include "model/graph.h"

namespace quantlane {
extern const Architecture kLlama;
extern const Architecture kMistral;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kGemma3;
extern const Architecture kMixtral;
extern const Architecture kQwen3Moe;
}  // namespace quantlane
