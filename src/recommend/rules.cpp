#include "recommend/rules.h"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include "recommend/memory_model.h"
#include "recommend/throughput_model.h"

namespace quantlane {
namespace {

constexpr double kFourBit = 5.2;  // bits per weight below which a lane counts as 4-bit
constexpr std::int64_t kLongContext = 16384;
constexpr std::int64_t kManyRequests = 32;

using S = Situation;
using L = LaneFacts;

bool is(const L& lane, ComputePath path) { return lane.path == path; }
bool is_four_bit(const L& lane) { return lane.weight_bits < kFourBit; }
bool is_w4a16(const L& lane) { return is(lane, ComputePath::kWeightOnly) && is_four_bit(lane); }
bool is_gpu(const S& s) { return s.device.kind == DeviceKind::kGpu; }
bool is_native(const S& s, const L& lane) {
  return s.device.support(lane.path) == Support::kNative;
}
bool has_shape(const S& s, std::initializer_list<Shape> shapes) {
  return std::find(shapes.begin(), shapes.end(), s.workload.shape) != shapes.end();
}
bool is_long(const S& s) { return s.workload.context() > kLongContext; }
bool is_prefill_heavy(const S& s) {
  return s.workload.prompt_tokens >= 8 * s.workload.output_tokens;
}
bool wants_compute(const S& s) {
  return s.workload.concurrency >= kManyRequests || is_prefill_heavy(s);
}
// CUDA devices before FP8 tensor cores: Turing, Ampere.
bool is_before_fp8(const S& s) { return s.device.capability > 0 && s.device.capability < 89; }
bool is_ada(const S& s) { return s.device.capability == 89; }
bool is_hopper(const S& s) { return s.device.capability == 90; }
bool is_blackwell_server(const S& s) {
  return s.device.capability >= 100 && s.device.capability < 110;
}
bool is_blackwell_client(const S& s) { return s.device.capability >= 120; }
MemoryNeed need(const S& s, const L& lane) {
  return memory_need(s.model, lane, s.device, s.workload);
}
bool is_slower_than_reference(const S& s, const L& lane) {
  return need(s, s.reference).fits() &&
         workload_seconds(s.model, lane, s.device, s.workload) >
             workload_seconds(s.model, s.reference, s.device, s.workload);
}

constexpr bool kPrior = true;
constexpr bool kAlways = false;

constexpr std::array kRules = {
    Rule{"F1", Effect::kExclude, kAlways, "NO_KERNEL", "the device has no kernel for it",
         [](const S& s, const L& l) { return s.device.support(l.path) == Support::kNone; }},
    Rule{"F2", Effect::kExclude, kAlways, "WILL_NOT_LOAD",
         "the engine does not load it on this device, or computes something else",
         [](const S&, const L& l) { return !l.loads; }},
    Rule{"F3", Effect::kExclude, kAlways, "NO_SERVING_ENGINE",
         "no serving engine is known to load it (transformers alone): none was asked",
         [](const S& s, const L& l) { return s.device.kind != DeviceKind::kCpu && !l.served; }},
    Rule{"E25", Effect::kExclude, kAlways, "DOES_NOT_FIT",
         "weights, key-value cache and workspace exceed the memory",
         [](const S& s, const L& l) { return !need(s, l).fits(); }},
    Rule{"E25", Effect::kNote, kAlways, "TIGHT_FIT", "fits with less than 5 % of the memory left",
         [](const S& s, const L& l) { return need(s, l).is_tight(); }},
    Rule{"E5", Effect::kExclude, kAlways, "INT8_SLOW_HW",
         "the INT8 rate of this device is far below its 16-bit rate",
         [](const S& s, const L& l) {
           return is(l, ComputePath::kInt8) && s.device.peaks.int8 &&
                  *s.device.peaks.int8 < s.device.peaks.bf16.value_or(0) / 2;
         }},
    Rule{"S7", Effect::kExclude, kAlways, "IMATRIX_REQUIRED",
         "below 4 bits per weight a GGUF needs an importance matrix",
         [](const S&, const L& l) {
           return is(l, ComputePath::kGguf) && l.weight_bits < 4 && !l.calibrated;
         }},
    Rule{"S1", Effect::kPrefer, kPrior, "TAIL_SENSITIVE",
         "code, mathematics and long contexts punish rare large errors, which FP8 avoids",
         [](const S& s, const L& l) {
           return (is_hopper(s) || is_blackwell_server(s)) && is(l, ComputePath::kFp8) &&
                  (has_shape(s, {Shape::kCode, Shape::kMath}) || is_long(s));
         }},
    Rule{"S1", Effect::kNote, kAlways, "NATIVE_FP8", "the device multiplies FP8 natively",
         [](const S& s, const L& l) { return is(l, ComputePath::kFp8) && is_native(s, l); }},
    Rule{"S2", Effect::kPrefer, kPrior, "BANDWIDTH_BOUND",
         "few chat requests are bound by reading weights, and this lane reads the fewest bytes",
         [](const S& s, const L& l) {
           return is_before_fp8(s) && is_w4a16(l) && has_shape(s, {Shape::kChat}) &&
                  !wants_compute(s);
         }},
    Rule{"S2", Effect::kNote, kAlways, "NO_FP8", "the device has no FP8 arithmetic",
         [](const S& s, const L& l) { return is_before_fp8(s) && is_w4a16(l); }},
    Rule{"S4", Effect::kPrefer, kPrior, "ONLY_KERNELS",
         "GGUF has the fast kernels on processors and unified memory",
         [](const S& s, const L& l) {
           return !is_gpu(s) && is(l, ComputePath::kGguf) && l.weight_bits >= 4 && is_four_bit(l) &&
                  l.calibrated;
         }},
    Rule{"S5", Effect::kPrefer, kPrior, "SAFE_DEFAULT",
         "8-bit arithmetic first where nothing is known about the workload; measure, then try 4 "
         "bits",
         [](const S& s, const L& l) {
           return is_gpu(s) && has_shape(s, {Shape::kUnknown}) && is_native(s, l) &&
                  is(l, s.device.has_fp8() ? ComputePath::kFp8 : ComputePath::kInt8);
         }},
    Rule{"S6", Effect::kDefer, kAlways, "LONG_CTX_RISK",
         "4-bit weights can fail beyond 16k tokens; no retrieval test at that length has passed",
         [](const S& s, const L& l) {
           return is_long(s) && is_four_bit(l) && !l.long_context_checked;
         }},
    Rule{"E15", Effect::kNote, kAlways, "LONG_CTX_CHECKED",
         "a retrieval test at the length of the workload has passed",
         [](const S& s, const L& l) {
           return is_long(s) && is_four_bit(l) && l.long_context_checked;
         }},
    Rule{"S8", Effect::kDefer, kAlways, "WRONG_ENGINE",
         "engines for GGUF batch poorly on a server GPU with more than four requests",
         [](const S& s, const L& l) {
           return is_gpu(s) && is(l, ComputePath::kGguf) && s.workload.concurrency > 4;
         }},
    Rule{"S10", Effect::kNote, kAlways, "FP4_NATIVE",
         "the device multiplies FP4 natively: a candidate for chat beside FP8",
         [](const S& s, const L& l) {
           return is_blackwell_server(s) && is(l, ComputePath::kFp4) &&
                  has_shape(s, {Shape::kChat, Shape::kUnknown});
         }},
    Rule{"E1", Effect::kNote, kAlways, "CONCURRENCY_DECIDES",
         "FP8 and INT4 are both candidates on Ada; the number of requests in flight decides",
         [](const S& s, const L& l) {
           return is_ada(s) && (is(l, ComputePath::kFp8) || is_w4a16(l));
         }},
    Rule{"E2", Effect::kPrefer, kPrior, "INT8_COMPUTE",
         "many requests or long prompts are bound by arithmetic, where INT8 is twice as fast",
         [](const S& s, const L& l) {
           return is_before_fp8(s) && is(l, ComputePath::kInt8) && is_native(s, l) &&
                  wants_compute(s);
         }},
    Rule{"E3", Effect::kNote, kAlways, "LOW_CONCURRENCY",
         "with at most four requests in flight reading fewer bytes also pays on Hopper",
         [](const S& s, const L& l) {
           return is_hopper(s) && is_w4a16(l) && s.workload.concurrency <= 4;
         }},
    Rule{"E4", Effect::kDefer, kPrior, "SLOWER_THAN_REFERENCE",
         "projected slower than the unquantized checkpoint at this concurrency",
         [](const S& s, const L& l) {
           return l.name != s.reference.name && is_slower_than_reference(s, l);
         }},
    Rule{"E6", Effect::kNote, kAlways, "CHECK_ENGINE_VERSION",
         "FP4 weights run on this Blackwell generation with recent engines; FP4 key-value cache "
         "does "
         "not",
         [](const S& s, const L& l) { return is_blackwell_client(s) && is(l, ComputePath::kFp4); }},
    Rule{"E7", Effect::kNote, kAlways, "FP8_FNUZ",
         "FP8 is e4m3fnuz here: the engine rescales an OCP checkpoint when it loads it",
         [](const S& s, const L& l) {
           return s.device.arch == "gfx942" && is(l, ComputePath::kFp8);
         }},
    Rule{"E7", Effect::kDefer, kPrior, "NO_MARLIN",
         "there are no fused INT4 kernels for this vendor",
         [](const S& s, const L& l) {
           return s.device.vendor == "amd" && is_gpu(s) && is(l, ComputePath::kWeightOnly);
         }},
    Rule{"E8", Effect::kDefer, kPrior, "MEMORY_ONLY",
         "the device has no such arithmetic: it saves memory, not compute",
         [](const S& s, const L& l) {
           return s.device.support(l.path) == Support::kMemoryOnly &&
                  !is(l, ComputePath::kWeightOnly);
         }},
    Rule{"E9", Effect::kDefer, kPrior, "SMALL_MODEL",
         "models below 3 billion parameters lose too much at 4 bits unless measured otherwise",
         [](const S& s, const L& l) { return s.model.parameters < 3e9 && is_four_bit(l); }},
    Rule{"E10", Effect::kDefer, kPrior, "MEASURE_FLIPS",
         "3 to 9 billion parameters at 4 bits need paired tests for code, mathematics and JSON",
         [](const S& s, const L& l) {
           return s.model.parameters >= 3e9 && s.model.parameters < 9e9 && is_four_bit(l) &&
                  has_shape(s, {Shape::kCode, Shape::kMath, Shape::kJson});
         }},
    Rule{"E11", Effect::kNote, kAlways, "LARGE_MODEL",
         "models of 65 billion parameters and more lose little at 4 bits",
         [](const S& s, const L& l) { return s.model.parameters >= 65e9 && is_four_bit(l); }},
    Rule{
        "E14", Effect::kNote, kAlways, "KV_DOMINATES",
        "the key-value cache is larger than the weights: an 8-bit cache saves more than fewer bits "
        "per weight",
        [](const S& s, const L& l) { return need(s, l).kv_dominates(); }},
    Rule{"E16", Effect::kDefer, kPrior, "NON_ENGLISH",
         "4-bit losses differ by language: calibrate and evaluate in that of the workload",
         [](const S& s, const L& l) { return !s.workload.english && is_four_bit(l); }},
    Rule{"E18", Effect::kNote, kAlways, "STRUCTURED_OUTPUT",
         "gate on valid JSON and exact tool arguments, and consider constrained decoding",
         [](const S& s, const L& l) { return has_shape(s, {Shape::kJson}) && is_four_bit(l); }},
    Rule{
        "E22", Effect::kNote, kAlways, "AMX_INT8",
        "matrix units multiply INT8 at twice the 16-bit rate",
        [](const S& s, const L& l) { return s.device.arch == "amx" && is(l, ComputePath::kInt8); }},
    Rule{"E23", Effect::kNote, kAlways, "UNIFIED_MEMORY",
         "a quarter of unified memory is left to the system",
         [](const S& s, const L& l) {
           return s.device.kind == DeviceKind::kUnified && is(l, ComputePath::kGguf);
         }},
};

std::string_view bound_code(std::string_view bound) {
  if (bound == "compute") return "COMPUTE_BOUND";
  if (bound == "launches") return "LAUNCH_BOUND";
  return "BANDWIDTH_BOUND";
}

RankedLane rank_one(const Situation& situation, const LaneFacts& lane) {
  RankedLane ranked;
  ranked.lane = lane.name;
  ranked.projection = project(situation.model, lane, situation.device, situation.workload);
  ranked.seconds = workload_seconds(situation.model, lane, situation.device, situation.workload);
  for (const Rule* rule : rules_for(situation, lane)) {
    ranked.reasons.push_back(reason_of(*rule));
    ranked.excluded = ranked.excluded || rule->effect == Effect::kExclude;
    ranked.standing += rule->effect == Effect::kPrefer;
    ranked.standing -= rule->effect == Effect::kDefer;
  }
  if (ranked.excluded) return ranked;
  ranked.reasons.push_back(
      {.code = std::string(bound_code(ranked.projection.bound)),
       .text = fmt::format("mostly bound by {}: {:.0f} tok/s decode, {:.0f} tok/s prefill",
                           ranked.projection.bound, ranked.projection.decode_tok_s,
                           ranked.projection.prefill_tok_s)});
  return ranked;
}

}  // namespace

std::span<const Rule> rules() { return kRules; }

std::vector<const Rule*> rules_for(const Situation& situation, const LaneFacts& lane) {
  std::vector<const Rule*> found;
  for (const Rule& rule : kRules) {
    if (rule.applies(situation, lane)) found.push_back(&rule);
  }
  return found;
}

Reason reason_of(const Rule& rule) {
  return {.code = std::string(rule.code), .text = std::string(rule.text)};
}

std::vector<RankedLane> rank_lanes(const Situation& situation) {
  std::vector<RankedLane> ranked;
  ranked.reserve(situation.lanes.size());
  for (const LaneFacts& lane : situation.lanes) ranked.push_back(rank_one(situation, lane));
  std::sort(ranked.begin(), ranked.end(), [](const RankedLane& a, const RankedLane& b) {
    return std::tuple(a.excluded, -a.standing, a.seconds, a.projection.memory_bytes, a.lane) <
           std::tuple(b.excluded, -b.standing, b.seconds, b.projection.memory_bytes, b.lane);
  });
  return ranked;
}

}  // namespace quantlane
