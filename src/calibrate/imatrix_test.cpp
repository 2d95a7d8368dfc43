// Both file formats of importance matrices, against files of llama-imatrix and damaged ones.
#include "calibrate/imatrix.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include <gmock/gmock.h>

#include "containers/container.h"
#include "core/rng.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using fixtures::ScratchFolder;
using testing::HasSubstr;

fs::path committed(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR "/tests/data/containers/gguf") / name;
}

// Compared without gtest's printing of both files.
bool same_bytes(const fs::path& a, const fs::path& b) {
  const auto first = read_text(a);
  const auto second = read_text(b);
  return first && second && *first == *second;
}

Imatrix read(const fs::path& path) {
  auto imatrix = read_imatrix(path);
  if (!imatrix) ADD_FAILURE() << imatrix.error().message();
  return std::move(imatrix).value_or(Imatrix{});
}

// An exact heap copy, so that the address sanitizer sees each byte read beyond the end.
Result<Imatrix> parse(const std::string& bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  const auto file = std::as_bytes(std::span(copy));
  return imatrix_format_of(file).parse(file, "damaged");
}

Imatrix two_weights(std::int64_t chunk_size) {
  Imatrix imatrix;
  imatrix.entries["a.weight"] = {.sums = {2, 4, 6}, .counts = {2}};
  imatrix.entries["b.weight"] = {.sums = {1, 2, 3, 4}, .counts = {4}};
  imatrix.datasets = {"first.txt"};
  imatrix.chunk_size = chunk_size;
  imatrix.chunk_count = chunk_size == 0 ? 4 : 4 / chunk_size;
  return imatrix;
}

// ---- llama-imatrix's own files ----------------------------------------------------------------

TEST(Imatrix, ReadsWhatLlamaImatrixWrites) {
  const Imatrix imatrix = read(committed("imatrix.gguf"));
  EXPECT_EQ(imatrix.entries.size(), 14U);
  EXPECT_EQ(imatrix.datasets, std::vector<std::string>{"cal6k.txt"});
  EXPECT_EQ(imatrix.chunk_count, 24);
  EXPECT_EQ(imatrix.chunk_size, 128);
  const ImatrixEntry& key = imatrix.entries.at("blk.0.attn_k.weight");
  ASSERT_EQ(key.sums.size(), 256U);
  EXPECT_EQ(key.counts, std::vector<std::int64_t>{3072});
  // The first sums of the fixture's dump, made with gguf-py.
  EXPECT_EQ(key.sums[0], 2250.172607421875);
  EXPECT_EQ(key.sums[1], 1749.0245361328125);
  EXPECT_EQ(imatrix.entries.at("blk.0.ffn_down.weight").sums.size(), 512U);
}

TEST(Imatrix, ReadsTheFirstFormat) {
  const Imatrix imatrix = read(committed("imatrix.dat"));
  EXPECT_EQ(imatrix.entries.size(), 14U);
  EXPECT_EQ(imatrix.datasets, std::vector<std::string>{"cal6k.txt"});
  EXPECT_EQ(imatrix.chunk_count, 6);
  EXPECT_EQ(imatrix.chunk_size, 0);
  const ImatrixEntry& key = imatrix.entries.at("blk.0.attn_k.weight");
  EXPECT_EQ(key.counts, std::vector<std::int64_t>{6});
  EXPECT_EQ(key.sums[0], 4.39486837387085);
  // Both files hold the same importances, up to the rounding of the conversion.
  const Imatrix other = read(committed("imatrix.gguf"));
  for (const auto& [name, entry] : imatrix.entries) {
    const auto got = entry.means();
    const auto want = other.entries.at(name).means();
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-7F * want[i]);
  }
}

TEST(Imatrix, WritesTheSameBytesAgain) {
  const ScratchFolder scratch;
  for (const std::string name : {"imatrix.gguf", "imatrix.dat"}) {
    const Imatrix imatrix = read(committed(name));
    ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / name).has_value());
    EXPECT_TRUE(same_bytes(scratch.path() / name, committed(name))) << name;
  }
}

// llama-imatrix made the .dat from the GGUF file with its default chunks of 512.
TEST(Imatrix, ConvertsToTheBytesOfLlamaImatrix) {
  const ScratchFolder scratch;
  Imatrix imatrix = read(committed("imatrix.gguf"));
  imatrix.set_chunk_size(512);
  EXPECT_EQ(imatrix.chunk_count, 6);
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "out.dat").has_value());
  EXPECT_TRUE(same_bytes(scratch.path() / "out.dat", committed("imatrix.dat")));
}

TEST(Imatrix, GgufOfADatCountsTokensOfDefaultChunks) {
  const ScratchFolder scratch;
  const Imatrix imatrix = read(committed("imatrix.dat"));
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "out.gguf").has_value());
  const Imatrix back = read(scratch.path() / "out.gguf");
  EXPECT_EQ(back.chunk_size, kImatrixChunk);
  EXPECT_EQ(back.chunk_count, 6);
  for (const auto& [name, entry] : imatrix.entries) {
    EXPECT_EQ(back.entries.at(name).counts, std::vector<std::int64_t>{3072});
    EXPECT_EQ(back.entries.at(name).means(), entry.means()) << name;
  }
}

// ---- what either format keeps -----------------------------------------------------------------

TEST(Imatrix, KeepsExpertsApart) {
  const ScratchFolder scratch;
  Imatrix imatrix = two_weights(2);
  imatrix.entries["x_exps.weight"] = {.sums = {1, 2, 3, 4, 0, 0}, .counts = {1, 2, 0}};
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "e.gguf").has_value());
  const Imatrix back = read(scratch.path() / "e.gguf");
  const ImatrixEntry& experts = back.entries.at("x_exps.weight");
  EXPECT_EQ(experts.sums, (std::vector<double>{1, 2, 3, 4, 0, 0}));
  EXPECT_EQ(experts.counts, (std::vector<std::int64_t>{1, 2, 0}));
  // Unseen experts count as 1, as llama-quantize has it.
  EXPECT_EQ(experts.means(), (std::vector<float>{1, 2, 1.5F, 2, 1, 1}));
  const auto container = open_container(scratch.path() / "e.gguf");
  ASSERT_TRUE(container.has_value());
  EXPECT_EQ((*container)->find("x_exps.weight.in_sum2")->shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ((*container)->find("x_exps.weight.counts")->shape, (std::vector<std::int64_t>{3, 1}));

  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "e.dat").has_value());
  const Imatrix dat = read(scratch.path() / "e.dat");
  EXPECT_EQ(dat.entries.at("x_exps.weight").means(), (std::vector<float>{1, 2, 1.5F, 2, 1, 1}));
}

TEST(Imatrix, DatLeavesOutWhatWasNeverSeen) {
  const ScratchFolder scratch;
  Imatrix imatrix = two_weights(2);
  imatrix.entries["unseen.weight"] = {.sums = {0, 0}, .counts = {0}};
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "u.dat").has_value());
  EXPECT_EQ(read(scratch.path() / "u.dat").entries.size(), 2U);
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "u.gguf").has_value());
  EXPECT_EQ(read(scratch.path() / "u.gguf").entries.size(), 3U);
}

TEST(Imatrix, RandomMatricesSurviveBothFormats) {
  const ScratchFolder scratch;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    Imatrix imatrix;
    imatrix.chunk_size = 1 + static_cast<std::int64_t>(seed * 37 % 512);
    for (int i = 0; i < 3; ++i) {
      ImatrixEntry& entry = imatrix.entries["w" + std::to_string(i)];
      entry.counts = {1 + static_cast<std::int64_t>(seed * 1009)};
      for (int c = 0; c < 33; ++c)
        entry.sums.push_back(static_cast<double>(static_cast<float>(std::exp(4 * rng.normal()))));
    }
    ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "r.gguf").has_value());
    const Imatrix back = read(scratch.path() / "r.gguf");
    ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "r.dat").has_value());
    const Imatrix dat = read(scratch.path() / "r.dat");
    for (const auto& [name, entry] : imatrix.entries) {
      EXPECT_EQ(back.entries.at(name).sums, entry.sums) << seed;
      EXPECT_EQ(back.entries.at(name).counts, entry.counts) << seed;
      const auto got = dat.entries.at(name).means();
      const auto want = entry.means();
      for (std::size_t c = 0; c < want.size(); ++c)
        ASSERT_NEAR(got[c], want[c], 3e-7F * want[c]) << "seed " << seed;
    }
    ASSERT_TRUE(write_imatrix(dat, scratch.path() / "again.dat").has_value());
    EXPECT_TRUE(same_bytes(scratch.path() / "again.dat", scratch.path() / "r.dat")) << seed;
  }
}

TEST(Imatrix, RefusesOtherExtensions) {
  const auto refused = write_imatrix(two_weights(2), "matrix.bin");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message(), HasSubstr(".gguf or .dat"));
}

TEST(Imatrix, RefusesSumsBeyondFloat) {
  const ScratchFolder scratch;
  Imatrix imatrix = two_weights(1);
  imatrix.entries["a.weight"].sums[1] = 1e39;
  imatrix.entries["a.weight"].counts = {1};
  for (const char* name : {"x.gguf", "x.dat"}) {
    const auto refused = write_imatrix(imatrix, scratch.path() / name);
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().tensor, "a.weight");
    EXPECT_FALSE(fs::exists(scratch.path() / name));
  }
}

// ---- merging ------------------------------------------------------------------------------------

TEST(Imatrix, MergesByAddition) {
  Imatrix a = two_weights(2);
  Imatrix b = two_weights(2);
  b.entries.erase("b.weight");
  b.entries["c.weight"] = {.sums = {7}, .counts = {8}};
  b.datasets = {"second.txt"};
  ASSERT_TRUE(a.merge(b, "b").has_value());
  EXPECT_EQ(a.entries.at("a.weight").sums, (std::vector<double>{4, 8, 12}));
  EXPECT_EQ(a.entries.at("a.weight").counts, std::vector<std::int64_t>{4});
  EXPECT_EQ(a.entries.at("b.weight").sums, (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(a.entries.at("c.weight").sums, std::vector<double>{7});
  EXPECT_EQ(a.datasets, (std::vector<std::string>{"first.txt", "second.txt"}));
  EXPECT_EQ(a.chunk_count, 4);  // 8 tokens of c in chunks of 2
}

TEST(Imatrix, MergingWithAFileOfUnknownChunksTakesTheKnownSize) {
  for (const bool known_first : {true, false}) {
    Imatrix a = two_weights(known_first ? 2 : 0);
    ASSERT_TRUE(a.merge(two_weights(known_first ? 0 : 2), "b").has_value());
    EXPECT_EQ(a.chunk_size, 2);
    // 2 tokens, and 2 chunks of 2 tokens.
    EXPECT_EQ(a.entries.at("a.weight").counts, std::vector<std::int64_t>{6});
    EXPECT_EQ(a.entries.at("a.weight").sums, (std::vector<double>{6, 12, 18}));
  }
  Imatrix unknown = two_weights(0);
  ASSERT_TRUE(unknown.merge(two_weights(0), "b").has_value());
  EXPECT_EQ(unknown.chunk_size, 0);
  EXPECT_EQ(unknown.chunk_count, 8);
}

TEST(Imatrix, MergingSpreadsASingleCountOverExperts) {
  for (const bool single_first : {true, false}) {
    Imatrix a = two_weights(2);
    Imatrix b = two_weights(2);
    (single_first ? b : a).entries["b.weight"].counts = {1, 3};
    ASSERT_TRUE(a.merge(b, "b").has_value());
    EXPECT_EQ(a.entries.at("b.weight").counts, (std::vector<std::int64_t>{5, 7}));
  }
}

TEST(Imatrix, RefusesToMergeOtherWidths) {
  Imatrix a = two_weights(2);
  Imatrix wider = two_weights(2);
  wider.entries["b.weight"].sums.push_back(1);
  Imatrix experts = two_weights(2);
  a.entries["b.weight"].counts = {1, 1};
  experts.entries["b.weight"].counts = {1, 1, 1, 1};
  for (const Imatrix& other : {wider, experts}) {
    const auto refused = a.merge(other, "other.gguf");
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(refused.error().file, "other.gguf");
    EXPECT_EQ(refused.error().tensor, "b.weight");
    EXPECT_EQ(a.entries.at("a.weight").sums, (std::vector<double>{2, 4, 6}));
  }
}

// ---- damaged files ------------------------------------------------------------------------------

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string dat_entry(const std::string& name, int chunks, int count, float value) {
  std::string bytes = raw(static_cast<int>(name.size())) + name + raw(chunks) + raw(count);
  for (int i = 0; i < count; ++i) bytes += raw(value);
  return bytes;
}

TEST(ImatrixDat, ReadsFilesWithoutATrailerAndWithoutChunks) {
  const auto plain = parse(raw(1) + dat_entry("w", 3, 2, 6.0F));
  ASSERT_TRUE(plain.has_value()) << plain.error().message();
  EXPECT_EQ(plain->chunk_count, 3);
  EXPECT_EQ(plain->entries.at("w").means(), (std::vector<float>{2, 2}));
  const auto none = parse(raw(1) + dat_entry("w", 0, 2, 6.0F) + raw(0) + raw(0));
  ASSERT_TRUE(none.has_value()) << none.error().message();
  EXPECT_EQ(none->entries.at("w").means(), (std::vector<float>{6, 6}));
  EXPECT_TRUE(none->datasets.empty());
  EXPECT_EQ(none->uncounted, 1);
  EXPECT_EQ(plain->uncounted, 0);
}

TEST(ImatrixDat, RefusesEveryKindOfDamage) {
  const std::string good = raw(1) + dat_entry("w", 3, 2, 6.0F) + raw(3) + raw(1) + "t";
  ASSERT_TRUE(parse(good).has_value());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string& bytes :
       {std::string(), raw(0), raw(-1), raw(1 << 30), good + "x",
        raw(2) + dat_entry("w", 3, 2, 1) + dat_entry("w", 3, 2, 1), raw(1) + dat_entry("", 3, 2, 1),
        raw(1) + dat_entry("w", -1, 2, 1), raw(1) + dat_entry("w", 3, 0, 1),
        raw(1) + dat_entry("w", 3, 2, nan), raw(1) + dat_entry("w", 3, 2, -1),
        raw(1) + raw(1) + "w" + raw(3) + raw(1 << 30), raw(1) + raw(-5) + "wwwwwwwwwwwwwwwwwwwwwww",
        raw(1) + raw(1 << 30) + dat_entry("w", 1, 1, 1),
        raw(1) + dat_entry("w", 3, 2, 6) + raw(-1) + raw(0),
        raw(1) + dat_entry("w", 3, 2, 6) + raw(1) + raw(9) + "t"}) {
    const auto refused = parse(bytes);
    ASSERT_FALSE(refused.has_value()) << testing::PrintToString(bytes);
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(refused.error().file, "damaged");
  }
  // The trailer may be absent as a whole, but not in parts.
  const std::size_t trailer = good.size() - 9;
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(parse(good.substr(0, size)).has_value(), size == trailer) << size;
}

// Writes a GGUF file from changed parts of a good one.
struct GgufParts {
  Metadata metadata;
  std::vector<PlannedTensor> plan = {
      {.name = "w.in_sum2", .type = {}, .shape = {2}},
      {.name = "w.counts", .type = {}, .shape = {1}},
  };
  std::vector<std::vector<float>> data = {{3, 4}, {5}};
  GgufParts() {
    metadata.set("general.type", std::string("imatrix"));
    metadata.set("imatrix.datasets", std::vector<std::string>{"t"});
    metadata.set("imatrix.chunk_count", std::uint32_t{1});
    metadata.set("imatrix.chunk_size", std::uint32_t{5});
  }
  [[nodiscard]] Result<Imatrix> read_back() const {
    const ScratchFolder scratch;
    const fs::path path = scratch.path() / "x.gguf";
    auto writer = create_gguf(path, plan, metadata);
    EXPECT_TRUE(writer.has_value());
    for (std::size_t i = 0; i < data.size(); ++i)
      EXPECT_TRUE((*writer)->write(i, std::as_bytes(std::span(data[i]))).has_value());
    EXPECT_TRUE((*writer)->commit().has_value());
    return read_imatrix(path);
  }
};

TEST(ImatrixGguf, RefusesEveryKindOfDamage) {
  ASSERT_TRUE(GgufParts().read_back().has_value());
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<const char*, std::function<void(GgufParts&)>>> damages = {
      {"general.type", [](auto& p) { p.metadata.set("general.type", std::string("model")); }},
      {"general.type", [](auto& p) { p.metadata.erase("general.type"); }},
      {"imatrix.datasets", [](auto& p) { p.metadata.erase("imatrix.datasets"); }},
      {"imatrix.chunk_count", [](auto& p) { p.metadata.erase("imatrix.chunk_count"); }},
      {"imatrix.chunk_size", [](auto& p) { p.metadata.erase("imatrix.chunk_size"); }},
      {"imatrix.chunk_size", [](auto& p) { p.metadata.set("imatrix.chunk_size", 0U); }},
      {"imatrix.chunk_size", [](auto& p) { p.metadata.set("imatrix.chunk_size", 1U << 25); }},
      {"other", [](auto& p) { p.plan[1].name = "other.counts"; }},
      {"w.counts", [](auto& p) { p.plan[1].type.plain = DType::kI32; }},
      {"w", [](auto& p) { p.plan[1].shape = {3}, p.data[1] = {1, 1, 1}; }},
      {"w", [](auto& p) { p.plan[0].shape = {2, 1}; }},
      {"w", [](auto& p) { p.plan[1].shape = {2}, p.data[1] = {1, 1}; }},
      {"w.counts", [](auto& p) { p.data[1] = {-1}; }},
      {"w.counts", [inf](auto& p) { p.data[1] = {inf}; }},
      {"w.counts", [](auto& p) { p.data[1] = {1e30F}; }},
      {"w", [inf](auto& p) { p.data[0] = {1, inf}; }},
      {"w", [](auto& p) { p.data[0] = {-1, 1}; }},
      {"", [](auto& p) { p.plan.clear(), p.data.clear(); }},
  };
  for (const auto& [name, damage] : damages) {
    GgufParts parts;
    damage(parts);
    const auto refused = parts.read_back();
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt) << name;
    EXPECT_EQ(refused.error().tensor, name);
    EXPECT_THAT(refused.error().file, HasSubstr("x.gguf"));
  }
}

TEST(ImatrixGguf, CutFilesAreRefused) {
  const std::string good = read_text(committed("imatrix.gguf")).value_or("");
  ASSERT_TRUE(parse(good).has_value());
  for (std::size_t size = 0; size + 32 < good.size(); size += 97)
    EXPECT_FALSE(parse(good.substr(0, size)).has_value()) << size;
}

}  // namespace
}  // namespace quantlane
