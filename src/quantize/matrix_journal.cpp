#include "quantize/matrix_journal.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/hash.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kKeyFile = "key";
constexpr std::string_view kSuffix = ".matrix";
constexpr std::size_t kHashBytes = 32;  // hex digits before the bytes that they are of

std::string hash_of(std::string_view key, std::string_view matrix,
                    std::span<const std::byte> bytes) {
  ContentHash hash;
  hash.add(key);
  hash.add(matrix);
  hash.add(bytes);
  return hash.hex();
}

Error foreign(const fs::path& folder, std::string found) {
  return invalid("resuming a quantization")
      .in(folder.string())
      .expects("a folder that an interrupted quantlane left, or none")
      .got(std::move(found))
      .advise("move it away, or write the artefact elsewhere");
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

Result<MatrixJournal> MatrixJournal::open(const fs::path& artefact, std::string key) {
  MatrixJournal journal;
  journal.folder_ = artefact;
  journal.folder_ += ".resume";
  journal.key_ = std::move(key);
  std::error_code code;
  if (fs::exists(journal.folder_, code)) {
    const auto last = read_text(journal.folder_ / kKeyFile);
    if (!last) return fail(foreign(journal.folder_, "something without a readable key"));
    std::size_t files = 0;
    for (const auto& entry : fs::directory_iterator(journal.folder_, code)) {
      const std::string name = entry.path().filename().string();
      if (name != kKeyFile && !name.starts_with(std::string(kKeyFile) + ".") &&
          name.find(kSuffix) == std::string::npos) {
        return fail(foreign(journal.folder_, name));
      }
      files += name.ends_with(kSuffix) ? 1U : 0U;
    }
    if (*last == journal.key_) {
      journal.left_ = files;
      return journal;
    }
    fs::remove_all(journal.folder_, code);
  }
  fs::create_directories(journal.folder_, code);
  QUANTLANE_TRY_VOID(write_text(journal.folder_ / kKeyFile, journal.key_));
  return journal;
}

fs::path MatrixJournal::file_of(std::string_view matrix) const {
  ContentHash hash;
  hash.add(matrix);
  return folder_ / (hash.hex() + std::string(kSuffix));
}

std::optional<std::vector<std::byte>> MatrixJournal::find(std::string_view matrix) const {
  const auto text = read_text(file_of(matrix));
  if (!text || text->size() < kHashBytes) return std::nullopt;
  const auto bytes = std::as_bytes(std::span(*text)).subspan(kHashBytes);
  if (hash_of(key_, matrix, bytes) != std::string_view(*text).substr(0, kHashBytes)) {
    return std::nullopt;
  }
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

// Not synced to disk: what a killed process has written stays.
Result<void> MatrixJournal::put(std::string_view matrix, std::span<const std::byte> bytes) {
  const fs::path target = file_of(matrix);
  fs::path temporary = target;
  temporary += ".part";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << hash_of(key_, matrix, bytes);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code code;
  if (file) fs::rename(temporary, target, code);
  if (file && !code) return {};
  return fail(io_error("keeping a quantized matrix to resume from")
                  .in(temporary.string())
                  .got(code ? code.message() : "a failed write")
                  .advise("make room on the disk"));
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

void MatrixJournal::remove() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace quantlane
