#include "core/replacing.h"

#include <utility>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/atomic_directory.h"
#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

class Replacing : public testing::Test {
 protected:
  // Folders with nothing but "made" in them.
  static Result<void> check(const fs::path& found) {
    for (const auto& entry : fs::directory_iterator(found)) {
      if (entry.path().filename() == "made") continue;
      return fail(invalid("choosing").of(entry.path().filename().string()).got("something else"));
    }
    return {};
  }
  void SetUp() override {
    ASSERT_TRUE(write_text(folder_ / "work" / "made", "new"));
    ASSERT_TRUE(write_text(out_ / "made", "old"));
  }
  [[nodiscard]] std::string made() const { return read_text(out_ / "made").value(); }
  [[nodiscard]] int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  const fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
  const fs::path out_ = folder_ / "out";
};

TEST_F(Replacing, WhatTheCheckAllowsIsReplaced) {
  const auto refused = put_in_place(folder_ / "work", out_, check);
  ASSERT_TRUE(refused && !*refused);
  EXPECT_EQ(made(), "new");
  EXPECT_EQ(entries(), 1);
}

TEST_F(Replacing, WhatItRefusesStaysAsItIs) {
  ASSERT_TRUE(write_text(out_ / "precious", "mine"));
  const auto refused = put_in_place(folder_ / "work", out_, check);
  ASSERT_TRUE(refused && *refused);
  EXPECT_EQ((*refused)->tensor, "precious");
  EXPECT_EQ(made(), "old");
  EXPECT_TRUE(fs::exists(out_ / "precious"));
  EXPECT_TRUE(fs::exists(folder_ / "work"));
}

TEST_F(Replacing, WhatAppearsBetweenTheQuestionAndTheExchangeStaysToo) {
  bool asked = false;
  const auto late = [&](const fs::path& found) {
    const auto allowed = check(found);
    if (!std::exchange(asked, true)) {
      EXPECT_TRUE(write_text(out_ / "precious", "mine"));
    }
    return allowed;
  };
  const auto refused = put_in_place(folder_ / "work", out_, late);
  ASSERT_TRUE(refused && *refused);
  EXPECT_EQ(read_text(out_ / "precious").value(), "mine");
  EXPECT_EQ(made(), "old");
  EXPECT_EQ(read_text(folder_ / "work" / "made").value(), "new");
  EXPECT_EQ(entries(), 2);
}

TEST_F(Replacing, WhatIsRemovedIsAskedForTheSameWay) {
  bool asked = false;
  const auto late = [&](const fs::path& found) {
    const auto allowed = check(found);
    if (!std::exchange(asked, true)) {
      EXPECT_TRUE(write_text(out_ / "precious", "mine"));
    }
    return allowed;
  };
  const auto refused = remove_allowed(out_, late);
  ASSERT_TRUE(refused && *refused);
  EXPECT_TRUE(fs::exists(out_ / "precious"));
  fs::remove(out_ / "precious");
  EXPECT_FALSE(*remove_allowed(out_, check));
  EXPECT_FALSE(fs::exists(out_));
  EXPECT_FALSE(*remove_allowed(out_, check)) << "nothing there";
}

TEST_F(Replacing, AFolderThatMayNotBeReplacedLeavesTheWorkBesideItWithTheReason) {
  auto directory = AtomicDirectory::create(out_, check);
  ASSERT_TRUE(directory);
  ASSERT_TRUE(write_text(directory->path() / "made", "new"));
  ASSERT_TRUE(write_text(out_ / "precious", "mine"));
  const auto placed = directory->commit();
  ASSERT_FALSE(placed);
  const fs::path kept = out_.string() + ".finished-" + std::to_string(::getpid());
  EXPECT_EQ(placed.error().file, out_.string());
  EXPECT_EQ(placed.error().tensor, "precious");
  EXPECT_NE(placed.error().hint.find(kept.string()), std::string::npos);
  EXPECT_EQ(read_text(kept / "made").value(), "new");
  EXPECT_EQ(made(), "old");
  EXPECT_EQ(read_text(out_ / "precious").value(), "mine");
}

}  // namespace
}  // namespace quantlane
