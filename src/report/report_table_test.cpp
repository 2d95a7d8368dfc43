#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantlane/compare.h"
#include "report/report_test_files.h"
#include "report/text_width.h"

namespace quantlane {
namespace {

using report_test::sample;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start);
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

std::size_t widest(const std::string& text) {
  std::size_t width = 0;
  for (const std::string& line : lines_of(text)) width = std::max(width, text_width(line));
  return width;
}

std::string without_colour(const std::string& text) {
  return std::regex_replace(text, std::regex("\033\\[[0-9]*m"), "");
}

// The line that starts with `start`.
std::string line_with(const std::string& text, const std::string& start) {
  for (const std::string& line : lines_of(text)) {
    if (line.starts_with(start)) return line;
  }
  return {};
}

TEST(ReportTable, NamesTheInputsThatAnAdapterShiftsMost) {
  CompareReport report = sample();
  EXPECT_THAT(to_table(report, 100, false), Not(HasSubstr("adapter ")));
  report.adapter = AdapterReport{
      .path = "lora",
      .format = "peft",
      .tensors = 4,
      .parameters = 2,
      .shifts = {{.layer = 0, .role = "q", .base = 2, .adapted = 1.9, .ratio = 0.95},
                 {.layer = 3, .role = "down", .base = 4, .adapted = 10, .ratio = 2.5}}};
  std::string text = to_table(report, 100, false);
  std::ranges::replace(text, '\n', ' ');
  text = std::regex_replace(text, std::regex(" +"), " ");
  EXPECT_THAT(text, HasSubstr("lora (peft, 4 tensors); parameters changed: 2"));
  EXPECT_THAT(text, HasSubstr("layer 3 down reach 2.500 times the range of the base (10 instead "
                              "of 4)"));
  EXPECT_THAT(text, HasSubstr("would clip them"));
  report.adapter->shifts.pop_back();
  EXPECT_THAT(to_table(report, 100, false), HasSubstr("still hold"));
}

TEST(ReportTable, ShowsEveryFigureOfALane) {
  const std::string line = line_with(to_table(sample(), 100, false), "fp8 ");
  for (const char* figure : {"163 MB", "9.71", "1.0265", "0.0303±0.0010", "89.6", "-6/+4", "1210",
                             "98.7", "✓ ship", "pick"}) {
    EXPECT_THAT(line, HasSubstr(figure));
  }
}

TEST(ReportTable, EndsThatNothingBoundsAreInfinite) {
  CompareReport report = sample();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  report.lanes[0].verdict = Verdict::kInconclusive;
  report.lanes[0].axes = {
      {.axis = "kld",
       .verdict = Verdict::kInconclusive,
       .estimate = {.value = 0.13, .low = 0, .high = kInfinity, .one_sided_low = -kInfinity},
       .margin = 0.01,
       .unit = "nats"}};
  EXPECT_THAT(to_table(report, 100, false), HasSubstr("kld 0.1300 [0.0000, ∞] nats"));
}

TEST(ReportTable, ShowsGgufLanesAsTheirEngineRunsThemAndTheirWeightsAlone) {
  const CompareReport report = sample();
  const std::string text = to_table(report, 100, false);
  EXPECT_THAT(line_with(text, "gguf:q8_0 "), HasSubstr("0.0021"));
  EXPECT_THAT(text, HasSubstr("KLD of their weights"));
  EXPECT_THAT(text, HasSubstr("gguf:q8_0 0.0017"));
  CompareReport folders = report;
  std::erase_if(folders.lanes, [](const LaneReport& lane) { return lane.quality.engine; });
  EXPECT_THAT(to_table(folders, 100, false), Not(HasSubstr("KLD of their weights")));
}

TEST(ReportTable, HasTheReferenceTheNoiseFloorTheVerdictAndWhatWouldFlipIt) {
  const CompareReport report = sample();
  const std::string text = to_table(report, 100, false);
  EXPECT_THAT(line_with(text, "reference "), HasSubstr("335/480"));
  EXPECT_THAT(line_with(text, "noise floor"), HasSubstr("3.1e-09±5e-10"));
  EXPECT_THAT(text, HasSubstr("VERDICT  ship fp8 (target: l40s)"));
  for (const Reason& reason : report.pick.reasons) EXPECT_THAT(text, HasSubstr(reason.code));
  EXPECT_THAT(text, HasSubstr("  - if the ppl margin were 1.03 ratio"));
  EXPECT_THAT(line_with(text, "w4a16 "), HasSubstr("✗ do not ship"));
  EXPECT_THAT(text, HasSubstr("about 41 000 more tokens"));
}

TEST(ReportTable, NamesProjectionsAsSuchAndKeepsThemOutOfTheMeasurements) {
  CompareReport report = sample();
  const std::string text = to_table(report, 100, false);
  EXPECT_THAT(text, HasSubstr("Projected on l40s: computed from its peaks and bandwidth, not "));
  EXPECT_THAT(line_with(text, "fp8 "), Not(HasSubstr("118k")));
  report.pick.reasons.clear();
  report.reference.projection.reset();
  for (LaneReport& lane : report.lanes) lane.projection.reset();
  EXPECT_THAT(to_table(report, 100, false), Not(HasSubstr("rojected")));
}

TEST(ReportTable, FitsTheWidthWhateverTheReportSays) {
  CompareReport report = sample();
  report.lanes[0].name = "a-lane-with-a-name-that-no-terminal-was-made-for:q4_k_m+imatrix+awq";
  report.lanes[1].name = "車線の名前は長い車線の名前は長い車線の名前は長い";
  report.lanes[1].verdict = Verdict::kInconclusive;
  report.pick.lane = report.lanes[1].name;
  report.reference.path = "/" + std::string(300, 'p');
  LaneReport& lane = report.lanes[2];
  lane.size_bytes = std::numeric_limits<std::uint64_t>::max();
  lane.speed = {.prefill_tok_s = 1e300, .decode_tok_s = 1e-300};
  lane.bits_per_weight = -1e9;
  lane.quality.divergence.ppl_ratio.value = 1.7e308;
  lane.quality.divergence.kld_mean = {.value = 12345.678, .low = -1e12, .high = 1e12};
  lane.quality.divergence.top1_agreement.value = std::nan("");
  lane.quality.tasks[0].lost = 1'000'000'000;
  lane.projection->memory_bytes = std::numeric_limits<double>::infinity();
  report.noise_floor.kld_mean = {.value = 1e-300, .low = 0, .high = 1e-299};
  for (const int width : {100, 97, 80, 72, 60, 40, 24}) {
    EXPECT_LE(widest(to_table(report, width, false)), static_cast<std::size_t>(width)) << width;
    EXPECT_LE(widest(without_colour(to_table(report, width, true))),
              static_cast<std::size_t>(width));
  }
  EXPECT_LE(widest(to_table(report, 1000, false)), 100u);
  EXPECT_LE(widest(to_table(report_test::distinct_report(), 100, false)), 100u);
}

TEST(ReportTable, ColumnsLineUp) {
  const std::vector<std::string> lines = lines_of(to_table(sample(), 100, false));
  std::size_t header = 0;
  while (!lines[header].starts_with("lane")) ++header;
  const std::size_t verdict =
      text_width(std::string_view(lines[header]).substr(0, lines[header].find("verdict")));
  for (std::size_t i = 0; i < sample().lanes.size(); ++i) {
    const std::string& line = lines[header + 3 + i];  // two header lines, the reference
    const std::size_t mark = std::min({line.find("✓"), line.find("✗"), line.find("? ")});
    ASSERT_NE(mark, std::string::npos) << line;
    EXPECT_EQ(text_width(std::string_view(line).substr(0, mark)), verdict) << line;
  }
}

TEST(ReportTable, NarrowTerminalsLoseColumnsAndSayWhich) {
  const std::string text = to_table(sample(), 80, false);
  EXPECT_THAT(text, HasSubstr("at this width: bits/w, prefill"));
  EXPECT_THAT(line_with(text, "fp8 "), HasSubstr("0.0303±0.0010"));
}

TEST(ReportTable, ColourIsAddedOnlyWhenAskedAndCarriesNothingAlone) {
  const std::string plain = to_table(sample(), 100, false);
  const std::string coloured = to_table(sample(), 100, true);
  EXPECT_EQ(plain.find('\033'), std::string::npos);
  for (const std::string& line : lines_of(plain)) EXPECT_FALSE(line.ends_with(' ')) << line;
  EXPECT_NE(coloured.find('\033'), std::string::npos);
  EXPECT_EQ(without_colour(coloured), plain);
}

TEST(ReportTable, EscapeSequencesInNamesDoNotReachTheTerminal) {
  CompareReport report = sample();
  report.lanes[0].name = "fp8\033[2J\nx";
  report.lanes[0].notices = {"a\033]0;title\007b"};
  report.pick.reasons[0].text =
      "\x9b"
      "31m";
  const std::string text = to_table(report, 100, false);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_EQ(text.find('\007'), std::string::npos);
}

TEST(ReportTable, SaysWhenNothingOrOnlyTheReferenceMayShip) {
  CompareReport report = sample();
  report.pick.lane.clear();
  EXPECT_THAT(to_table(report, 100, false), HasSubstr("VERDICT  nothing"));
  report.pick.lane = "reference";
  EXPECT_THAT(to_table(report, 100, false), HasSubstr("keep the reference"));
  EXPECT_FALSE(to_table(CompareReport{}, 100, false).empty());
}

}  // namespace
}  // namespace quantlane
