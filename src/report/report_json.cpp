#include "report/report_json.h"

#include <concepts>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "report/report_fields.h"
#include "report/text_width.h"

namespace quantlane {
namespace {

constexpr std::uint64_t kMaxReportBytes = std::uint64_t{1} << 30;
constexpr Verdict kVerdicts[] = {Verdict::kShip, Verdict::kDoNotShip, Verdict::kInconclusive};

// Collects the fields of one struct as a JSON object.
class Writer {
 public:
  template <class T>
  void operator()(std::string_view key, const T& field) {
    out_.emplace_back(std::string(key), value(field));
  }
  template <class T>
  void added(std::string_view key, const T& field) {
    (*this)(key, field);
  }
  template <class F>
  void group(std::string_view key, F describe) {
    Writer inner;
    describe(inner);
    out_.emplace_back(std::string(key), std::move(inner).take());
  }
  Json take() && { return Json(std::move(out_)); }

  template <class T>
  static Json value(const T& described) {
    Writer writer;
    report_fields::fields(writer, described);
    return std::move(writer).take();
  }

 private:
  static Json value(double number) { return number; }
  static Json value(bool flag) { return flag; }
  static Json value(const std::integral auto& number) { return number; }
  static Json value(const std::string& text) { return valid_utf8(text); }
  static Json value(const std::filesystem::path& path) { return valid_utf8(path.string()); }
  static Json value(Verdict verdict) { return verdict_name(verdict); }
  template <class T>
  static Json value(const std::optional<T>& field) {
    return field ? value(*field) : Json();
  }
  static Json value(const std::map<std::string, double>& map) {
    Json::Object object;
    for (const auto& [key, number] : map) object.emplace_back(valid_utf8(key), number);
    return object;
  }
  static Json value(const std::vector<TaskScore>& tasks) {
    Json object{Json::Object{}};
    for (const TaskScore& task : tasks) object.set(valid_utf8(task.name), value<TaskScore>(task));
    return object;
  }
  template <class T>
  static Json value(const std::vector<T>& list) {
    Json::Array array;
    array.reserve(list.size());
    for (const T& item : list) array.push_back(value(item));
    return array;
  }

  Json::Object out_;
};

std::string kind(const Json& json) {
  if (json.is_null()) return "null";
  if (json.is_bool()) return "a boolean";
  if (json.is_number()) return "the number " + json.dump();
  if (json.is_string()) return "the text " + json.dump();
  return json.is_array() ? "an array" : "an object";
}

// Fills the fields of one struct from a JSON object; keeps the first failure, after which it does
// nothing.
class Reader {
 public:
  Reader(const Json& json, std::string where, std::optional<Error>& error)
      : json_(json), where_(std::move(where)), error_(error) {}

  template <class T>
  void operator()(std::string_view key, T& field) {
    const std::string where = path(key);
    if (error_) return;
    const Json* found = json_.find(key);
    if (found == nullptr) {
      error_ = corrupt("reading a comparison report")
                   .of(where)
                   .expects("this key")
                   .got("no such key")
                   .advise("write the report again with `quantlane compare`");
      return;
    }
    value(*found, where, field);
  }
  template <class T>
  void added(std::string_view key, T& field) {
    if (json_.contains(key)) (*this)(key, field);
  }
  template <class F>
  void group(std::string_view key, F describe) {
    Json inner;
    (*this)(key, inner);
    if (!expect(inner.is_object(), inner, path(key), "an object")) return;
    Reader reader(inner, path(key), error_);
    describe(reader);
  }

 private:
  [[nodiscard]] std::string path(std::string_view key) const {
    return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
  }
  bool expect(bool holds, const Json& found, const std::string& where, const char* expected) {
    if (!holds && !error_) {
      error_ = corrupt("reading a comparison report").of(where).expects(expected).got(kind(found));
    }
    return !error_;
  }

  template <class T>
  void value(const Json& json, const std::string& where, T& described) {
    if (!expect(json.is_object(), json, where, "an object")) return;
    Reader reader(json, where, error_);
    report_fields::fields(reader, described);
  }
  void value(const Json& json, const std::string&, Json& field) { field = json; }
  void value(const Json& json, const std::string& where, double& field) {
    if (!expect(json.is_number() || json.is_null(), json, where, "a number or null")) return;
    field = json.number(std::numeric_limits<double>::quiet_NaN());
  }
  void value(const Json& json, const std::string& where, bool& field) {
    if (expect(json.is_bool(), json, where, "true or false")) field = json.boolean();
  }
  void value(const Json& json, const std::string& where, std::integral auto& field) {
    using T = std::remove_reference_t<decltype(field)>;
    const bool fits = json.is_integer() && std::in_range<T>(json.integer());
    const char* expected = std::unsigned_integral<T> ? "an integer of at least 0" : "an integer";
    if (expect(fits, json, where, expected)) field = static_cast<T>(json.integer());
  }
  void value(const Json& json, const std::string& where, std::string& field) {
    if (expect(json.is_string(), json, where, "a text")) field = std::string(json.string());
  }
  void value(const Json& json, const std::string& where, std::filesystem::path& field) {
    if (expect(json.is_string(), json, where, "a path")) field = std::string(json.string());
  }
  void value(const Json& json, const std::string& where, Verdict& field) {
    for (const Verdict verdict : kVerdicts) {
      if (json.string() != verdict_name(verdict)) continue;
      field = verdict;
      return;
    }
    expect(false, json, where, R"("ship", "do not ship" or "inconclusive")");
  }
  template <class T>
  void value(const Json& json, const std::string& where, std::optional<T>& field) {
    field.reset();
    if (!json.is_null()) value(json, where, field.emplace());
  }
  void value(const Json& json, const std::string& where, std::map<std::string, double>& field) {
    if (!expect(json.is_object(), json, where, "an object")) return;
    field.clear();
    for (const auto& [key, number] : json.members()) value(number, where + "." + key, field[key]);
  }
  void value(const Json& json, const std::string& where, std::vector<TaskScore>& field) {
    if (!expect(json.is_object(), json, where, "an object")) return;
    field.clear();
    for (const auto& [name, task] : json.members()) {
      field.push_back({.name = name});
      value(task, where + "." + name, field.back());
    }
  }
  template <class T>
  void value(const Json& json, const std::string& where, std::vector<T>& field) {
    if (!expect(json.is_array(), json, where, "an array")) return;
    field.clear();
    for (const Json& item : json.items()) {
      const std::string at = where + "[" + std::to_string(field.size()) + "]";
      value(item, at, field.emplace_back());
      if (error_) return;
    }
  }

  const Json& json_;
  std::string where_;
  std::optional<Error>& error_;
};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kShip:
      return "ship";
    case Verdict::kDoNotShip:
      return "do not ship";
    case Verdict::kInconclusive:
      break;
  }
  return "inconclusive";
}

Json report_value(const CompareReport& report) {
  Writer writer;
  writer("schema", std::string(kReportSchema));
  report_fields::fields(writer, report);
  return std::move(writer).take();
}

std::string to_json(const CompareReport& report) { return report_value(report).dump(2) + "\n"; }

std::string to_json(const EvalResult& result) {
  Writer writer;
  writer("ppl", result.ppl);
  writer("nll", result.nll);
  writer("tokens_scored", result.tokens_scored);
  if (!result.kv.empty()) writer("kv", result.kv);
  if (result.divergence) report_fields::fields(writer, *result.divergence);
  if (result.engine) writer("engine", *result.engine);
  return std::move(writer).take().dump(2) + "\n";
}

Result<CompareReport> parse_report(std::string_view text, const std::string& origin) {
  QUANTLANE_TRY(const Json json, Json::parse(text, origin));
  const char* const attempted = "reading a comparison report";
  const Json& schema = json["schema"];
  if (!schema.is_string()) {
    return fail(corrupt(attempted)
                    .in(origin)
                    .of("schema")
                    .expects(Json(kReportSchema).dump())
                    .got(schema.is_null() ? "no such key" : kind(schema))
                    .advise("give the report.json that `quantlane compare` wrote"));
  }
  if (schema.string() != kReportSchema) {
    return fail(unsupported(attempted)
                    .in(origin)
                    .of("schema")
                    .expects(Json(kReportSchema).dump())
                    .got(schema.dump())
                    .advise("read it with the quantlane version that wrote it, or compare again"));
  }
  CompareReport report;
  std::optional<Error> error;
  Reader reader(json, "", error);
  report_fields::fields(reader, report);
  if (error) return fail(std::move(*error).in(origin));
  return report;
}

Result<CompareReport> read_report(const std::filesystem::path& report_json) {
  QUANTLANE_TRY(const std::string text, read_text(report_json, kMaxReportBytes));
  return parse_report(text, report_json.string());
}

}  // namespace quantlane
