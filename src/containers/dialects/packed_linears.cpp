#include "containers/dialects/packed_linears.h"

#include <array>

#include "containers/dialects/gpt_oss_mxfp4.h"

namespace quantlane {
namespace {

struct PackingDialect {
  const Dialect* dialect;
  std::optional<std::vector<PackedLinear>> (*linears)(const TensorInfo& tensor);
};
constexpr std::array kRows = {PackingDialect{&kGptOssMxfp4, gpt_oss_linears}};

}  // namespace

std::optional<std::vector<PackedLinear>> packed_linears(const Dialect* dialect,
                                                        const TensorInfo& tensor) {
  for (const PackingDialect& row : kRows) {
    if (row.dialect == dialect) return row.linears(tensor);
  }
  return std::nullopt;
}

}  // namespace quantlane
