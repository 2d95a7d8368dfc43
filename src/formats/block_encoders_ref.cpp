#include "formats/search/encoder_table.h"

namespace quantlane {

constinit const BlockEncoders kBlockEncodersRef = kCompiledEncoders;

}  // namespace quantlane
