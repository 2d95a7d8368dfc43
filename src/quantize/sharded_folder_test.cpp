// A checkpoint in two shards becomes an artefact in two shards with the same tensors as from one.
#include <cstring>

#include "model/checkpoint_fixtures.h"
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

}  // namespace
}  // namespace quantlane
