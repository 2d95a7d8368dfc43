// What the files of GPTQ share.
#pragma once
#include "containers/dialects/dialect.h"

namespace quantlane::gptq {

// What is added to a stored zero point.
constexpr int kZeroOffsetV1 = 1;
constexpr int kZeroOffsetV2 = 0;

extern const DialectWriter kWriterV1;
extern const DialectWriter kWriterV2;

}  // namespace quantlane::gptq
