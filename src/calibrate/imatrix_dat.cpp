// The first file format of llama.cpp's importance matrices (little endian, no magic):
//   i32 entries; each: i32 length, name, i32 chunks, i32 values, f32[values] = mean of squares *
//   chunks then, since 2024: i32 chunks, i32 length, name of the text
// Example: 0e 00 00 00 | 13 00 00 00 "blk.0.attn_k.weight" 06 00 00 00 00 01 00 00, 256 floats, …
// Source: tools/imatrix/imatrix.cpp (save_imatrix_legacy) and common/imatrix-loader.cpp of
// llama.cpp 0c1e57098. Chunk sizes and the counts of single experts are not in it.
#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "calibrate/imatrix.h"
#include "core/check.h"
#include "core/file.h"

namespace quantlane {
namespace {

constexpr std::uint64_t kMaxName = 4096;  // ggml's names have at most 63 bytes

Error refuse(const std::string& origin, std::uint64_t offset, std::string expected,
             std::string found) {
  return corrupt("reading an importance matrix (.dat)")
      .in(origin)
      .at(offset)
      .expects(std::move(expected))
      .got(std::move(found))
      .advise("the file is cut off, damaged, or no importance matrix");
}

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& origin)
      : file_(file), origin_(&origin) {}
  [[nodiscard]] std::uint64_t remaining() const { return file_.size() - position_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }

  Result<std::span<const std::byte>> take(std::uint64_t size, std::string_view what) {
    if (size > remaining()) {
      return fail(refuse(*origin_, position_, fmt::format("{} bytes of {}", size, what),
                         fmt::format("{} bytes before the end of the file", remaining())));
    }
    const auto bytes = file_.subspan(position_, size);
    position_ += size;
    return bytes;
  }
  // `count` (below 2^32) values of T.
  template <class T>
  Result<std::vector<T>> values(std::uint64_t count, std::string_view what) {
    QUANTLANE_TRY(const auto bytes, take(count * sizeof(T), what));
    std::vector<T> read(count);
    std::ranges::copy(bytes, std::as_writable_bytes(std::span(read)).begin());
    return read;
  }
  // An i32 within [least, most].
  Result<std::int64_t> number(std::int64_t least, std::uint64_t most, std::string_view what) {
    const std::uint64_t offset = position_;
    QUANTLANE_TRY(const auto read, values<std::int32_t>(1, what));
    if (read[0] >= least && static_cast<std::int64_t>(read[0]) <= static_cast<std::int64_t>(most))
      return read[0];
    return fail(refuse(*origin_, offset, fmt::format("{} within {}..{}", what, least, most),
                       std::to_string(read[0])));
  }
  Result<std::string> text(std::int64_t least, std::string_view what) {
    QUANTLANE_TRY(const std::int64_t size, number(least, std::min(kMaxName, remaining()), what));
    QUANTLANE_TRY(const auto bytes, take(static_cast<std::uint64_t>(size), what));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::span<const std::byte> file_;
  const std::string* origin_;
  std::uint64_t position_ = 0;
};

bool recognises(std::span<const std::byte>) { return true; }

Result<void> read_entry(Reader& reader, const std::string& origin, Imatrix& imatrix) {
  const std::uint64_t offset = reader.position();
  QUANTLANE_TRY(std::string name, reader.text(1, "the length of a name"));
  ImatrixEntry entry;
  constexpr auto kMost = std::numeric_limits<std::int32_t>::max();
  QUANTLANE_TRY(const std::int64_t chunks, reader.number(0, kMost, "a number of chunks"));
  // llama.cpp takes the values as means where files of 2023 say 0 chunks.
  entry.counts = {std::max<std::int64_t>(1, chunks)};
  imatrix.uncounted += chunks == 0 ? 1 : 0;
  QUANTLANE_TRY(const std::int64_t count,
                reader.number(1, reader.remaining() / sizeof(float), "a number of values"));
  QUANTLANE_TRY(const auto values,
                reader.values<float>(static_cast<std::uint64_t>(count), "values of an entry"));
  entry.sums.assign(values.begin(), values.end());
  if (!imatrix.entries.emplace(name, std::move(entry)).second) {
    return fail(refuse(origin, offset, "each weight once", "one twice").of(name));
  }
  return {};
}

Result<Imatrix> parse(std::span<const std::byte> file, const std::string& origin) {
  constexpr std::uint64_t kLeastEntry = 3 * sizeof(std::int32_t) + 1 + sizeof(float);
  Reader reader(file, origin);
  Imatrix imatrix;
  QUANTLANE_TRY(const std::int64_t entries,
                reader.number(1, file.size() / kLeastEntry, "a number of entries"));
  for (std::int64_t i = 0; i < entries; ++i)
    QUANTLANE_TRY_VOID(read_entry(reader, origin, imatrix));
  for (const auto& [name, entry] : imatrix.entries)
    imatrix.chunk_count = std::max(imatrix.chunk_count, entry.max_count());
  if (reader.remaining() > 0) {
    constexpr auto kMost = std::numeric_limits<std::int32_t>::max();
    QUANTLANE_TRY(imatrix.chunk_count, reader.number(0, kMost, "a number of chunks"));
    QUANTLANE_TRY(std::string dataset, reader.text(0, "the length of the text's name"));
    if (!dataset.empty()) imatrix.datasets.push_back(std::move(dataset));
  }
  if (reader.remaining() > 0) {
    return fail(refuse(origin, reader.position(), "the end of the file",
                       fmt::format("{} more bytes", reader.remaining())));
  }
  return checked_imatrix(std::move(imatrix), origin);
}

void append_number(std::int64_t value, std::string& out) {
  const auto number = static_cast<std::int32_t>(
      std::clamp<std::int64_t>(value, 0, std::numeric_limits<std::int32_t>::max()));
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void append_text(const std::string& text, std::string& out) {
  append_number(static_cast<std::int64_t>(text.size()), out);
  out += text;
}

// Float arithmetic in llama.cpp's order, so that the same sums give the same bytes.
float stored_value(const Imatrix& imatrix, double sum, std::int64_t count, std::int64_t chunks) {
  if (imatrix.chunk_size == 0) return static_cast<float>(sum);
  // What was never seen is stored as 1, the importance that it is given.
  const float mean = count == 0 ? 1.0F : static_cast<float>(sum) / static_cast<float>(count);
  return mean * static_cast<float>(chunks);
}

Result<void> append_entry(const Imatrix& imatrix, const std::string& name,
                          const ImatrixEntry& entry, std::string& out) {
  const std::int64_t size = std::max<std::int64_t>(1, imatrix.chunk_size);
  const std::int64_t chunks = (entry.max_count() + size - 1) / size;
  append_text(name, out);
  append_number(chunks, out);
  append_number(static_cast<std::int64_t>(entry.sums.size()), out);
  for (std::size_t i = 0; i < entry.sums.size(); ++i) {
    const float value =
        stored_value(imatrix, entry.sums[i], entry.counts[i / entry.values_per_count()], chunks);
    if (!(value <= std::numeric_limits<float>::max())) {
      return fail(unsupported("writing an importance matrix (.dat)")
                      .of(name)
                      .expects("sums within float32")
                      .got(std::to_string(entry.sums[i])));
    }
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return {};
}

Result<void> write(const Imatrix& imatrix, const std::filesystem::path& path,
                   ReplaceCheck may_replace) {
  const auto seen = std::ranges::count_if(
      imatrix.entries, [](const auto& entry) { return entry.second.max_count() > 0; });
  std::string out;
  append_number(seen, out);
  for (const auto& [name, entry] : imatrix.entries) {
    if (entry.max_count() > 0) QUANTLANE_TRY_VOID(append_entry(imatrix, name, entry, out));
  }
  append_number(imatrix.chunk_count, out);
  append_text(imatrix.datasets.empty() ? std::string() : imatrix.datasets.back(), out);
  return write_text(path, out, std::move(may_replace));
}

}  // namespace

constinit const ImatrixFormat kImatrixDat = {.name = "dat",
                                             .extension = ".dat",
                                             .states_chunk_size = false,
                                             .recognises = recognises,
                                             .parse = parse,
                                             .write = write};

}  // namespace quantlane
