#include "report/report_html.h"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "quantlane/compare.h"
#include "report/report_test_files.h"

namespace quantlane {
namespace {

using report_test::sample;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kMostBytes = 300'000;

// The text between the first `open` and the `close` after it.
std::string between(std::string_view text, std::string_view open, std::string_view close) {
  const std::size_t begin = text.find(open);
  if (begin == std::string_view::npos) return {};
  const std::size_t from = begin + open.size();
  return std::string(text.substr(from, text.find(close, from) - from));
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

constexpr std::string_view kData = "<script type=\"application/json\" id=\"report\">";

TEST(ReportHtml, IsOneFileThatLoadsNothing) {
  const std::string html = to_html(sample());
  EXPECT_LT(html.size(), kMostBytes);
  EXPECT_TRUE(html.starts_with("<!doctype html>"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* reference : {"<link", " src=", "@import", "url(", "https://", "file://"}) {
    EXPECT_THAT(html, Not(HasSubstr(reference)));
  }
  // The name of the SVG namespace is the only address.
  EXPECT_EQ(count_of(html, "http://"), count_of(html, "'http://www.w3.org/2000/svg'"));
  EXPECT_EQ(html.find("{{"), std::string::npos);
}

TEST(ReportHtml, TheSecurityPolicyAllowsExactlyTheStyleAndTheScript) {
  const std::string html = to_html(sample());
  const std::string style = between(html, "<style>", "</style>");
  const std::string script = between(html, "<script>", "</script>");
  ASSERT_GT(style.size(), 1000u);
  ASSERT_GT(script.size(), 10000u);
  EXPECT_THAT(html, HasSubstr("style-src '" + csp_hash(style) + "'"));
  EXPECT_THAT(html, HasSubstr("script-src '" + csp_hash(script) + "'"));
  EXPECT_THAT(html, Not(HasSubstr("unsafe")));
  EXPECT_THAT(html, Not(HasSubstr(" style=\"")));
  // Nothing ends the script early.
  EXPECT_EQ(count_of(html, "</script"), 2u);
  EXPECT_EQ(count_of(html, "</style"), 1u);
}

// From `printf abc | openssl dgst -sha256 -binary | base64`, and the same for no input.
TEST(ReportHtml, HashesAreBase64OfSha256) {
  EXPECT_EQ(csp_hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
  EXPECT_EQ(csp_hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST(ReportHtml, CarriesTheReportWithPackedErrorMaps) {
  const CompareReport report = sample();
  const auto page = Json::parse(between(to_html(report), kData, "</script>"), "page");
  ASSERT_TRUE(page) << page.error().message();
  auto expected = Json::parse(to_json(report), "report");
  ASSERT_TRUE(expected);
  for (std::size_t i = 0; i < report.lanes.size(); ++i) {
    const Json& lane = (*page)["lanes"].items()[i];
    const Json& map = lane["layer_errors"];
    ASSERT_EQ(map["cells"].items().size(), report.lanes[i].layer_errors.size());
    for (std::size_t c = 0; c < report.lanes[i].layer_errors.size(); ++c) {
      const LayerError& error = report.lanes[i].layer_errors[c];
      const Json::Array& cell = map["cells"].items()[c].items();
      EXPECT_EQ(cell[0].integer(), error.layer);
      EXPECT_EQ(map["roles"].items().at(static_cast<std::size_t>(cell[1].integer())).string(),
                error.role);
      EXPECT_EQ(map["formats"].items().at(static_cast<std::size_t>(cell[2].integer())).string(),
                error.format);
      EXPECT_NEAR(cell[3].number(), error.relative_rmse, 1e-3 * error.relative_rmse);
    }
    for (const auto& [key, value] : (*expected)["lanes"].items()[i].members()) {
      if (key != "layer_errors") {
        EXPECT_EQ(lane[key].dump(), value.dump()) << key;
      }
    }
  }
  for (const auto& [key, value] : expected->members()) {
    if (key != "lanes") {
      EXPECT_EQ((*page)[key].dump(), value.dump()) << key;
    }
  }
}

TEST(ReportHtml, StaysBelowTheLimitForLargeModels) {
  CompareReport report = sample();
  for (LaneReport& lane : report.lanes) {
    lane.layer_errors.clear();
    for (std::int64_t layer = 0; layer < 80; ++layer) {
      for (const char* role : {"q", "k", "v", "o", "gate", "up", "down"}) {
        lane.layer_errors.push_back({.layer = layer,
                                     .role = role,
                                     .format = "q4_k",
                                     .relative_rmse = 0.01 + 1e-5 * static_cast<double>(layer)});
      }
    }
  }
  EXPECT_LT(to_html(report).size(), kMostBytes);
}

TEST(ReportHtml, TextOfTheReportCannotLeaveItsPlace) {
  CompareReport report = report_test::distinct_report();  // its texts hold "</script>"
  report.pick.reasons[0].text = "<!-- <script> {{report}} ]]>";
  const std::string html = to_html(report);
  EXPECT_EQ(count_of(html, "</script"), 2u);
  EXPECT_EQ(count_of(html, "<script"), 2u);
  EXPECT_EQ(count_of(html, "<!--"), 0u);
  const auto page = Json::parse(between(html, kData, "</script>"), "page");
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ((*page)["pick"]["reasons"].items()[0]["text"].string(), "<!-- <script> {{report}} ]]>");
}

TEST(ReportHtml, WithoutScriptsTheTableIsThere) {
  const std::string text = between(to_html(sample()), "<noscript>", "</noscript>");
  EXPECT_THAT(text, HasSubstr("VERDICT  ship fp8"));
  EXPECT_THAT(text, HasSubstr("0.0303±0.0010"));
}

TEST(ReportHtml, AnEmptyReportIsStillAPage) {
  EXPECT_THAT(to_html(CompareReport{}), HasSubstr("</html>"));
}

}  // namespace
}  // namespace quantlane
