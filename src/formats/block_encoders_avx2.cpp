#include "formats/search/encoder_table.h"

namespace quantlane {

constinit const BlockEncoders kBlockEncodersAvx2 = kCompiledEncoders;

}  // namespace quantlane
