// Reports for tests. parts() lists every field of every struct by structured binding, which stops
// compiling when a field is added: then the test below it cannot silently miss the new field.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "quantlane/compare.h"

namespace quantlane::report_test {

template <class S, class T>
concept Is = std::same_as<std::remove_const_t<S>, T>;

auto parts(Is<Interval> auto& x) {
  auto& [a, b, c, d, e] = x;
  return std::tie(a, b, c, d, e);
}
auto parts(Is<Divergence> auto& x) {
  auto& [a, b, c, d, e, f, g] = x;
  return std::tie(a, b, c, d, e, f, g);
}
auto parts(Is<TaskScore> auto& x) {
  auto& [a, b, c, d, e, f] = x;
  return std::tie(a, b, c, d, e, f);
}
auto parts(Is<AxisVerdict> auto& x) {
  auto& [a, b, c, d, e, f, g] = x;
  return std::tie(a, b, c, d, e, f, g);
}
auto parts(Is<EngineQuality> auto& x) {
  auto& [a, b] = x;
  return std::tie(a, b);
}
auto parts(Is<Quality> auto& x) {
  auto& [a, b, c, d] = x;
  return std::tie(a, b, c, d);
}
auto parts(Is<Speed> auto& x) {
  auto& [a, b, c] = x;
  return std::tie(a, b, c);
}
auto parts(Is<Projection> auto& x) {
  auto& [a, b, c, d, e, f] = x;
  return std::tie(a, b, c, d, e, f);
}
auto parts(Is<LayerError> auto& x) {
  auto& [a, b, c, d] = x;
  return std::tie(a, b, c, d);
}
auto parts(Is<LaneReport> auto& x) {
  auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r] = x;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r);
}
auto parts(Is<ReferenceReport> auto& x) {
  auto& [a, b, c, d, e, f, g, h, i, j] = x;
  return std::tie(a, b, c, d, e, f, g, h, i, j);
}
auto parts(Is<Reason> auto& x) {
  auto& [a, b] = x;
  return std::tie(a, b);
}
auto parts(Is<Pick> auto& x) {
  auto& [a, b, c, d] = x;
  return std::tie(a, b, c, d);
}
auto parts(Is<MachineReport> auto& x) {
  auto& [a, b, c, d, e] = x;
  return std::tie(a, b, c, d, e);
}
auto parts(Is<ActivationShift> auto& x) {
  auto& [a, b, c, d, e] = x;
  return std::tie(a, b, c, d, e);
}
auto parts(Is<AdapterReport> auto& x) {
  auto& [a, b, c, d, e] = x;
  return std::tie(a, b, c, d, e);
}
auto parts(Is<KvReport> auto& x) {
  auto& [a, b, c, d, e, f] = x;
  return std::tie(a, b, c, d, e, f);
}
auto parts(Is<CompareReport> auto& x) {
  auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = x;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p);
}
auto parts(Is<EvalResult> auto& x) {
  auto& [a, b, c, d, e, f] = x;
  return std::tie(a, b, c, d, e, f);
}

// Gives every field, at every depth, a value that no other field has (booleans and verdicts as far
// as they go); lists get two elements, optionals a value.
class Fill {
 public:
  void operator()(double& x) { x = next() + 0.1; }
  void operator()(bool& x) { x = next() % 2 == 0; }
  void operator()(Verdict& x) { x = static_cast<Verdict>(next() % 3); }
  void operator()(std::string& x) { x = "text \"" + std::to_string(next()) + "\"\n</script>"; }
  void operator()(std::filesystem::path& x) { x = "/a folder/" + std::to_string(next()); }
  template <std::integral T>
  void operator()(T& x) {
    x = static_cast<T>(next());
  }
  template <class T>
  void operator()(std::vector<T>& x) {
    x.resize(2);
    for (T& item : x) (*this)(item);
  }
  template <class T>
  void operator()(std::optional<T>& x) {
    (*this)(x.emplace());
  }
  void operator()(std::map<std::string, double>& x) {
    for (int i = 0; i < 2; ++i) (*this)(x["gate" + std::to_string(next())]);
  }
  template <class S>
    requires requires(S& s) { parts(s); }
  void operator()(S& x) {
    std::apply([this](auto&... field) { ((*this)(field), ...); }, parts(x));
  }

 private:
  int next() { return ++counter_; }
  int counter_ = 1000;
};

template <class T>
bool same(const std::optional<T>& a, const std::optional<T>& b);
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b);
// Equal field by field.
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (requires { parts(a); }) {
    return std::apply(
        [&b](const auto&... left) {
          return std::apply([&left...](const auto&... right) { return (same(left, right) && ...); },
                            parts(b));
        },
        parts(a));
  } else {
    return a == b;
  }
}
template <class T>
bool same(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || same(*a, *b));
}
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}

inline CompareReport distinct_report() {
  CompareReport report;
  Fill{}(report);
  return report;
}

// The report of tests/data.
inline CompareReport sample() {
  auto report = read_report(QUANTLANE_SOURCE_DIR "/tests/data/report/sample.json");
  EXPECT_TRUE(report) << report.error().message();
  return report ? *report : CompareReport{};
}

}  // namespace quantlane::report_test
