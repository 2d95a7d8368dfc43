#include "core/file.h"

#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/atomic_file.h"
#include "core/check.h"
#include "core/output_path.h"
#include "core/system_error.h"

namespace quantlane {
namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

Result<MappedFile> MappedFile::open(const fs::path& path) {
  // Without waiting for the writer of a pipe, which is refused below.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return fail(system_error("opening a file", path, errno));
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return fail(
        invalid("opening a file")
            .in(path.string())
            .expects("a regular file")
            .got(std::string(kind_of(status.st_mode)))
            .advise("give the path of a file; what a pipe brings must be saved as one first"));
  }
  MappedFile file;
  file.path_ = path.string();
  file.size_ = static_cast<std::size_t>(status.st_size);
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int code = errno;
    if (data == MAP_FAILED) {
      ::close(descriptor);
      return fail(system_error("mapping a file", path, code));
    }
    file.data_ = static_cast<const std::byte*>(data);
  }
  ::close(descriptor);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(std::uint64_t offset, std::uint64_t size) const {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = (offset + page - 1) / page * page;
  const std::uint64_t end = (offset + size) / page * page;
  if (end <= begin || end > size_) return;
  ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

Result<std::string> read_text(const fs::path& path, std::uint64_t max_bytes) {
  QUANTLANE_TRY(const MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > max_bytes) {
    return fail(make_error(ErrorCode::kResourceLimit, "reading a text file")
                    .in(path.string())
                    .expects("at most " + std::to_string(max_bytes) + " bytes")
                    .got(std::to_string(file.bytes().size()) + " bytes")
                    .advise("check that this is the file that its name says, and copy or download "
                            "it again if not"));
  }
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

Result<void> write_text(const fs::path& path, std::string_view text, ReplaceCheck may_replace) {
  QUANTLANE_TRY(AtomicFile file, AtomicFile::create(path, std::move(may_replace)));
  QUANTLANE_TRY_VOID(file.append(text));
  return file.commit();
}

Result<void> check_writable(const fs::path& target) {
  std::error_code code;
  fs::path folder = place_of(target).parent_path();
  while (!fs::exists(fs::symlink_status(folder, code)) && folder.has_relative_path())
    folder = folder.parent_path();
  if (!fs::is_directory(folder, code)) {
    if (fs::is_symlink(folder, code) && !fs::exists(folder, code)) {
      return fail(
          io_error("preparing an output")
              .in(target.string())
              .expects("a folder, or a link to one, at " + folder.string())
              .got("a link to " + fs::read_symlink(folder, code).string() + ", where nothing is")
              .advise("make that folder, remove the link, or choose another output"));
    }
    return fail(system_error("preparing an output", target, ENOTDIR));
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return fail(system_error("preparing an output", target, errno));
  }
  return {};
}

Result<void> check_replaceable(const fs::path& target, std::string_view magic) {
  if (!is_taken(target)) return {};
  const fs::path place = place_of(target);
  std::error_code code;
  std::string start(magic.size(), '\0');
  if (fs::is_regular_file(place, code)) {
    if (std::FILE* file = std::fopen(place.c_str(), "rb"); file != nullptr) {
      start.resize(std::fread(start.data(), 1, start.size(), file));
      std::fclose(file);
      if (start == magic) return {};
    }
  }
  return fail(invalid("choosing an output")
                  .in(target.string())
                  .expects("a new path, or a file of the same kind to replace")
                  .got("something else that exists")
                  .advise("choose another output; nothing else is replaced"));
}

ReplaceCheck replaceable(bool replaces, std::string magic) {
  if (!replaces) return keep_others;
  return
      [magic = std::move(magic)](const fs::path& found) { return check_replaceable(found, magic); };
}

std::uint64_t size_on_disk(const fs::path& path) {
  std::error_code code;
  if (fs::is_regular_file(path, code)) return fs::file_size(path, code);
  std::uint64_t total = 0;
  for (fs::recursive_directory_iterator it(path, code), end; !code && it != end;
       it.increment(code)) {
    if (it->is_regular_file(code)) total += it->file_size(code);
  }
  return total;
}

// Well-formed sequences: Unicode standard, table 3-7.
Result<void> check_utf8(std::string_view text, const std::string& path) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const std::size_t size = text.size();
  for (std::size_t i = 0; i < size;) {
    const unsigned char lead = bytes[i];
    std::size_t length = 1;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else if (lead >= 0x80) {
      length = 0;
    }
    bool good = length != 0 && i + length <= size;
    for (std::size_t k = 1; good && k < length; ++k) {
      good = bytes[i + k] >= low && bytes[i + k] <= high;
      low = 0x80;
      high = 0xBF;
    }
    if (!good) {
      return fail(corrupt("reading text")
                      .in(path)
                      .at(i)
                      .expects("valid UTF-8")
                      .got("byte " + std::to_string(lead))
                      .advise("convert the file to UTF-8, for example with iconv"));
    }
    i += length;
  }
  return {};
}

}  // namespace quantlane
