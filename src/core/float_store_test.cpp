#include "core/float_store.h"

#include <filesystem>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

namespace fs = std::filesystem;

std::vector<float> counted(std::size_t size, float from) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), from);
  return values;
}

void expect_array(FloatStore& store, std::size_t array, const std::vector<float>& want) {
  std::vector<float> buffer(7);
  ASSERT_TRUE(store.borrow(array, buffer).has_value());
  ASSERT_GE(buffer.size(), want.size());
  const float* lent = buffer.data();
  store.give_back(array, buffer);
  EXPECT_EQ(std::vector<float>(lent, lent + want.size()), want);
}

void expect_to_keep_arrays(FloatStore& store) {
  for (std::size_t array = 0; array < 3; ++array) {
    std::vector<float> buffer = counted(20, static_cast<float>(100 * array));
    ASSERT_TRUE(store.put(array, buffer).has_value());
  }
  expect_array(store, 1, counted(3, 100));
  expect_array(store, 0, counted(11, 0));
  expect_array(store, 0, counted(11, 0));
  ASSERT_TRUE(store.copy(0, 2).has_value());
  std::vector<float> buffer = counted(11, 500);
  ASSERT_TRUE(store.put(0, buffer).has_value());
  expect_array(store, 2, counted(11, 0));
  expect_array(store, 0, counted(11, 500));
  EXPECT_EQ(store.bytes(), 25 * sizeof(float));
}

TEST(FloatStore, KeepsArraysInMemoryAndOnDiskAlike) {
  const fixtures::ScratchFolder folder;
  FloatStore memory({11, 3, 11});
  expect_to_keep_arrays(memory);
  const auto file = std::make_shared<ScratchFile>(
      ScratchFile::reserve(folder.path() / "made" / "later", 40).value());
  auto disk = FloatStore::on_disk({11, 3, 11}, file);
  ASSERT_TRUE(disk.has_value()) << disk.error().message();
  expect_to_keep_arrays(*disk);
  EXPECT_TRUE(fs::is_empty(folder.path())) << "the file has no name";
}

}  // namespace
}  // namespace quantlane
