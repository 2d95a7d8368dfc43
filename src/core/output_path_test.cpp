#include "core/output_path.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace quantlane {
namespace {
namespace fs = std::filesystem;

// Oracle: the kernel, asked after the missing folders were made.
class OutputPath : public testing::Test {
 protected:
  fs::path folder_ = fs::canonical(fs::temp_directory_path()) /
                     ("quantlane-output-path-test-" + std::to_string(::getpid()));
  void SetUp() override {
    fs::create_directories(folder_ / "mine/deep");
    std::ofstream(folder_ / "mine/file") << "x";
    fs::create_directory_symlink("mine/deep", folder_ / "link");
    fs::create_symlink("gone", folder_ / "dangling");
  }
  void TearDown() override { fs::remove_all(folder_); }
};

TEST_F(OutputPath, IsWhereThePathLeadsOnceItsFoldersAreMade) {
  for (const char* spelled :
       {"new/../mine", "new/deeper/../../mine/file", "new/../link/../file", "new/../dangling",
        "new/../mine/./file", "link/../file", "mine/", "link/new/../../file", "new/deeper/..",
        "new/../mine/other", "new/..", "new/.", "link/.", "new/../link/.."}) {
    const fs::path path = folder_ / spelled;
    const fs::path place = place_of(path);
    const bool taken = is_taken(path);
    ASSERT_FALSE(fs::exists(folder_ / "new"));
    fs::create_directories(folder_ / "new/deeper");
    fs::create_directories(folder_ / "link/new");
    const fs::path name = path.filename();
    const bool whole = name.empty() || name == "." || name == "..";
    EXPECT_EQ(place, whole ? fs::canonical(path) : fs::canonical(path.parent_path()) / name)
        << spelled;
    fs::remove_all(folder_ / "new");
    fs::remove_all(folder_ / "link/new");
    EXPECT_EQ(taken, fs::exists(fs::symlink_status(place))) << spelled;
  }
}

TEST_F(OutputPath, RelativePathsAreTakenFromTheWorkingFolder) {
  const fs::path here = fs::canonical(fs::current_path());
  EXPECT_EQ(place_of("no-such-folder/../out"), here / "out");
  EXPECT_EQ(place_of("out/"), here / "out");
}

TEST_F(OutputPath, WhatIsTakenNeedsForce) {
  for (const char* taken : {"new/../mine", "new/../mine/file", "dangling", "link"}) {
    EXPECT_FALSE(check_vacant(folder_ / taken, false)) << taken;
    EXPECT_EQ(check_vacant(folder_ / taken, true).value_or(false), true) << taken;
  }
  EXPECT_EQ(check_vacant(folder_ / "new/out", false).value_or(true), false);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

TEST_F(OutputPath, AnOutputIsApartFromWhatIsRead) {
  fs::create_symlink("mine/file", folder_ / "to-file");
  fs::create_hard_link(folder_ / "mine/file", folder_ / "same-file");
  struct Case {
    const char* out;
    const char* input;
    bool apart;
    bool apart_from_whole;
  };
  for (const Case& row : {Case{"mine", "mine", false, false},
                          {"new/../mine/", "mine/file", false, false},
                          {"mine/file", "mine/file", false, false},
                          {"mine/deep", "mine/file", true, true},
                          {"mine/deep/new", "mine", true, false},
                          {"new", "mine", true, true},
                          {"mine2", "mine", true, true},
                          {"mine", "to-file", false, false},
                          {"to-file", "mine/file", false, false},
                          {"to-file", "to-file", false, false},
                          {"link", "mine/deep/file", false, false},
                          {"link/new", "mine/deep", true, false},
                          {"same-file", "mine/file", false, false},
                          {"mine", "gone", true, true},
                          {"gone/new", "gone", true, false}}) {
    for (const bool whole : {false, true}) {
      const InputPath input{.name = "--imatrix", .path = folder_ / row.input, .whole = whole};
      const auto apart = check_apart(folder_ / row.out, std::span(&input, 1));
      EXPECT_EQ(apart.has_value(), whole ? row.apart_from_whole : row.apart)
          << row.out << " from " << row.input;
      if (apart) continue;
      EXPECT_EQ(apart.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(apart.error().expected.find("a place apart from --imatrix"), std::string::npos);
    }
  }
  const InputPath none{.name = "--imatrix", .path = ""};
  EXPECT_TRUE(check_apart(folder_, std::span(&none, 1)));
}

TEST_F(OutputPath, APlainSpellingLeadsToTheSamePlace) {
  for (const char* as_it_is : {"out", "./out", "nd/out.gguf", "/nd/out", "../out", ".././../out"}) {
    EXPECT_EQ(plain_spelling(as_it_is), as_it_is);
  }
  EXPECT_EQ(plain_spelling("nd/"), "nd");
  EXPECT_EQ(plain_spelling(".."), fs::canonical(".."));
  EXPECT_EQ(plain_spelling("./"), fs::canonical("."));
  for (const char* spelled : {"nd/.", "nd/..", ".", "./", "..", "nd/./", "./nd/../x", "nd//x",
                              "link/.", "link/..", "nd/../link/../x"}) {
    const fs::path plain = plain_spelling(folder_ / spelled);
    EXPECT_EQ(place_of(plain), place_of(folder_ / spelled)) << spelled;
    EXPECT_TRUE(plain.has_filename()) << spelled;
    for (const fs::path& step : plain) EXPECT_FALSE(step == "." || step == "..") << spelled;
  }
}

}  // namespace
}  // namespace quantlane
