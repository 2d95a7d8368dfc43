#include "recommend/hardware.h"

#include <set>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recommend/embedded_data.h"

namespace quantlane {
namespace {

using ::testing::HasSubstr;

Device device(std::string_view name) {
  auto found = find_device(name);
  if (!found) throw std::runtime_error(found.error().message());
  return *std::move(found);
}

TEST(HardwareData, EveryRowHasExactlyTheFieldsOfTheSchema) {
  const Json json = embedded_recommend_json("data/hardware/devices.json").value();
  const std::set<std::string> expected = {
      "name",           "aliases", "vendor",    "kind",        "arch",  "compute_capability",
      "memory_gb",      "dense",   "native",    "memory_only", "notes", "source",
      "bandwidth_gb_s", "date",    "confidence"};
  for (const Json& row : json["devices"].items()) {
    std::set<std::string> keys;
    for (const auto& [key, value] : row.members()) keys.insert(key);
    EXPECT_EQ(keys, expected) << row["name"].string();
    std::set<std::string> peaks;
    for (const auto& [key, value] : row["dense"].members()) {
      peaks.insert(key);
      EXPECT_TRUE(value.is_null() || value.number() > 0) << row["name"].string() << " " << key;
    }
    EXPECT_EQ(peaks, (std::set<std::string>{"bf16", "fp8", "int8", "int4", "fp4"}));
    EXPECT_THAT((std::set<std::string_view>{"high", "medium", "low"}),
                ::testing::Contains(row["confidence"].string()));
    EXPECT_EQ(row["date"].string().size(), 7u);
    EXPECT_FALSE(row["source"].string().empty());
  }
}

TEST(HardwareData, PeaksAreDenseAndConsistentWithTheNativePaths) {
  const auto all = devices();
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_GE(all->size(), 40u);
  for (const Device& d : *all) {
    EXPECT_GT(d.memory_bytes, 1e9) << d.name;
    EXPECT_GT(d.bandwidth, 5e10) << d.name;
    EXPECT_EQ(d.support(ComputePath::kBf16), Support::kNative) << d.name;
    EXPECT_EQ(d.support(ComputePath::kGguf), Support::kNative) << d.name;
    EXPECT_EQ(d.support(ComputePath::kFp8) == Support::kNative, d.has_fp8()) << d.name;
    EXPECT_EQ(d.support(ComputePath::kFp4) == Support::kNative, d.peaks.fp4.has_value()) << d.name;
    EXPECT_EQ(d.support(ComputePath::kInt8) == Support::kNative, d.peaks.int8.has_value())
        << d.name;
    // Halving the width doubles a dense rate; four times would be a 2:4-sparse figure. (FP4 on
    // consumer Blackwell is four times the FP32-accumulating FP8 rate.)
    if (d.peaks.fp8) {
      EXPECT_LT(*d.peaks.fp8 / *d.peaks.bf16, 2.1) << d.name;
    }
    if (d.peaks.fp4) {
      EXPECT_LT(*d.peaks.fp4 / *d.peaks.fp8, 4.1) << d.name;
    }
    // FP8 arithmetic on NVIDIA exists from compute capability 8.9 on.
    if (d.vendor == "nvidia") {
      EXPECT_EQ(d.has_fp8(), d.capability >= 89) << d.name;
      EXPECT_GT(d.capability, 0) << d.name;
    } else {
      EXPECT_EQ(d.capability, 0) << d.name;
    }
  }
}

TEST(HardwareData, NamesAndAliasesAreUnambiguous) {
  const auto all = devices().value();
  std::set<std::string> seen;
  for (const Device& d : all) {
    std::set<std::string> own = {d.name};
    own.insert(d.aliases.begin(), d.aliases.end());
    for (const std::string& name : own) {
      EXPECT_TRUE(seen.insert(name).second) << name;
      EXPECT_EQ(device(name).name, d.name) << name;
    }
  }
}

TEST(HardwareData, KnowsEveryPromisedDevice) {
  for (const char* name : {"a100-40g-sxm",
                           "a100-40g-pcie",
                           "a100-80g-sxm",
                           "a100-80g-pcie",
                           "a10",
                           "rtx-3090",
                           "l4",
                           "l40",
                           "l40s",
                           "rtx-4090",
                           "h100-pcie",
                           "h100-sxm",
                           "h200-sxm",
                           "b200",
                           "gb200",
                           "b300",
                           "gb300",
                           "rtx-5090",
                           "rtx-pro-6000",
                           "gb10",
                           "mi300x",
                           "mi325x",
                           "mi355x",
                           "m1-max",
                           "m2-max",
                           "m3-max-30core",
                           "m3-max-40core",
                           "m4-max-32core",
                           "m4-max-40core",
                           "m5-max-32core",
                           "m5-max-40core",
                           "m2-ultra",
                           "m3-ultra",
                           "xeon-spr",
                           "xeon-emr",
                           "xeon-gnr",
                           "epyc-genoa",
                           "epyc-turin",
                           "ryzen-7000",
                           "ryzen-9000",
                           "ai-max-395"}) {
    EXPECT_TRUE(find_device(name)) << name;
  }
}

TEST(FindDevice, DriverNamesThatFoolSubstringMatchingResolve) {
  EXPECT_EQ(device("NVIDIA H100 80GB HBM3").name, "h100-sxm");
  EXPECT_EQ(device("NVIDIA H100 PCIe").name, "h100-pcie");
  EXPECT_EQ(device("NVIDIA A100-SXM4-80GB").name, "a100-80g-sxm");
  EXPECT_EQ(device("NVIDIA A100-SXM4-40GB").name, "a100-40g-sxm");
  EXPECT_EQ(device("NVIDIA L4").name, "l4");
  EXPECT_EQ(device("NVIDIA L40S").name, "l40s");
  EXPECT_EQ(device("rtx_4090").name, "rtx-4090");
  EXPECT_EQ(device("  H100-SXM ").name, "h100-sxm");
  EXPECT_EQ(device("Apple M3 Max").bandwidth, 400e9);
}

TEST(FindDevice, UnknownNameListsTheKnownOnes) {
  const auto unknown = find_device("h1000");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().message(), HasSubstr("h100-sxm"));
  EXPECT_THAT(unknown.error().message(), HasSubstr("this-machine"));
  EXPECT_FALSE(find_device(""));
  EXPECT_FALSE(find_device("nvidia"));
}

TEST(Device, PathsWithoutNativeArithmeticUseTheSixteenBitPeakOrNone) {
  const Device a100 = device("a100-80g-sxm");
  EXPECT_EQ(a100.support(ComputePath::kFp8), Support::kMemoryOnly);
  EXPECT_EQ(a100.peak(ComputePath::kFp8), 312e12);
  EXPECT_EQ(a100.peak(ComputePath::kInt8), 624e12);
  EXPECT_EQ(a100.peak(ComputePath::kWeightOnly), 312e12);
  const Device mac = device("m3-ultra");
  EXPECT_EQ(mac.support(ComputePath::kWeightOnly), Support::kNone);
  EXPECT_EQ(mac.peak(ComputePath::kWeightOnly), 0);
}

TEST(ThisMachine, TakesMemoryFromTheSystemAndPeaksFromTheCaller) {
  CpuInfo cpu;
  cpu.model = "Some CPU";
  cpu.best = Isa::kAvx2;
  cpu.memory_bytes = 16ULL << 30;
  const Device with = this_machine(cpu, {.bandwidth = 2e10, .flops = 1e11, .int8_ops = 3e11});
  EXPECT_EQ(with.name, "this-machine");
  EXPECT_EQ(with.memory_bytes, 17179869184.0);
  EXPECT_EQ(with.peak(ComputePath::kInt8), 3e11);
  EXPECT_EQ(with.support(ComputePath::kFp8), Support::kMemoryOnly);
  const Device without = this_machine(cpu, {.bandwidth = 2e10, .flops = 1e11});
  EXPECT_EQ(without.support(ComputePath::kInt8), Support::kMemoryOnly);
}

}  // namespace
}  // namespace quantlane
