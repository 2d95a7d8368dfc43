#include "report/report_json.h"

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "report/report_test_files.h"

namespace quantlane {
namespace {

using report_test::distinct_report;
using report_test::same;
using ::testing::HasSubstr;

constexpr char kOrigin[] = "report.json";

void collect_keys(const Json& json, std::set<std::string>& keys) {
  for (const Json& item : json.items()) collect_keys(item, keys);
  for (const auto& [key, value] : json.members()) {
    keys.insert(key);
    if (key == "margins") continue;  // its keys are gates
    if (key == "tasks") {            // its keys are task sets
      for (const auto& [name, task] : value.members()) collect_keys(task, keys);
      continue;
    }
    collect_keys(value, keys);
  }
}

// Every object in `json` with its path.
void each_object(Json& json, const std::string& path,
                 const std::function<void(Json&, const std::string&)>& visit) {
  if (json.is_object()) visit(json, path);
  for (const Json& item : json.items()) {
    each_object(const_cast<Json&>(item), path + "[]", visit);
  }
  for (const auto& [key, value] : json.members()) {
    each_object(const_cast<Json&>(value), path.empty() ? key : path + "." + key, visit);
  }
}

bool keys_are_names(const std::string& path) {
  return path.ends_with("tasks") || path.ends_with("margins");
}

TEST(ReportJson, ReadingWhatWasWrittenGivesEveryFieldBack) {
  const CompareReport report = distinct_report();
  const auto again = parse_report(to_json(report), kOrigin);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(same(report, *again));
  EXPECT_EQ(to_json(report), to_json(*again));
}

TEST(ReportJson, AbsentProjectionsAndEmptyListsSurvive) {
  CompareReport report;
  report.lanes.emplace_back();
  const auto again = parse_report(to_json(report), kOrigin);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(same(report, *again));
  EXPECT_FALSE(again->lanes[0].projection.has_value());
}

TEST(ReportJson, UsesTheSpellingsOfTheSchema) {
  const Json json = report_value(distinct_report());
  EXPECT_EQ(json["schema"].string(), "quantlane.report/1");
  for (const char* key : {"tool_version", "machine", "reference", "noise_floor", "lanes", "pick"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* key : {"path", "params", "size_bytes", "ppl"}) {
    EXPECT_TRUE(json["reference"].contains(key)) << key;
  }
  EXPECT_TRUE(json["noise_floor"]["kld_mean"].contains("value"));
  const Json& lane = json["lanes"].items()[0];
  for (const char* key :
       {"name", "format", "algorithm", "dialect", "artifact", "size_bytes", "bits_per_weight",
        "quantize_seconds", "quality", "speed", "peak_rss_bytes", "verdict"}) {
    EXPECT_TRUE(lane.contains(key)) << key;
  }
  for (const char* interval : {"ppl_ratio", "kld_mean", "top1_agreement"}) {
    for (const char* key : {"value", "low", "high"}) {
      EXPECT_TRUE(lane["quality"][interval][key].is_number()) << interval << "." << key;
    }
  }
  EXPECT_TRUE(lane["quality"]["kld_p99"].is_number());
  for (const auto& [name, task] : lane["quality"]["tasks"].members()) {
    for (const char* key : {"n", "reference", "lane", "lost", "gained"}) {
      EXPECT_TRUE(task[key].is_integer()) << name << "." << key;
    }
  }
  EXPECT_TRUE(lane["speed"]["prefill_tok_s"].is_number());
  EXPECT_TRUE(lane["speed"]["decode_tok_s"].is_number());
  EXPECT_TRUE(json["pick"]["lane"].is_string());
  EXPECT_TRUE(json["pick"]["reasons"].items()[0]["code"].is_string());
  EXPECT_TRUE(json["pick"]["flips_if"].items()[0].is_string());
}

TEST(ReportJson, NumbersThatAreNotFiniteBecomeNullAndThenNan) {
  CompareReport report = distinct_report();
  report.reference.ppl = std::numeric_limits<double>::infinity();
  const auto again = parse_report(to_json(report), kOrigin);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(std::isnan(again->reference.ppl));
}

TEST(ReportJson, BytesThatAreNotUtf8DoNotSpoilTheFile) {
  CompareReport report = distinct_report();
  report.reference.path = "/models/\xff\xfe";
  const auto again = parse_report(to_json(report), kOrigin);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->reference.path, "/models/\uFFFD\uFFFD");
}

TEST(ReportJson, EveryMissingKeyIsNamed) {
  Json whole = report_value(distinct_report());
  std::vector<std::pair<std::string, std::string>> missing;  // text without the key, key
  each_object(whole, "", [&](Json& object, const std::string& path) {
    if (keys_are_names(path)) return;
    const Json saved = object;
    for (const auto& [key, value] : saved.members()) {
      if (key == "kv_caches" || key.starts_with("one_sided")) continue;  // added in the version
      object.erase(key);
      missing.emplace_back(whole.dump(), key);
      object = saved;
    }
  });
  EXPECT_GT(missing.size(), 150u);
  for (const auto& [text, key] : missing) {
    const auto report = parse_report(text, kOrigin);
    ASSERT_FALSE(report) << key;
    EXPECT_EQ(report.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(report.error().file, kOrigin);
    EXPECT_TRUE(report.error().tensor.ends_with(key)) << report.error().message();
    EXPECT_EQ(report.error().found, "no such key");
  }
}

TEST(ReportJson, FilesFromBeforeKeyValueCachesWereMeasuredAreRead) {
  Json json = report_value(distinct_report());
  json.erase("kv_caches");
  const auto report = parse_report(json.dump(), kOrigin);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->kv.empty());
}

TEST(ReportJson, EveryWrongTypeIsNamed) {
  Json whole = report_value(distinct_report());
  std::vector<std::pair<std::string, std::string>> wrong;  // text, key
  each_object(whole, "", [&](Json& object, const std::string& path) {
    const Json saved = object;
    for (const auto& [key, value] : saved.members()) {
      // A number where something else belongs, a text where a number belongs.
      object.set(key, value.is_number() ? Json("5") : Json(5));
      wrong.emplace_back(whole.dump(), path.empty() ? key : "." + key);
      object = saved;
    }
  });
  for (const auto& [text, key] : wrong) {
    const auto report = parse_report(text, kOrigin);
    ASSERT_FALSE(report) << key;
    EXPECT_TRUE(report.error().tensor.ends_with(key)) << report.error().message();
    EXPECT_FALSE(report.error().expected.empty());
    EXPECT_FALSE(report.error().found.empty());
  }
}

TEST(ReportJson, AnErrorGivesThePathOfTheKey) {
  Json json = report_value(distinct_report());
  auto& lane = const_cast<Json&>(json["lanes"].items()[1]);
  const_cast<Json&>(lane["quality"]).set("ppl", "high");
  const auto report = parse_report(json.dump(), kOrigin);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().tensor, "lanes[1].quality.ppl");
  EXPECT_EQ(report.error().expected, "a number or null");
  EXPECT_EQ(report.error().found, "the text \"high\"");
}

TEST(ReportJson, CountsBelowZeroAndUnknownVerdictsAreRefused) {
  Json json = report_value(distinct_report());
  auto& lane = const_cast<Json&>(json["lanes"].items()[0]);
  lane.set("size_bytes", -1);
  auto report = parse_report(json.dump(), kOrigin);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().tensor, "lanes[0].size_bytes");
  EXPECT_EQ(report.error().found, "the number -1");
  lane.set("size_bytes", 1).set("verdict", "maybe");
  report = parse_report(json.dump(), kOrigin);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().tensor, "lanes[0].verdict");
}

TEST(ReportJson, OtherSchemaVersionsAreUnsupportedNotCorrupt) {
  Json json = report_value(distinct_report());
  json.set("schema", "quantlane.report/2");
  auto report = parse_report(json.dump(), kOrigin);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(report.error().found, HasSubstr("quantlane.report/2"));
  json.erase("schema");
  report = parse_report(json.dump(), kOrigin);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kCorrupt);
  for (const char* text : {"", "[]", "null", "{", "3", "{\"schema\":7}"}) {
    EXPECT_FALSE(parse_report(text, kOrigin)) << text;
  }
}

TEST(ReportJson, ReadsAFileAndIgnoresUnknownKeys) {
  const CompareReport report = distinct_report();
  Json json = report_value(report);
  json.set("added_by_a_later_version", 1);
  const fs::path path = fs::path(testing::TempDir()) / "quantlane_report_json_test.json";
  ASSERT_TRUE(write_text(path, json.dump()));
  const auto again = read_report(path);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(same(report, *again));
  fs::remove(path);
  const auto absent = read_report(path);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
}

TEST(ReportJson, EveryKeyIsDocumented) {
  const auto document = read_text(QUANTLANE_SOURCE_DIR "/docs/report-schema.md");
  ASSERT_TRUE(document) << document.error().message();
  std::set<std::string> keys;
  collect_keys(report_value(distinct_report()), keys);
  EvalResult result;
  report_test::Fill{}(result);
  const auto eval = Json::parse(to_json(result), "eval");
  ASSERT_TRUE(eval);
  collect_keys(*eval, keys);
  EXPECT_GT(keys.size(), 60u);
  for (const std::string& key : keys) {
    EXPECT_THAT(*document, HasSubstr("`" + key + "`"));
  }
}

TEST(EvalJson, KeepsTheDivergenceAtTheTop) {
  EvalResult result{.ppl = 12.5, .nll = 2.5, .tokens_scored = 640, .divergence = {}, .engine = {}};
  auto json = Json::parse(to_json(result), "eval");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["ppl"].number(), 12.5);
  EXPECT_EQ((*json)["nll"].number(), 2.5);
  EXPECT_EQ((*json)["tokens_scored"].integer(), 640);
  EXPECT_EQ(json->members().size(), 3u);

  report_test::Fill{}(result.divergence);
  json = Json::parse(to_json(result), "eval");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["kld_mean"]["high"].number(), result.divergence->kld_mean.high);
  EXPECT_EQ((*json)["top1_agreement"]["value"].number(), result.divergence->top1_agreement.value);
  EXPECT_EQ((*json)["flips"].integer(), result.divergence->flips);
  EXPECT_EQ(json->members().size(), 10u);

  report_test::Fill{}(result.engine);
  json = Json::parse(to_json(result), "eval");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["engine"]["ppl"].number(), result.engine->ppl);
  EXPECT_EQ((*json)["engine"]["kld_mean"]["value"].number(),
            result.engine->divergence.kld_mean.value);
  EXPECT_EQ(json->members().size(), 11u);
}

TEST(Verdict, HasOneNameEach) {
  EXPECT_EQ(verdict_name(Verdict::kShip), "ship");
  EXPECT_EQ(verdict_name(Verdict::kDoNotShip), "do not ship");
  EXPECT_EQ(verdict_name(Verdict::kInconclusive), "inconclusive");
}

}  // namespace
}  // namespace quantlane
