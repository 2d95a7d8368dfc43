// The keys of report.json: every struct of compare.h with the names of its fields, written once and
// used by the writer and the reader, so that neither can forget one. Keys and units are documented
// in docs/report-schema.md.
#pragma once
#include <concepts>
#include <string_view>
#include <type_traits>

#include "quantlane/compare.h"

namespace quantlane {

inline constexpr std::string_view kReportSchema = "quantlane.report/1";

namespace report_fields {

// T or const T: the reader fills, the writer only looks.
template <class Candidate, class T>
concept Like = std::same_as<std::remove_const_t<Candidate>, T>;

// A visitor is called as v(key, field) for each field, v.added(key, field) for one that older files
// of the same version do not have, and v.group(key, f) where several fields of
// one struct share an object in the file; f gets the visitor of that object.
template <class V>
void fields(V& v, Like<Interval> auto& x) {
  v("value", x.value);
  v("low", x.low);
  v("high", x.high);
  v.added("one_sided_low", x.one_sided_low);
  v.added("one_sided_high", x.one_sided_high);
}

template <class V>
void fields(V& v, Like<Divergence> auto& x) {
  v("ppl_ratio", x.ppl_ratio);
  v("kld_mean", x.kld_mean);
  v("kld_p99", x.kld_p99);
  v("kld_max", x.kld_max);
  v("top1_agreement", x.top1_agreement);
  v("flips", x.flips);
  v("rms_delta_p", x.rms_delta_p);
}

// Without the name, which is the key of the object in "tasks".
template <class V>
void fields(V& v, Like<TaskScore> auto& x) {
  v("n", x.n);
  v("reference", x.reference);
  v("lane", x.lane);
  v("lost", x.lost);
  v("gained", x.gained);
}

template <class V>
void fields(V& v, Like<EngineQuality> auto& x) {
  v("ppl", x.ppl);
  fields(v, x.divergence);
}

template <class V>
void fields(V& v, Like<Quality> auto& x) {
  v("ppl", x.ppl);
  fields(v, x.divergence);
  v("engine", x.engine);
  v("tasks", x.tasks);
}

template <class V>
void fields(V& v, Like<Speed> auto& x) {
  v("prefill_tok_s", x.prefill_tok_s);
  v("decode_tok_s", x.decode_tok_s);
  v("spread", x.spread);
}

template <class V>
void fields(V& v, Like<Projection> auto& x) {
  v("fits", x.fits);
  v("native", x.native);
  v("prefill_tok_s", x.prefill_tok_s);
  v("decode_tok_s", x.decode_tok_s);
  v("memory_bytes", x.memory_bytes);
  v("bound", x.bound);
}

template <class V>
void fields(V& v, Like<AxisVerdict> auto& x) {
  v("axis", x.axis);
  v("verdict", x.verdict);
  v("estimate", x.estimate);
  v("margin", x.margin);
  v("unit", x.unit);
  v("more_samples", x.more_samples);
  v("gates", x.gates);
}

template <class V>
void fields(V& v, Like<LayerError> auto& x) {
  v("layer", x.layer);
  v("role", x.role);
  v("format", x.format);
  v("relative_rmse", x.relative_rmse);
}

template <class V>
void fields(V& v, Like<LaneReport> auto& x) {
  v("name", x.name);
  v("format", x.format);
  v("algorithm", x.algorithm);
  v("dialect", x.dialect);
  v("engines", x.engines);
  v("artifact", x.artifact);
  v("size_bytes", x.size_bytes);
  v("bits_per_weight", x.bits_per_weight);
  v("quantize_seconds", x.quantize_seconds);
  v("quality", x.quality);
  v("speed", x.speed);
  v("peak_rss_bytes", x.peak_rss_bytes);
  v("verdict", x.verdict);
  v("axes", x.axes);
  v("projection", x.projection);
  v("notices", x.notices);
  v("reused", x.reused);
  v("layer_errors", x.layer_errors);
}

template <class V>
void fields(V& v, Like<ReferenceReport> auto& x) {
  v("path", x.path);
  v("architecture", x.architecture);
  v("params", x.parameters);
  v("size_bytes", x.size_bytes);
  v("bits_per_weight", x.bits_per_weight);
  v("ppl", x.ppl);
  v("speed", x.speed);
  v("peak_rss_bytes", x.peak_rss_bytes);
  v("tasks", x.tasks);
  v("projection", x.projection);
}

template <class V>
void fields(V& v, Like<KvReport> auto& x) {
  v("name", x.name);
  v("what", x.what);
  v("bits", x.bits);
  v("ppl", x.ppl);
  fields(v, x.divergence);
  v("gate", x.axis);
}

template <class V>
void fields(V& v, Like<Reason> auto& x) {
  v("code", x.code);
  v("text", x.text);
}

template <class V>
void fields(V& v, Like<Pick> auto& x) {
  v("lane", x.lane);
  v("target", x.target);
  v("reasons", x.reasons);
  v("flips_if", x.flips_if);
}

template <class V>
void fields(V& v, Like<MachineReport> auto& x) {
  v("cpu", x.cpu);
  v("cores", x.cores);
  v("threads", x.threads);
  v("isa", x.isa);
  v("memory_bytes", x.memory_bytes);
}

template <class V>
void fields(V& v, Like<ActivationShift> auto& x) {
  v("layer", x.layer);
  v("role", x.role);
  v("base", x.base);
  v("adapted", x.adapted);
  v("ratio", x.ratio);
}

template <class V>
void fields(V& v, Like<AdapterReport> auto& x) {
  v("path", x.path);
  v("format", x.format);
  v("tensors", x.tensors);
  v("params", x.parameters);
  v("shifts", x.shifts);
}

// Everything after "schema".
template <class V>
void fields(V& v, Like<CompareReport> auto& x) {
  v("tool_version", x.tool_version);
  v("created", x.created);
  v("command", x.command);
  v("machine", x.machine);
  v("reference", x.reference);
  v("noise_floor", x.noise_floor);
  v.group("evaluation", [&x](auto& group) {
    group("text", x.text);
    group("chunk", x.chunk);
    group("tokens_scored", x.tokens_scored);
  });
  v.group("calibration", [&x](auto& group) {
    group("text", x.calibration);
    group("tokens", x.calibration_tokens);
  });
  v("adapter", x.adapter);
  v("lanes", x.lanes);
  v.added("kv_caches", x.kv);
  v("margins", x.margins);
  v("pick", x.pick);
}

}  // namespace report_fields
}  // namespace quantlane
