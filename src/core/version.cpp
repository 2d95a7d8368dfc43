#include "quantlane/version.h"

namespace quantlane {
std::string_view version() { return QUANTLANE_VERSION; }
}  // namespace quantlane
