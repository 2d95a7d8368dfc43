#include "quantize/vanished_groups.h"

#include <algorithm>
#include <cstdint>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/lanes/scheme_overrides.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kTinyMatrix = "model.layers.0.mlp.up_proj.weight";

class Vanished : public testing::Test {
 protected:
  // Notices of a lane where the first `count` values of kTinyMatrix are 2^shift times as large.
  std::vector<std::string> notices(const std::string& lane_name, int shift, std::size_t count,
                                   const std::string& override = "") {
    auto edit = fixtures::EditableCheckpoint::read(fixtures::kCanary);
    auto& bytes = edit.tensor(kTinyMatrix).bytes;
    for (std::size_t i = 0; i + 1 < std::min(bytes.size(), 2 * count); i += 2) {
      unsigned bits = std::to_integer<unsigned>(bytes[i]) | std::to_integer<unsigned>(bytes[i + 1])
                                                                << 8;
      if ((bits & 0x7F80U) != 0) bits = static_cast<unsigned>(static_cast<int>(bits) + shift * 128);
      bytes[i] = static_cast<std::byte>(bits & 255U);
      bytes[i + 1] = static_cast<std::byte>(bits >> 8);
    }
    edit.write(scratch_.path() / "model");
    const auto source = fixtures::open_checkpoint(scratch_.path() / "model");
    Lane lane = find_lane(lane_name).value();
    if (!override.empty()) lane.overrides = {parse_scheme_override(override, lane).value()};
    ThreadPool pool(2);
    const fs::path out = scratch_.path() / std::to_string(++written_);
    const auto done =
        run_quantize({.source = *source, .lane = lane, .out = out}, pool, no_progress());
    EXPECT_TRUE(done.has_value()) << done.error().message();
    const auto artefact = fixtures::open_checkpoint(out);
    const Weight weight = artefact->weight(*artefact->graph()->find(Role::kUp, 0)).value();
    std::vector<float> row(static_cast<std::size_t>(weight.cols()));
    weight.decode_rows(0, 1, row.data());
    zeros_ = std::ranges::count(row, 0.0F);
    return done->notices;
  }
  const fixtures::ScratchFolder scratch_;
  int written_ = 0;
  std::int64_t zeros_ = 0;  // of the first row, as it is read back
};

TEST_F(Vanished, MatricesAreNamedWithWhatKeepsThem) {
  for (const char* lane : {"awq+rtn", "awq", "gptq+rtn", "gptq"}) {
    const auto said = notices(lane, -36, SIZE_MAX / 2);
    EXPECT_EQ(zeros_, 256) << lane;
    EXPECT_THAT(said, Contains(AllOf(HasSubstr(kTinyMatrix + ": its values, at most"),
                                     HasSubstr("f16"), HasSubstr("became zero"),
                                     HasSubstr("--tensor-type 'model.layers.0.mlp.=keep'"))))
        << lane;
  }
}

TEST_F(Vanished, WhatIsAdvisedKeepsThem) {
  EXPECT_THAT(notices("awq", -36, SIZE_MAX / 2, "model.layers.0.mlp.=keep"), IsEmpty());
  EXPECT_LT(zeros_, 100);
}

TEST_F(Vanished, GroupsAreCountedWithTheFirstMatrix) {
  for (const char* lane : {"awq+rtn", "gptq+rtn"}) {
    const auto said = notices(lane, -36, 128);
    EXPECT_GE(zeros_, 128) << lane;
    EXPECT_THAT(said, Contains(HasSubstr("1 group of 1 matrix (the first: " + kTinyMatrix + ")")))
        << lane;
  }
}

// Gate and up share the scale of a tensor: what is far below it is lost.
TEST_F(Vanished, BesideALargerMatrixUnderTheSameScale) {
  const auto said = notices("nvfp4a16", -36, SIZE_MAX / 2);
  EXPECT_EQ(zeros_, 256);
  EXPECT_THAT(said, Contains(HasSubstr(kTinyMatrix + ": its values")));
}

TEST_F(Vanished, NothingIsSaidWhereScalesReach) {
  for (const char* lane : {"w4a16+rtn", "w8a8", "fp8", "w4a16-asym+rtn"}) {
    EXPECT_THAT(notices(lane, -36, SIZE_MAX / 2), IsEmpty()) << lane;
    EXPECT_LT(zeros_, 100) << lane;
  }
  for (const char* lane : {"awq", "gptq", "w4a16", "fp8-block", "nvfp4a16", "nf4"})
    EXPECT_THAT(notices(lane, 0, 0), IsEmpty()) << lane;
}

// Rows of zeros are not lost, nor are those that error feedback settles at zero.
TEST(VanishedGroups, AreThoseBelowHalfAStep) {
  const Scheme scheme = Scheme::parse("int8_channel_sym").value();
  const QuantTensor slice{.scheme = scheme,
                          .rows = 4,
                          .cols = 2,
                          .codes = {0, 0, 0, 0, 0, 0, 0, 1},
                          .scales = {1, 1, 1, 1},
                          .zeros = {},
                          .group_of_column = {}};
  const std::vector<float> values = {0, 0, 0.5F, -0.25F, 0.75F, 0, 0, 1};
  VanishedGroups vanished;
  vanished.see(values.data(), slice);
  vanished.end_matrix("m", scheme);
  EXPECT_THAT(vanished.notices(), testing::ElementsAre(HasSubstr("1 group of 1 matrix")));
}

}  // namespace
}  // namespace quantlane
