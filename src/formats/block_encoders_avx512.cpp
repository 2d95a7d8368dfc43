#include "formats/search/encoder_table.h"

namespace quantlane {

constinit const BlockEncoders kBlockEncodersAvx512 = kCompiledEncoders;

}  // namespace quantlane
