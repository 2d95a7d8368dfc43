// The table of dialects: one row each.
#include <array>

#include "containers/dialects/awq.h"
#include "containers/dialects/bitsandbytes.h"
#include "containers/dialects/compressed_tensors.h"
#include "containers/dialects/dialect.h"
#include "containers/dialects/fp8_native.h"
#include "containers/dialects/gpt_oss_mxfp4.h"
#include "containers/dialects/gptq.h"
#include "containers/dialects/modelopt.h"
#include "containers/dialects/quark.h"

namespace quantlane {
namespace {
constinit const std::array kDialects = {&kCompressedTensors, &kGptq,     &kGptqV2,       &kAwq,
                                        &kFp8Native,         &kModelOpt, &kBitsAndBytes, &kQuark,
                                        &kGptOssMxfp4};
}  // namespace

std::span<const Dialect* const> dialects() { return kDialects; }

const Dialect* dialect_by_name(std::string_view name) {
  for (const Dialect* dialect : kDialects) {
    if (dialect->name == name) return dialect;
  }
  return nullptr;
}

}  // namespace quantlane
