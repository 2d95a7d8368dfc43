#include "runtime/first_overflow.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "model/damaged_weight.h"

namespace quantlane {
namespace {

class FirstOverflow final : public LinearObserver {
 public:
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    if (linear_ != nullptr) return;
    const bool finite =
        std::all_of(x, x + tokens * linear.cols, [](float value) { return std::isfinite(value); });
    if (!finite) linear_ = &linear;
  }
  [[nodiscard]] const Parameter* linear() const { return linear_; }

 private:
  const Parameter* linear_ = nullptr;
};

}  // namespace

Error blame_activations(Runtime& runtime, std::span<const std::int32_t> tokens, ThreadPool& pool,
                        Error error) {
  FirstOverflow first;
  KvCache cache(runtime.config(), static_cast<std::int64_t>(tokens.size()));
  const Segment segment{.tokens = tokens,
                        .cache = &cache,
                        .logits_from = static_cast<std::int64_t>(tokens.size()) - 1};
  std::vector<float> logits;
  const auto passed = runtime.forward(std::span(&segment, 1), pool, logits, &first);
  if (!passed || first.linear() == nullptr)
    return blame_damaged_weight(runtime.checkpoint(), std::move(error));
  return blame_inputs_of(runtime.checkpoint(), *first.linear(), std::move(error));
}

}  // namespace quantlane
