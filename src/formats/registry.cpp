// The one table of number formats. A new format is one row here and one file pair.
#include "formats/block_format.h"
#include "formats/blocks/iq1_m.h"
#include "formats/blocks/iq1_s.h"
#include "formats/blocks/iq2_s.h"
#include "formats/blocks/iq2_xs.h"
#include "formats/blocks/iq2_xxs.h"
#include "formats/blocks/iq3_s.h"
#include "formats/blocks/iq3_xxs.h"
#include "formats/blocks/iq4_nl.h"
#include "formats/blocks/iq4_xs.h"
#include "formats/blocks/mxfp4.h"
#include "formats/blocks/nvfp4.h"
#include "formats/blocks/q1_0.h"
#include "formats/blocks/q2_0.h"
#include "formats/blocks/q2_k.h"
#include "formats/blocks/q3_k.h"
#include "formats/blocks/q4_0.h"
#include "formats/blocks/q4_1.h"
#include "formats/blocks/q4_k.h"
#include "formats/blocks/q5_0.h"
#include "formats/blocks/q5_1.h"
#include "formats/blocks/q5_k.h"
#include "formats/blocks/q6_k.h"
#include "formats/blocks/q8_0.h"
#include "formats/blocks/tq1_0.h"
#include "formats/blocks/tq2_0.h"
#include "formats/group_format.h"
#include "formats/groups/fp4.h"
#include "formats/groups/fp8.h"
#include "formats/groups/int_group.h"
#include "formats/groups/nf4.h"

namespace quantlane {
namespace {

constexpr const GroupFormat* kGroupFormats[] = {&kIntGroup, &kFp8E4M3, &kFp4E2M1, &kNf4};

constexpr const BlockFormat* kBlockFormats[] = {
    &kQ4_0,  &kQ4_1,  &kQ5_0,  &kQ5_1,   &kQ8_0,  &kQ2K,  &kQ3K,    &kQ4K,  &kQ5K,
    &kQ6K,   &kIq1S,  &kIq1M,  &kIq2Xxs, &kIq2Xs, &kIq2S, &kIq3Xxs, &kIq3S, &kIq4Nl,
    &kIq4Xs, &kTq1_0, &kTq2_0, &kMxfp4,  &kNvfp4, &kQ1_0, &kQ2_0};

}  // namespace

std::span<const GroupFormat* const> group_formats() { return kGroupFormats; }

const GroupFormat* group_format_for(const Scheme& scheme) {
  for (const GroupFormat* format : kGroupFormats) {
    if (format->holds(scheme)) return format;
  }
  return nullptr;
}

std::span<const BlockFormat* const> block_formats() { return kBlockFormats; }

const BlockFormat* block_format_by_name(std::string_view name) {
  for (const BlockFormat* format : kBlockFormats) {
    if (format->name == name) return format;
  }
  return nullptr;
}

const BlockFormat* block_format_by_ggml_id(int id) {
  for (const BlockFormat* format : kBlockFormats) {
    if (format->ggml_id == id) return format;
  }
  return nullptr;
}

}  // namespace quantlane
