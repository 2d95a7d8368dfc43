#include "eval/text_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "containers/container.h"
#include "core/check.h"
#include "core/stats.h"

namespace quantlane {
namespace {

template <class T>
void extend(std::vector<T>& own, const std::vector<T>& added) {
  own.insert(own.end(), added.begin(), added.end());
}

template <class T>
void drop(std::vector<T>& values, std::int64_t count) {
  const auto size = static_cast<std::int64_t>(values.size());
  values.erase(values.begin(), values.begin() + std::clamp<std::int64_t>(count, 0, size));
}

template <class T>
void keep(std::vector<T>& values, std::int64_t count) {
  const auto size = static_cast<std::int64_t>(values.size());
  values.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, size)));
}

std::vector<double> widen(const auto& values) { return {values.begin(), values.end()}; }

double mean(const auto& values) {
  double sum = 0;
  for (const auto value : values) sum += static_cast<double>(value);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// Ends at what the quantity can be; the one-sided bounds, which decide, stay as they are.
Interval within(Interval interval, double least, double most) {
  interval.low = std::max(least, interval.low);
  interval.high = std::min(most, interval.high);
  return interval;
}

Divergence diverge(const TokenScores& scores) {
  Divergence result;
  const std::size_t count = scores.nll.size();
  std::vector<double> log_ratio(count);
  std::vector<double> delta_squared(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto own = static_cast<double>(scores.nll[i]);
    const auto reference = static_cast<double>(scores.reference_nll[i]);
    log_ratio[i] = own - reference;
    const double delta = std::exp(-own) - std::exp(-reference);
    delta_squared[i] = delta * delta;
  }
  const std::vector<double> kld = widen(scores.kld);
  result.ppl_ratio =
      mapped(clustered_mean(log_ratio, scores.chunk), [](double v) { return std::exp(v); });
  result.kld_mean =
      within(clustered_mean(kld, scores.chunk), 0, std::numeric_limits<double>::infinity());
  result.kld_p99 = quantile(kld, 0.99);
  result.kld_max = *std::ranges::max_element(kld);
  result.top1_agreement = within(clustered_mean(widen(scores.same_top), scores.chunk), 0, 1);
  result.flips = std::ranges::count(scores.same_top, std::uint8_t{0});
  result.rms_delta_p = mapped(clustered_mean(delta_squared, scores.chunk),
                              [](double v) { return std::sqrt(std::max(0.0, v)); });
  return result;
}

template <class T>
bool read_into(const Container& container, const char* name, DType dtype, std::vector<T>& values) {
  const TensorInfo* tensor = container.find(name);
  if (tensor == nullptr || tensor->type != ElementType{.plain = dtype}) return false;
  values.resize(static_cast<std::size_t>(tensor->element_count()));
  std::ranges::copy(container.bytes(*tensor), std::as_writable_bytes(std::span(values)).begin());
  return true;
}

}  // namespace

void TokenScores::append(const TokenScores& other) {
  extend(nll, other.nll);
  extend(chunk, other.chunk);
  extend(reference_nll, other.reference_nll);
  extend(kld, other.kld);
  extend(same_top, other.same_top);
}

void TokenScores::drop_first(std::int64_t count) {
  drop(nll, count);
  drop(chunk, count);
  drop(reference_nll, count);
  drop(kld, count);
  drop(same_top, count);
}

void TokenScores::keep_first(std::int64_t count) {
  keep(nll, count);
  keep(chunk, count);
  keep(reference_nll, count);
  keep(kld, count);
  keep(same_top, count);
}

Result<void> TokenScores::save(const std::filesystem::path& path, const std::string& key) const {
  const auto size = [](const auto& values) {
    return std::vector<std::int64_t>{static_cast<std::int64_t>(values.size())};
  };
  const std::vector<PlannedTensor> plan = {
      {.name = "nll", .type = {.plain = DType::kF32}, .shape = size(nll)},
      {.name = "chunk", .type = {.plain = DType::kI32}, .shape = size(chunk)},
      {.name = "reference_nll", .type = {.plain = DType::kF32}, .shape = size(reference_nll)},
      {.name = "kld", .type = {.plain = DType::kF32}, .shape = size(kld)},
      {.name = "same_top", .type = {.plain = DType::kU8}, .shape = size(same_top)}};
  Metadata metadata;
  metadata.set("key", key);
  QUANTLANE_TRY(const auto writer, create_safetensors(path, plan, metadata));
  QUANTLANE_TRY_VOID(writer->write(0, std::as_bytes(std::span(nll))));
  QUANTLANE_TRY_VOID(writer->write(1, std::as_bytes(std::span(chunk))));
  QUANTLANE_TRY_VOID(writer->write(2, std::as_bytes(std::span(reference_nll))));
  QUANTLANE_TRY_VOID(writer->write(3, std::as_bytes(std::span(kld))));
  QUANTLANE_TRY_VOID(writer->write(4, std::as_bytes(std::span(same_top))));
  return writer->commit();
}

TokenScores TokenScores::load(const std::filesystem::path& path, const std::string& key) {
  const auto container = open_container(path);
  if (!container) return {};
  const std::string* stored = (*container)->metadata().string("key");
  TokenScores scores;
  if (stored == nullptr || *stored != key ||
      !read_into(**container, "nll", DType::kF32, scores.nll) ||
      !read_into(**container, "chunk", DType::kI32, scores.chunk) ||
      !read_into(**container, "reference_nll", DType::kF32, scores.reference_nll) ||
      !read_into(**container, "kld", DType::kF32, scores.kld) ||
      !read_into(**container, "same_top", DType::kU8, scores.same_top) ||
      scores.chunk.size() != scores.nll.size() ||
      (!scores.kld.empty() && scores.kld.size() != scores.nll.size()) ||
      scores.reference_nll.size() != scores.kld.size() ||
      scores.same_top.size() != scores.kld.size()) {
    return {};
  }
  return scores;
}

EvalResult summarize(const TokenScores& scores) {
  EvalResult result;
  result.tokens_scored = scores.count();
  result.nll = mean(scores.nll);
  result.ppl = std::exp(result.nll);
  if (scores.paired()) result.divergence = diverge(scores);
  return result;
}

EngineQuality summarize_engine(const TokenScores& scores) {
  QUANTLANE_CHECK(scores.paired());
  const EvalResult result = summarize(scores);
  return {.ppl = result.ppl, .divergence = *result.divergence};
}

}  // namespace quantlane
