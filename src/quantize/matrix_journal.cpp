#include "quantize/matrix_journal.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/check.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/output_path.h"
#include "core/placing.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

// Files are called JOB.settings and JOB-MATRIX.matrix, either part a hash; ".partial-…" behind it
// while they are written.
constexpr std::string_view kSettings = ".settings";
constexpr std::string_view kMatrix = ".matrix";
constexpr std::string_view kPartial = ".partial-";
constexpr std::size_t kHashBytes = 32;  // hex digits before the bytes that they are of
constexpr std::size_t kJobDigits = 16;

std::string hash_of(std::string_view settings, std::string_view name,
                    std::span<const std::byte> bytes) {
  ContentHash hash;
  hash.add(settings);
  hash.add(name);
  hash.add(bytes);
  return hash.hex();
}

Error refused(const fs::path& folder, std::string found) {
  return invalid("resuming a quantization")
      .in(folder.string())
      .expects("a folder that an interrupted quantlane left, or none")
      .got(std::move(found))
      .advise("move it away, or write the artefact elsewhere");
}

struct EntryName {
  std::string job;
  bool matrix = false;   // else settings
  bool partial = false;  // what a killed process was writing
};

bool is_hash(std::string_view text, std::size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// nullopt where no journal calls its files so.
std::optional<EntryName> parse_name(std::string_view name) {
  EntryName entry;
  if (const std::size_t at = name.find(kPartial); at != std::string_view::npos) {
    entry.partial = true;
    name = name.substr(0, at);
  }
  if (!is_hash(name.substr(0, kJobDigits), kJobDigits)) return std::nullopt;
  entry.job = name.substr(0, kJobDigits);
  name.remove_prefix(kJobDigits);
  entry.matrix = name.ends_with(kMatrix);
  if (!entry.matrix) return name == kSettings ? std::optional(entry) : std::nullopt;
  name.remove_suffix(kMatrix.size());
  const bool hashed = name.starts_with('-') && is_hash(name.substr(1), kHashBytes);
  return hashed ? std::optional(entry) : std::nullopt;
}

// What lies in a folder: the files of every job, and the first entry that belongs to none.
struct Listing {
  std::map<std::string, std::vector<fs::path>> jobs;
  std::string foreign;
};

Listing list_folder(const fs::path& spelled) {
  Listing listing;
  std::error_code code;
  if (!is_taken(spelled)) return listing;
  const fs::path folder = place_of(spelled);
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    const std::string name = it->path().filename().string();
    const auto entry = parse_name(name);
    std::error_code ignored;
    if (entry && it->symlink_status(ignored).type() == fs::file_type::regular) {
      listing.jobs[entry->job].push_back(it->path());
    } else if (listing.foreign.empty()) {
      listing.foreign = name;
    }
  }
  if (code && listing.foreign.empty()) listing.foreign = code.message();
  return listing;
}

bool is_matrix_file(const fs::path& file) { return file.extension() == kMatrix; }

// The bytes behind the hash; nullopt where they are not those that were put.
std::optional<std::span<const std::byte>> whole(const MappedFile& file, std::string_view settings,
                                                const fs::path& path) {
  const auto bytes = file.bytes();
  if (bytes.size() < kHashBytes) return std::nullopt;
  const std::string hash = hash_of(settings, path.stem().string(), bytes.subspan(kHashBytes));
  if (std::memcmp(bytes.data(), hash.data(), kHashBytes) != 0) return std::nullopt;
  return bytes.subspan(kHashBytes);
}

std::string text_of(const JobSettings& settings) {
  std::string text;
  for (const auto& [what, value] : settings) text += what + ": " + value + "\n";
  return text;
}

// The first setting that the job of the file has otherwise: "calibration text", "lane: fp8+gptq".
std::string difference(const fs::path& file, const JobSettings& settings) {
  const auto text = read_text(file);
  if (!text) return "they cannot be read";
  for (const auto& [what, value] : settings) {
    const std::size_t at = ("\n" + *text).find("\n" + what + ": ");
    if (at == std::string::npos) return what;
    const std::size_t begin = at + what.size() + 2;
    const std::string theirs = text->substr(begin, text->find('\n', begin) - begin);
    if (theirs == value) continue;
    return what + (is_hash(theirs, kHashBytes) ? "" : ": " + theirs);
  }
  return "more of them";
}

// Valid while this process alone is at work; not where another one is (`in_use`), or where
// there is no file or the file system knows no locks.
Descriptor lock_file(const fs::path& file, bool& in_use) {
  return lock_alone(Descriptor(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)), in_use);
}

// Codes of up to 4 bits, two in a byte.
std::vector<std::byte> pack_codes(const QuantTensor& tensor) {
  const std::size_t count = tensor.codes.size();
  if (tensor.scheme.bits > 4) {
    const auto bytes = std::as_bytes(std::span(tensor.codes));
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::byte> packed((count + 1) / 2);
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = static_cast<unsigned>(tensor.codes[i]) & 15U;
    packed[i / 2] |= static_cast<std::byte>(code << (4 * (i % 2)));
  }
  return packed;
}

void unpack_codes(std::span<const std::byte> packed, QuantTensor& tensor) {
  if (tensor.scheme.bits > 4) {
    std::memcpy(tensor.codes.data(), packed.data(), packed.size());
    return;
  }
  const bool is_signed = tensor.scheme.type == ValueType::kInt && tensor.scheme.symmetric;
  for (std::size_t i = 0; i < tensor.codes.size(); ++i) {
    const int code = std::to_integer<int>(packed[i / 2] >> (4 * (i % 2))) & 15;
    tensor.codes[i] = static_cast<std::int8_t>(is_signed && code > 7 ? code - 16 : code);
  }
}

std::size_t packed_size(const QuantTensor& tensor) {
  return tensor.scheme.bits > 4 ? tensor.codes.size() : (tensor.codes.size() + 1) / 2;
}

}  // namespace

fs::path MatrixJournal::folder_of(const fs::path& artefact) { return beside(artefact, ".resume"); }

Result<MatrixJournal> MatrixJournal::open(const fs::path& artefact, const JobSettings& settings) {
  MatrixJournal journal;
  journal.folder_ = folder_of(artefact);
  journal.settings_ = text_of(settings);
  journal.job_ = hash_of(journal.settings_, "", {}).substr(0, kJobDigits);
  const Listing listing = list_folder(journal.folder_);
  if (!listing.foreign.empty()) return fail(refused(journal.folder_, listing.foreign));
  for (const auto& [job, files] : listing.jobs) {
    if (job != journal.job_) {
      const auto matrices = static_cast<std::size_t>(std::ranges::count_if(files, is_matrix_file));
      journal.others_.push_back({job, matrices, difference(journal.settings_of(job), settings)});
      continue;
    }
    bool in_use = false;
    journal.lock_ = lock_file(journal.settings_of(job), in_use);
    if (in_use) return fail(refused(journal.folder_, "one that a running process works with"));
    for (const fs::path& file : files) {
      if (!is_matrix_file(file)) continue;
      const auto mapped = MappedFile::open(file);
      const bool found = mapped && whole(*mapped, journal.settings_, file);
      ++(found ? journal.left_ : journal.damaged_);
    }
  }
  return journal;
}

std::vector<std::string> MatrixJournal::notices() const {
  std::vector<std::string> lines;
  if (left_ > 0) {
    lines.push_back(
        fmt::format("going on from {} matrices that an interrupted run has left", left_));
  }
  if (damaged_ > 0) {
    lines.push_back(
        fmt::format("{} matrices in {} are made again: their bytes are not those that were written",
                    damaged_, folder_.string()));
  }
  for (const Other& other : others_) {
    if (other.matrices == 0) continue;
    lines.push_back(fmt::format(
        "{} matrices in {} are of no use here, as an interrupted run made them with other settings "
        "({}); they are removed when this artefact is done",
        other.matrices, folder_.string(), other.reason));
  }
  return lines;
}

fs::path MatrixJournal::settings_of(std::string_view job) const {
  return folder_ / (std::string(job) + std::string(kSettings));
}

fs::path MatrixJournal::file_of(std::string_view matrix) const {
  ContentHash hash;
  hash.add(matrix);
  return folder_ / (job_ + "-" + hash.hex() + std::string(kMatrix));
}

std::optional<std::vector<std::byte>> MatrixJournal::find(std::string_view matrix) const {
  const fs::path file = file_of(matrix);
  const auto mapped = MappedFile::open(file);
  const auto bytes = mapped ? whole(*mapped, settings_, file) : std::nullopt;
  if (!bytes) return std::nullopt;
  return std::vector<std::byte>(bytes->begin(), bytes->end());
}

// The folder and the settings, with which the job can be told from others.
Result<void> MatrixJournal::start() {
  const fs::path file = settings_of(job_);
  std::error_code code;
  if (lock_.valid() && fs::exists(file, code)) return {};
  QUANTLANE_TRY_VOID(write_text(file, settings_));
  bool in_use = false;
  lock_ = lock_file(file, in_use);
  return {};
}

// Not synced to disk: what a killed process has written stays.
Result<void> MatrixJournal::put(std::string_view matrix, std::span<const std::byte> bytes) {
  QUANTLANE_TRY_VOID(start());
  const fs::path target = file_of(matrix);
  fs::path temporary = target;
  temporary += std::string(kPartial) + std::to_string(::getpid());
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << hash_of(settings_, target.stem().string(), bytes);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code code;
  if (file) fs::rename(temporary, target, code);
  if (file && !code) return {};
  std::error_code ignored;
  fs::remove(temporary, ignored);
  return fail(io_error("keeping a quantized matrix to resume from")
                  .in(temporary.string())
                  .expects(fmt::format("room for {} bytes", bytes.size() + kHashBytes))
                  .got(code ? code.message() : "a failed write")
                  .advise("make room on the disk, or write the artefact to another one"));
}

bool MatrixJournal::find(std::string_view matrix, QuantTensor& tensor) const {
  const auto bytes = find(matrix);
  const std::size_t codes = packed_size(tensor);
  const std::size_t scales = tensor.scales.size() * sizeof(float);
  if (!bytes || bytes->size() != codes + scales + tensor.zeros.size() + sizeof(float)) return false;
  const std::byte* at = bytes->data();
  unpack_codes({at, codes}, tensor);
  std::memcpy(tensor.scales.data(), at += codes, scales);
  if (!tensor.zeros.empty()) std::memcpy(tensor.zeros.data(), at + scales, tensor.zeros.size());
  std::memcpy(&tensor.tensor_scale, at + scales + tensor.zeros.size(), sizeof(float));
  return true;
}

Result<void> MatrixJournal::put(std::string_view matrix, const QuantTensor& tensor) {
  QUANTLANE_CHECK(tensor.group_of_column.empty());
  std::vector<std::byte> bytes = pack_codes(tensor);
  const auto append = [&](std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
  };
  append(std::as_bytes(std::span(tensor.scales)));
  append(std::as_bytes(std::span(tensor.zeros)));
  append(std::as_bytes(std::span(&tensor.tensor_scale, 1)));
  return put(matrix, bytes);
}

void MatrixJournal::remove_job(std::string_view job) {
  const Listing listing = list_folder(folder_);
  const auto found = listing.jobs.find(std::string(job));
  if (found == listing.jobs.end()) return;
  std::error_code ignored;
  for (const fs::path& file : found->second) fs::remove(file, ignored);
  fs::remove(folder_, ignored);  // if nothing else is in it
}

void MatrixJournal::remove() { remove_job(job_); }

void MatrixJournal::remove_all() {
  for (const Other& other : others_) {
    bool in_use = false;
    const Descriptor lock = lock_file(settings_of(other.job), in_use);
    if (!in_use) remove_job(other.job);
  }
  remove();
}

}  // namespace quantlane
