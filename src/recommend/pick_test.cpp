#include "recommend/pick.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "recommend/candidates.h"
#include "recommend/test_facts.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

AxisVerdict kld_axis(double low, double value, double high, const Margins& margins) {
  Quality quality;
  quality.divergence.ppl_ratio = {1, 1, 1};
  quality.divergence.kld_mean = {value, low, high};
  quality.divergence.top1_agreement = {0.99, 0.99, 0.99};
  return judge(quality, 10000, margins).axes[1];
}

void judge_by_kld(LaneReport& lane, double value, const Margins& margins) {
  lane.axes = {kld_axis(value * 0.9, value, value * 1.1, margins)};
  lane.verdict = lane.axes[0].verdict;
}

// A report over the six default lanes; `kld` replaces the 0.01 of a lane.
CompareReport report_with(const std::map<std::string, double>& kld = {},
                          const Margins& overrides = {}) {
  const Margins margins = margins_in_force(overrides).value();
  CompareReport report;
  for (const LaneFacts& facts : six_lanes(kLlama8B)) {
    LaneReport lane;
    lane.name = facts.name;
    judge_by_kld(lane, kld.contains(lane.name) ? kld.at(lane.name) : 0.01, margins);
    report.lanes.push_back(lane);
  }
  return report;
}

PickInputs inputs_for(std::string_view on, std::int64_t concurrency = 1,
                      const ModelFacts& model = kLlama8B) {
  PickInputs inputs;
  inputs.situation.device = device(on);
  inputs.situation.model = model;
  inputs.situation.workload = {
      .prompt_tokens = 1024, .output_tokens = 512, .concurrency = concurrency};
  inputs.situation.reference = reference(model);
  inputs.situation.lanes = six_lanes(model);
  return inputs;
}

std::vector<std::string> codes(const Pick& picked) {
  std::vector<std::string> all;
  for (const Reason& reason : picked.reasons) all.push_back(reason.code);
  return all;
}

std::string all_text(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(Pick, CheapestLaneThatShipsWins) {
  const Pick few = pick(report_with(), inputs_for("l40s", 1));
  EXPECT_EQ(few.lane, "w4a16");
  EXPECT_EQ(few.target, "l40s");
  const Pick many = pick(report_with(), inputs_for("l40s", 64));
  EXPECT_EQ(many.lane, "fp8");  // as fast as w8a8 and as small: the first of equals
  EXPECT_THAT(codes(few), Contains("PASSES_GATES"));
  EXPECT_THAT(codes(few), Contains("PROJECTED_COST"));
}

TEST(Pick, LanesThatFailTheirGatesNeverWin) {
  const Pick picked = pick(report_with({{"w4a16", 0.5}, {"gguf:q4_k_m", 0.5}}), inputs_for("l40s"));
  EXPECT_NE(picked.lane, "w4a16");
  EXPECT_NE(picked.lane, "gguf:q4_k_m");
  EXPECT_THAT(codes(picked), Contains("GATE_FAILED"));
}

TEST(Pick, TheReferenceWinsWhenNoLaneShips) {
  std::map<std::string, double> kld;
  for (const LaneFacts& lane : six_lanes(kLlama8B)) kld[lane.name] = 0.5;
  const Pick picked = pick(report_with(kld), inputs_for("h100-sxm"));
  EXPECT_EQ(picked.lane, "reference");
  EXPECT_EQ(picked.reasons.front().code, "NO_LANE_SHIPS");
}

TEST(Pick, TheReferenceWinsWhenEveryLaneThatShipsIsSlower) {
  CompareReport report = report_with();
  std::erase_if(report.lanes, [](const LaneReport& lane) { return lane.name != "w4a16"; });
  PickInputs inputs = inputs_for("h100-sxm", 64);
  inputs.situation.workload.prompt_tokens = 2048;
  inputs.situation.workload.output_tokens = 128;
  const Pick picked = pick(report, inputs);
  EXPECT_EQ(picked.lane, "reference");
  EXPECT_EQ(picked.reasons.front().code, "REFERENCE_CHEAPEST");
}

TEST(Pick, NothingIsPickedWhenNothingFits) {
  CompareReport report = report_with();
  const Pick picked = pick(report, inputs_for("rtx-4090", 1, kLlama70B));
  EXPECT_EQ(picked.lane, "");
  EXPECT_EQ(picked.reasons.front().code, "NOTHING_FITS");
  EXPECT_THAT(codes(picked), Contains("DOES_NOT_FIT"));
  EXPECT_THAT(all_text(picked.flips_if), HasSubstr("with at least"));
}

TEST(Pick, OnUnifiedMemoryOnlyLanesWithKernelsCompete) {
  const Pick picked = pick(report_with(), inputs_for("m4-max-40core"));
  EXPECT_EQ(picked.lane, "gguf:q4_k_m");
  EXPECT_THAT(codes(picked), Contains("ONLY_KERNELS"));
  EXPECT_THAT(codes(picked), Contains("NO_KERNEL"));
}

TEST(Pick, LongContextDefersUncheckedFourBitLanes) {
  PickInputs inputs = inputs_for("l40s");
  inputs.situation.workload.prompt_tokens = 20000;
  EXPECT_NE(pick(report_with(), inputs).lane, "w4a16");
  for (LaneFacts& lane : inputs.situation.lanes) lane.long_context_checked = true;
  EXPECT_EQ(pick(report_with(), inputs).lane, "w4a16");
}

TEST(Pick, MeasuredSpeedDecidesOnThisMachine) {
  CompareReport report = report_with();
  for (LaneReport& lane : report.lanes) lane.speed = {.prefill_tok_s = 500, .decode_tok_s = 20};
  report.reference.speed = {.prefill_tok_s = 400, .decode_tok_s = 10};
  report.lanes[4].speed.decode_tok_s = 40;
  PickInputs inputs = inputs_for("ryzen-9000");
  inputs.measured_here = true;
  const Pick picked = pick(report, inputs);
  EXPECT_EQ(picked.lane, "gguf:q6_k");
  EXPECT_THAT(codes(picked), Contains("MEASURED_COST"));
  EXPECT_THAT(all_text(picked.flips_if), Not(HasSubstr("in flight")));
}

TEST(Pick, WithinTheNoiseOfTheTimingsTheSmallerLaneWins) {
  CompareReport report = report_with();
  for (LaneReport& lane : report.lanes) lane.speed = {.prefill_tok_s = 500, .decode_tok_s = 20};
  report.lanes[0].speed.decode_tok_s = 23;
  PickInputs inputs = inputs_for("ryzen-9000");
  inputs.measured_here = true;
  inputs.situation.device.memory_only = {ComputePath::kFp8};
  EXPECT_EQ(pick(report, inputs).lane, "fp8");
  for (LaneReport& lane : report.lanes) lane.speed.spread = 0.08;
  EXPECT_EQ(pick(report, inputs).lane, "gguf:q4_k_m");
  report.lanes[0].speed.decode_tok_s = 30;
  EXPECT_EQ(pick(report, inputs).lane, "fp8");
}

TEST(Flips, TimingsThatCouldHaveGoneTheOtherWayAreSaid) {
  CompareReport report = report_with();
  for (LaneReport& lane : report.lanes)
    lane.speed = {.prefill_tok_s = 500, .decode_tok_s = 20, .spread = 0.05};
  report.lanes[0].speed.decode_tok_s = 22;
  PickInputs inputs = inputs_for("ryzen-9000");
  inputs.measured_here = true;
  inputs.situation.device.memory_only = {ComputePath::kFp8};
  const Pick close = pick(report, inputs);
  EXPECT_EQ(close.lane, "gguf:q4_k_m");
  EXPECT_THAT(all_text(close.flips_if),
              HasSubstr("within the noise of the timings, up to 5 % here: fp8"));
  report.lanes[0].speed.decode_tok_s = 20;
  EXPECT_THAT(all_text(pick(report, inputs).flips_if), Not(HasSubstr("noise")));
}

TEST(Pick, WhereTimesAreMeasuredTheReferenceComesAfterLanesThatShip) {
  CompareReport report = report_with();
  for (LaneReport& lane : report.lanes) lane.speed = {.prefill_tok_s = 100, .decode_tok_s = 5};
  report.reference.speed = {.prefill_tok_s = 500, .decode_tok_s = 50};
  PickInputs inputs = inputs_for("ryzen-9000");
  inputs.measured_here = true;
  EXPECT_NE(pick(report, inputs).lane, "reference");
  EXPECT_THAT(codes(pick(report, inputs)), Contains("LANE_SHIPS"));
  for (LaneReport& lane : report.lanes) lane.verdict = Verdict::kDoNotShip;
  EXPECT_EQ(pick(report, inputs).lane, "reference");
}

TEST(Flips, TheCrossoverIsTheFirstConcurrencyWithAnotherPick) {
  const PickInputs inputs = inputs_for("l40s", 2);
  const Pick picked = pick(report_with(), inputs);
  std::int64_t crossover = 3;
  while (pick(report_with(), inputs_for("l40s", crossover)).lane == picked.lane) ++crossover;
  ASSERT_LT(crossover, 64);
  EXPECT_THAT(all_text(picked.flips_if),
              HasSubstr("from " + std::to_string(crossover) + " requests in flight"));
  EXPECT_THAT(all_text(picked.flips_if), Not(HasSubstr("up to")));
}

TEST(Flips, AnInconclusiveLaneThatWouldWinAsksForSamples) {
  const CompareReport report = report_with({{"w4a16", 0.097}});
  ASSERT_EQ(report.lanes[2].verdict, Verdict::kInconclusive);
  const Pick picked = pick(report, inputs_for("l40s"));
  EXPECT_THAT(codes(picked), Contains("NOT_PROVEN"));
  EXPECT_THAT(all_text(picked.flips_if), HasSubstr("more tokens confirmed w4a16: w4a16"));
}

TEST(Flips, PrintedMarginsReallyFlipThePick) {
  // Blocked lane: a wider margin lets it win. Winner: a tighter one stops it.
  const std::map<std::string, double> kld = {{"w4a16", 0.21}, {"gguf:q4_k_m", 0.3}, {"fp8", 0.02}};
  const PickInputs inputs = inputs_for("l40s");
  const Pick picked = pick(report_with(kld), inputs);
  int checked = 0;
  for (const std::string& line : picked.flips_if) {
    double margin = 0;
    char lane[64] = {};
    if (std::sscanf(line.c_str(), "if the kld margin were %lf nats: %63s", &margin, lane) != 2) {
      continue;
    }
    ++checked;
    EXPECT_EQ(pick(report_with(kld, {{"kld", margin}}), inputs).lane, lane) << line;
    EXPECT_NE(picked.lane, lane);
    EXPECT_NE(
        pick(report_with(kld, {{"kld", margin < 0.1 ? margin * 1.01 : margin * 0.99}}), inputs)
            .lane,
        lane)
        << line << " is not the threshold";
  }
  EXPECT_GE(checked, 2) << all_text(picked.flips_if);
}

TEST(Flips, PrintedMemoryReallyFlipsThePick) {
  PickInputs inputs = inputs_for("rtx-4090", 1);
  const Pick picked = pick(report_with(), inputs);
  int checked = 0;
  for (const std::string& line : picked.flips_if) {
    double gigabytes = 0;
    char lane[64] = {};
    if (std::sscanf(line.c_str(), "with less than %lf GB of memory: %63[^\n]", &gigabytes, lane) !=
        2) {
      continue;
    }
    ++checked;
    inputs.situation.device.memory_bytes = (gigabytes - 0.01) * 1e9;
    const std::string then = pick(report_with(), inputs).lane;
    EXPECT_EQ(then.empty() ? "nothing fits" : then, lane) << line;
  }
  EXPECT_EQ(checked, 1);
}

// Random quality and workloads on every device: what must always hold.
TEST(PickProperties, HoldOnEveryDeviceAndWorkload) {
  Rng rng(31);
  const std::vector<Device> all = devices().value();
  for (int trial = 0; trial < 150; ++trial) {
    std::map<std::string, double> kld;
    for (const LaneFacts& lane : six_lanes(kLlama8B)) kld[lane.name] = rng.uniform() * 0.2;
    const CompareReport report = report_with(kld);
    const ModelFacts& model = rng.uniform() < 0.5 ? kLlama8B : kLlama70B;
    const Device& d = all[rng.below(all.size())];
    PickInputs inputs = inputs_for(d.name, 1LL << rng.below(8), model);
    inputs.situation.workload.prompt_tokens = static_cast<std::int64_t>(64 + rng.below(30000));
    const Pick picked = pick(report, inputs);

    EXPECT_FALSE(picked.reasons.empty()) << d.name;
    for (const Reason& reason : picked.reasons) {
      EXPECT_FALSE(reason.code.empty());
      EXPECT_FALSE(reason.text.empty());
    }
    for (const Candidate& c : candidates(report, inputs)) {
      if (candidate_name(c) != picked.lane) continue;
      EXPECT_TRUE(c.fits) << d.name << " " << picked.lane;
      EXPECT_TRUE(c.may_ship) << d.name << " " << picked.lane;
      EXPECT_NE(d.support(c.facts.path), Support::kNone) << d.name << " " << picked.lane;
    }
    // The nickname of the device does not matter.
    for (const std::string& alias : d.aliases) {
      PickInputs nicknamed = inputs;
      nicknamed.situation.device = device(alias);
      EXPECT_EQ(pick(report, nicknamed).lane, picked.lane) << alias;
    }
  }
}

TEST(PickProperties, MoreMemoryNeverMakesThePickWorse) {
  Rng rng(77);
  for (int trial = 0; trial < 40; ++trial) {
    std::map<std::string, double> kld;
    for (const LaneFacts& lane : six_lanes(kLlama8B)) kld[lane.name] = rng.uniform() * 0.15;
    const CompareReport report = report_with(kld);
    PickInputs inputs = inputs_for(rng.uniform() < 0.5 ? "l40s" : "h100-sxm", 1LL << rng.below(6));
    std::pair<int, double> last = {1000, 0};
    for (double gigabytes = 4; gigabytes < 200; gigabytes *= 1.2) {
      inputs.situation.device.memory_bytes = gigabytes * 1e9;
      const std::vector<Candidate> all = candidates(report, inputs);
      const Candidate* winner = choose(all);
      if (winner == nullptr) {
        EXPECT_EQ(last.first, 1000) << "more memory lost the pick";
        continue;
      }
      const std::pair<int, double> now = {winner->deferrals, winner->seconds};
      EXPECT_LE(now, last) << gigabytes;
      last = now;
    }
  }
}

}  // namespace
}  // namespace quantlane
