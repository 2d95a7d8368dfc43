// Importance matrices as llama.cpp's tools exchange them: for every weight the sums of the squares
// of its input columns, and over how many tokens. One file and one row in imatrix.cpp each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/replacing.h"
#include "quantlane/result.h"

namespace quantlane {

// llama-imatrix's context, which stands in where a file does not say how long its chunks were.
inline constexpr std::int64_t kImatrixChunk = 512;

struct ImatrixEntry {
  // [matrices, cols]: one matrix for a Linear, one for each of stacked experts.
  std::vector<double> sums;
  // Tokens that each matrix saw; a single number may stand for all matrices (.dat has no other).
  std::vector<std::int64_t> counts;

  // Of one matrix by that number of counts; [matrices, cols] divides evenly.
  [[nodiscard]] std::size_t values_per_count() const { return sums.size() / counts.size(); }
  [[nodiscard]] std::int64_t max_count() const;
  // Mean square of each input, shaped as `sums`; 1 where nothing was seen (as llama-quantize).
  [[nodiscard]] std::vector<float> means() const;
};

struct Imatrix {
  std::map<std::string, ImatrixEntry, std::less<>> entries;  // "blk.0.attn_q.weight" -> entry
  std::vector<std::string> datasets;                         // paths of the texts
  std::int64_t chunk_count = 0;
  // Tokens per chunk. 0: not known (.dat); counts are numbers of chunks then, and sums means of
  // squares times them.
  std::int64_t chunk_size = 0;
  // Entries of a file that says 0 chunks of them and has means; their count is 1.
  std::int64_t uncounted = 0;

  // The most that an entry saw; 0 where chunk sizes are not known.
  [[nodiscard]] std::int64_t tokens() const;
  // Counts chunks of `tokens` (1..2^24) from now on; where the size was not known, it is taken to
  // have been this.
  void set_chunk_size(std::int64_t tokens);
  // Adds everything of `other`, whose counts are converted where only one knows its chunk size.
  // kInvalidArgument names the first entry of another width (`origin`: where `other` is from);
  // *this is unchanged then.
  Result<void> merge(Imatrix other, const std::string& origin);
};

struct ImatrixFormat {
  std::string_view name;       // "gguf"
  std::string_view extension;  // ".gguf"
  bool states_chunk_size;      // writers take kImatrixChunk where it is not known
  bool (*recognises)(std::span<const std::byte> file);
  // kCorrupt: what the grammar or the file's size rules out, sums that are negative or not finite,
  // negative counts, no entries.
  Result<Imatrix> (*parse)(std::span<const std::byte> file, const std::string& origin);
  // The file appears in one step; `may_replace` as AtomicFile::create() has it. kUnsupported for
  // sums that float32 does not hold.
  Result<void> (*write)(const Imatrix& imatrix, const std::filesystem::path& path,
                        ReplaceCheck may_replace);
};
// The format of these bytes: the first row that recognises them.
const ImatrixFormat& imatrix_format_of(std::span<const std::byte> file);

Result<Imatrix> read_imatrix(const std::filesystem::path& path);
// In the format of the extension; kUsage lists the extensions.
Result<void> write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path);
// The check of write_imatrix() alone, to be asked before long work.
Result<const ImatrixFormat*> imatrix_format_for(const std::filesystem::path& path);

// Both parsers end with this: every sum finite and not negative, at least one entry.
Result<Imatrix> checked_imatrix(Imatrix imatrix, const std::string& origin);

extern const ImatrixFormat kImatrixGguf;
extern const ImatrixFormat kImatrixDat;

}  // namespace quantlane
