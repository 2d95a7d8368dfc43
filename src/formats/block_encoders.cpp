#include "formats/block_encoders.h"

#include "core/cpu.h"

namespace quantlane {

const BlockEncoders& block_encoders() {
  static const BlockEncoders& chosen = active_isa() >= Isa::kAvx512 ? kBlockEncodersAvx512
                                       : active_isa() >= Isa::kAvx2 ? kBlockEncodersAvx2
                                                                    : kBlockEncodersRef;
  return chosen;
}

}  // namespace quantlane
