// What --force may replace: artefacts, and nothing else.
#include "quantize/output_place.h"

#include <gtest/gtest.h>

#include "containers/dialects/dialect.h"
#include "core/file.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

class OutputPlace : public testing::Test {
 protected:
  [[nodiscard]] bool may_replace() const { return check_output(out_, true).has_value(); }
  void put(std::string_view name) const { ASSERT_TRUE(write_text(out_ / name, "{}").has_value()); }
  void SetUp() override {
    fs::create_directories(out_);
    put("config.json");
    put("model.safetensors");
  }
  const fixtures::ScratchFolder scratch_;
  const fs::path out_ = scratch_.path() / "out";
};

TEST_F(OutputPlace, FoldersOfEveryDialectAreReplaced) {
  for (const Dialect* dialect : dialects()) {
    if (!dialect->side_file.empty()) put(dialect->side_file);
  }
  EXPECT_TRUE(may_replace());
}

TEST_F(OutputPlace, AFolderWithAnythingElseIsKept) {
  put("notes.txt");
  EXPECT_FALSE(may_replace());
  EXPECT_TRUE(fs::exists(out_ / "notes.txt"));
}

TEST_F(OutputPlace, WeightsWithoutAConfigurationAreNoCheckpoint) {
  fs::remove(out_ / "config.json");
  EXPECT_FALSE(may_replace());
  fs::remove(out_ / "model.safetensors");
  EXPECT_TRUE(may_replace());
}

TEST_F(OutputPlace, AFolderIsNotReplacedByAFile) {
  const fs::path named = scratch_.path() / "out.gguf";
  fs::rename(out_, named);
  EXPECT_FALSE(check_output(named, true).has_value());
  EXPECT_FALSE(replaceable_gguf(true)(named).has_value());
  EXPECT_TRUE(replaceable_folder(true)(named).has_value());
  EXPECT_FALSE(replaceable_folder(false)(named).has_value());
}

}  // namespace
}  // namespace quantlane
