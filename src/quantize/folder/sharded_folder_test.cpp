// A checkpoint in two shards becomes an artefact in two shards with the same tensors as from one.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/folder/folder_shards.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

void write_two_shards(fixtures::EditableCheckpoint model, const fs::path& folder) {
  Json map;
  const std::size_t half = model.tensors.size() / 2;
  const auto all = model.tensors;
  for (const std::size_t shard : {0U, 1U}) {
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(half);
    model.tensors.assign(shard == 0 ? all.begin() : middle, shard == 0 ? middle : all.end());
    model.write(folder);
    const std::string name = "model-0000" + std::to_string(shard + 1) + "-of-00002.safetensors";
    fs::rename(folder / "model.safetensors", folder / name);
    for (const auto& tensor : model.tensors) map.set(tensor.plan.name, name);
  }
  Json index;
  index.set("metadata", Json::object({{"total_size", 0}}));
  index.set("weight_map", std::move(map));
  ASSERT_TRUE(write_text(folder / "model.safetensors.index.json", index.dump()).has_value());
}

TEST(ShardedFolder, KeepsItsShards) {
  const fixtures::ScratchFolder scratch;
  const fs::path one = fixtures::model_data("llama");
  const fs::path two = scratch.path() / "source";
  fs::create_directories(two);
  write_two_shards(fixtures::EditableCheckpoint::read(one), two);
  ThreadPool pool(2);
  const auto lane = find_lane("fp8");
  for (const auto& [from, to] : {std::pair{one, "one"}, std::pair{two, "two"}}) {
    const auto source = fixtures::open_checkpoint(from);
    ASSERT_NE(source, nullptr);
    const auto done = run_quantize({.source = *source, .lane = *lane, .out = scratch.path() / to},
                                   pool, no_progress());
    ASSERT_TRUE(done.has_value()) << done.error().message();
  }
  const auto whole = fixtures::open_checkpoint(scratch.path() / "one");
  const auto shards = fixtures::open_checkpoint(scratch.path() / "two");
  ASSERT_TRUE(whole != nullptr && shards != nullptr);
  EXPECT_EQ(shards->container().files().size(), 2U);
  EXPECT_FALSE(fs::exists(scratch.path() / "two/model.safetensors"));
  ASSERT_EQ(shards->container().tensors().size(), whole->container().tensors().size());
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : whole->container().tensors()) {
    const TensorInfo* other = shards->container().find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    ASSERT_EQ(other->size_bytes, tensor.size_bytes);
    EXPECT_EQ(std::memcmp(shards->container().bytes(*other).data(),
                          whole->container().bytes(tensor).data(), tensor.size_bytes),
              0)
        << tensor.name;
    total += tensor.size_bytes;
  }
  const Json index = fixtures::read_json(scratch.path() / "two/model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_size"].integer(), static_cast<std::int64_t>(total));
  EXPECT_EQ(index["weight_map"].members().size(), whole->container().tensors().size());
}

// Files of `folder` and the tensors in each, as the headers say.
std::map<std::string, std::vector<std::string>> tensors_by_file(const fs::path& folder) {
  std::map<std::string, std::vector<std::string>> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto container = open_container(entry.path());
    EXPECT_TRUE(container.has_value());
    auto& names = files[entry.path().filename().string()];
    for (const TensorInfo& tensor : (*container)->tensors()) names.push_back(tensor.name);
  }
  return files;
}

class CutBySize : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(CutBySize, FilesStayBelowTheSizeAndHoldTheSameTensors) {
  const auto& [lane_name, kv_name] = GetParam();
  const fixtures::ScratchFolder scratch;
  const auto source = fixtures::open_checkpoint(fixtures::kCanary);
  const Lane lane = find_lane(lane_name).value();
  KvRounding kv;
  if (*kv_name != '\0') {
    kv = {.scheme = *find_kv_scheme(kv_name), .heads = source->graph()->config.kv_head_count};
    kv.key_scales.assign(64, 0.5F);
    kv.value_scales.assign(64, 0.25F);
  }
  ThreadPool pool(2);
  const auto write = [&](std::uint64_t bytes) {
    const fs::path out = scratch.path() / std::to_string(bytes);
    const QuantizeJob job{.source = *source,
                          .lane = lane,
                          .out = out,
                          .split = {.shard_bytes = bytes},
                          .kv = kv.any() ? &kv : nullptr};
    const auto done = run_quantize(job, pool, no_progress());
    EXPECT_TRUE(done.has_value()) << done.error().message();
    EXPECT_EQ(plan_quantize(job)->files, tensors_by_file(out).size());
    return fixtures::open_checkpoint(out);
  };
  const auto whole = write(0);
  EXPECT_EQ(tensors_by_file(scratch.path() / "0").size(), 1U);
  for (const std::uint64_t limit : {std::uint64_t{1500000}, std::uint64_t{3000000}}) {
    const auto cut = write(limit);
    const fs::path folder = scratch.path() / std::to_string(limit);
    const auto files = tensors_by_file(folder);
    EXPECT_GT(files.size(), 2U);
    EXPECT_FALSE(files.contains("model.safetensors"));
    std::size_t count = 0;
    const Json index = fixtures::read_json(folder / "model.safetensors.index.json");
    std::uint64_t total = 0;
    for (const auto& [file, names] : files) {
      EXPECT_FALSE(names.empty()) << file;
      // The embedding alone is larger.
      const std::uint64_t size = fs::file_size(folder / file);
      EXPECT_TRUE(size <= limit || names.size() == 1) << file << " " << size;
      count += names.size();
      for (const std::string& name : names)
        EXPECT_EQ(index["weight_map"][name].string(), file) << name;
    }
    EXPECT_EQ(count, index["weight_map"].members().size());
    ASSERT_EQ(cut->container().tensors().size(), whole->container().tensors().size());
    for (const TensorInfo& tensor : whole->container().tensors()) {
      const TensorInfo* other = cut->container().find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_EQ(other->shape, tensor.shape);
      EXPECT_TRUE(
          std::ranges::equal(cut->container().bytes(*other), whole->container().bytes(tensor)))
          << tensor.name;
      total += tensor.size_bytes;
    }
    EXPECT_EQ(index["metadata"]["total_size"].integer(), static_cast<std::int64_t>(total));
    // Two neighbours would not fit into one file, where headers are as long as they may be.
    for (auto it = files.begin(); std::next(it) != files.end(); ++it)
      EXPECT_GT(fs::file_size(folder / it->first) + fs::file_size(folder / std::next(it)->first),
                limit - 20000);
  }
}

INSTANTIATE_TEST_SUITE_P(Lanes, CutBySize,
                         testing::Values(std::pair{"bf16", ""}, std::pair{"fp8", "fp8_head"},
                                         std::pair{"awq+rtn", ""}));

// Also where the Linears of the source are parts of other names, or blocks.
TEST(ShardedFolder, KeepsTheShardsOfAQuantizedSource) {
  const fixtures::ScratchFolder scratch;
  const auto source = fixtures::open_checkpoint(fixtures::kCanary);
  ThreadPool pool(2);
  const auto write = [&](const Checkpoint& from, const char* lane_name, std::uint64_t bytes) {
    const Lane lane = find_lane(lane_name).value();
    const fs::path out = scratch.path() / (std::string(lane_name) + std::to_string(bytes));
    const auto done =
        run_quantize({.source = from, .lane = lane, .out = out, .split = {.shard_bytes = bytes}},
                     pool, no_progress());
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return out;
  };
  for (const char* name : {"fp8", "gptq+rtn"}) {
    const fs::path cut = write(*source, name, 1500000);
    const auto before = tensors_by_file(cut);
    ASSERT_GT(before.size(), 2U);
    const auto after = tensors_by_file(write(*fixtures::open_checkpoint(cut), "bf16", 0));
    EXPECT_EQ(after.size(), before.size()) << name;
    for (const auto& [file, names] : after) {
      ASSERT_TRUE(before.contains(file)) << file;
      for (const std::string& tensor : names) {
        const std::string module = module_of(tensor) + ".";
        EXPECT_TRUE(std::ranges::any_of(
            before.at(file), [&](const std::string& part) { return part.starts_with(module); }))
            << file << tensor;
      }
    }
    fs::remove_all(scratch.path() / "bf160");
  }
}

// Files whose tensors all go elsewhere are not written.
TEST(ShardedFolder, FilesOfItemsAreNumberedWithoutGaps) {
  std::vector<FolderItem> items(3);
  for (std::size_t i = 0; i < items.size(); ++i)
    items[i].shard = static_cast<std::uint32_t>(7 - 3 * i);  // 7, 4, 1
  close_gaps(items);
  EXPECT_EQ(items[0].shard, 2U);
  EXPECT_EQ(items[1].shard, 1U);
  EXPECT_EQ(items[2].shard, 0U);
}

TEST(ShardedFolder, ATensorThatIsLargerThanTheSizeIsNamed) {
  const auto source = fixtures::open_checkpoint(fixtures::kCanary);
  const Lane lane = find_lane("fp8").value();
  const auto notices = [&](std::uint64_t bytes) {
    return plan_quantize({.source = *source, .lane = lane, .split = {.shard_bytes = bytes}})
        ->notices;
  };
  EXPECT_THAT(notices(600000),
              testing::Contains(testing::AllOf(testing::HasSubstr("--shard-size"),
                                               testing::HasSubstr("model.embed_tokens.weight"))));
  EXPECT_THAT(notices(std::uint64_t{1} << 30), testing::IsEmpty());
}

TEST(ShardedFolder, IsPutTogetherWhereTheSizeAllowsIt) {
  const fixtures::ScratchFolder scratch;
  const fs::path two = scratch.path() / "source";
  fs::create_directories(two);
  write_two_shards(fixtures::EditableCheckpoint::read(fixtures::model_data("llama")), two);
  const auto source = fixtures::open_checkpoint(two);
  const Lane lane = find_lane("f32").value();
  ThreadPool pool(2);
  QuantizeJob job{.source = *source,
                  .lane = lane,
                  .out = scratch.path() / "one",
                  .split = {.shard_bytes = std::uint64_t{1} << 40}};
  ASSERT_TRUE(run_quantize(job, pool, no_progress()).has_value());
  EXPECT_EQ(tensors_by_file(job.out).size(), 1U);
  EXPECT_TRUE(fs::exists(job.out / "model.safetensors"));
  EXPECT_FALSE(fs::exists(job.out / "model.safetensors.index.json"));
}

TEST(ShardedFolder, IsNotCutIntoMoreFilesThanCanBeOpen) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Lane lane = find_lane("bf16").value();
  const QuantizeJob job{.source = *source, .lane = lane, .split = {.shard_bytes = 1}};
  const TensorInfo& norm = *source->container().find("model.norm.weight");
  const FolderItem item{
      .name = norm.name, .shard = 7, .weight = {}, .raw = &norm, .shape = norm.shape};
  std::vector<FolderItem> items(512, item);
  std::vector<std::string> notices;
  ASSERT_TRUE(cut_by_size(job, items, notices).has_value());
  EXPECT_EQ(items.front().shard, 0U);
  EXPECT_EQ(items.back().shard, 511U);
  items.push_back(item);
  const auto refused = cut_by_size(job, items, notices);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace quantlane
