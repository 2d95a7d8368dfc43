// Tokens that PEFT trained by themselves (trainable_token_indices); for src/model/adapters only.
#pragma once
#include "model/adapters/adapter.h"
#include "model/adapters/adapter_parts.h"
#include "model/adapters/peft_config.h"

namespace quantlane {

// Puts the rows of config.tokens into adapter.rows. kCorrupt where their tensors are missing or of
// other shapes than the configuration says, kInvalidArgument for tokens and modules that the base
// does not have, kUnsupported where the same matrix has a low-rank product.
Result<void> read_peft_tokens(const PeftConfig& config, AdapterTensors& tensors,
                              const AdapterBase& base, Adapter& adapter);

}  // namespace quantlane
