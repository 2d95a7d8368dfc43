#include "core/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check.h"
#include "core/disk_room.h"
#include "core/output_path.h"

namespace quantlane {
namespace {

// Where a link at `path` leads, "" when there is none.
std::string link_target(const fs::path& path) {
  std::error_code code;
  const fs::path target = fs::read_symlink(path, code);
  return code ? "" : target.string();
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

Error system_error(std::string attempted, const fs::path& path, int code) {
  Error error = (code == ENOENT ? not_found(std::move(attempted)) : io_error(std::move(attempted)))
                    .in(path.string())
                    .got(std::strerror(code));
  if (means_no_room(code)) error.hint = "free some space or choose another output folder";
  if (code == EACCES || code == EPERM || code == EROFS) {
    error.hint = "check the permissions of the path, or choose another one";
  }
  if (code == ENOTDIR) error.hint = "a part of the path is a file: choose a place below a folder";
  if (code == ENOENT) error.hint = "check the spelling of the path";
  if (code == ENOENT || code == ELOOP) {
    if (const std::string target = link_target(path); !target.empty()) {
      error.expected = "a file, or a link that leads to one";
      error.found = "a link to " + target +
                    (code == ELOOP ? ", which leads back to it or on for too "
                                     "long"
                                   : ", which does not exist");
      error.hint = "download the file again, or let the link lead to it";
    }
  }
  return error;
}

constexpr std::string_view kPartial = ".partial-";

fs::path without_trailing_slash(const fs::path& path) {
  return path.filename().empty() ? path.parent_path() : path;
}

// Names differ between processes and between files of one process.
fs::path temporary_name(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return beside(target, std::string(kPartial) + std::to_string(::getpid()) + "-" +
                            std::to_string(counter.fetch_add(1)));
}

// A killed process keeps its number until its parent asks for it, which some never do: then its
// state is Z, behind its name in parentheses (proc_pid_stat(5)).
bool has_ended(pid_t process) {
  if (::kill(process, 0) != 0) return errno == ESRCH;
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(stat, line);
  const std::size_t state = line.rfind(") ");
  return state != std::string::npos && line.find_first_of("ZX", state + 2) == state + 2;
}

// `name` is a temporary of the target called `target` whose process no longer runs.
bool is_leftover(std::string_view name, std::string_view target) {
  if (!name.starts_with(target)) return false;
  name.remove_prefix(target.size());
  if (!name.starts_with(kPartial)) return false;
  name.remove_prefix(kPartial.size());
  pid_t process = 0;
  const char* const last = name.data() + name.size();
  const auto [end, code] = std::from_chars(name.data(), last, process);
  if (code != std::errc() || process <= 0 || end == last || *end != '-') return false;
  // A counter and nothing else: "-2024-11-28" and "-7-backup" are somebody's own.
  if (end + 1 == last || !std::all_of(end + 1, last, [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  return has_ended(process);
}

Result<void> sync_folder(const fs::path& folder) {
  const int descriptor =
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return fail(system_error("opening a folder to sync it", folder, errno));
  ::fsync(descriptor);
  ::close(descriptor);
  return {};
}

Result<void> make_parent(const fs::path& path) {
  std::error_code code;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), code);
  if (code) return fail(system_error("creating a folder", path.parent_path(), code.value()));
  return {};
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

fs::path beside(const fs::path& out, std::string_view suffix) {
  return without_trailing_slash(out) += suffix;
}

void remove_leftovers(const fs::path& target) {
  const fs::path plain = without_trailing_slash(target);
  const fs::path folder = plain.has_parent_path() ? plain.parent_path() : fs::path(".");
  std::vector<fs::path> leftovers;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    if (is_leftover(it->path().filename().string(), plain.filename().string()))
      leftovers.push_back(it->path());
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, code);
}

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
  std::error_code code;
  if (fs::exists(path, code) && !fs::is_regular_file(path, code)) {
    return fail(io_error("creating a file")
                    .in(path.string())
                    .expects("a new file or a regular one")
                    .got(fs::is_directory(path, code) ? "a folder" : "a device or the like"));
  }
  QUANTLANE_TRY_VOID(make_parent(path));
  remove_leftovers(path);
  AtomicFile file;
  file.target_ = path;
  file.temporary_ = temporary_name(path);
  file.descriptor_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file.descriptor_ < 0) return fail(system_error("creating a file", path, errno));
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      position_(other.position_),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(position_, other.position_);
  std::swap(target_, other.target_);
  std::swap(temporary_, other.temporary_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::reserve(std::uint64_t bytes) {
  const int code = reserve_room(descriptor_, bytes);
  if (code == 0) return {};
  return fail(no_room("writing a file", target_, bytes, code));
}

Result<void> AtomicFile::append(std::span<const std::byte> bytes) {
  QUANTLANE_TRY_VOID(write_at(position_, bytes));
  position_ += bytes.size();
  return {};
}

Result<void> AtomicFile::append(std::string_view text) {
  return append(std::as_bytes(std::span(text.data(), text.size())));
}

Result<void> AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int code = written == 0 ? EIO : errno;
      Error error = system_error("writing a file", target_, code);
      if (means_no_room(code)) {
        const std::uint64_t before = code == EFBIG ? offset : 0;
        error = no_room("writing a file", target_, before + bytes.size(), code);
      }
      return fail(std::move(error).at(offset));
    }
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> AtomicFile::finish() {
  if (descriptor_ < 0) return {};
  const int synced = ::fsync(descriptor_);
  const int sync_code = errno;
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (synced != 0) return fail(system_error("flushing a file to disk", target_, sync_code));
  if (closed != 0) return fail(system_error("closing a file", target_, errno));
  return {};
}

Result<void> AtomicFile::commit() {
  QUANTLANE_TRY_VOID(finish());
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    return fail(system_error("putting a finished file in place", target_, errno));
  }
  temporary_.clear();
  return sync_folder(target_.parent_path());
}

Result<AtomicDirectory> AtomicDirectory::create(const fs::path& target, bool keeps_others) {
  QUANTLANE_TRY_VOID(make_parent(without_trailing_slash(target)));
  remove_leftovers(target);
  AtomicDirectory directory;
  directory.target_ = without_trailing_slash(target);
  directory.temporary_ = temporary_name(target);
  directory.replaces_ = !keeps_others;
  std::error_code code;
  fs::create_directory(directory.temporary_, code);
  if (code) return fail(system_error("creating a folder", target, code.value()));
  return directory;
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      replaces_(other.replaces_) {}

// Somebody else's entry has taken the name meanwhile: neither it nor the work is lost.
Result<void> AtomicDirectory::keep_beside() {
  const fs::path other = beside(target_, ".finished-" + std::to_string(::getpid()));
  std::error_code code;
  fs::rename(temporary_, other, code);
  if (code) return fail(system_error("putting a finished folder in place", other, code.value()));
  temporary_.clear();
  return fail(
      invalid("putting a finished folder in place")
          .in(target_.string())
          .expects("that nothing is there, as when the work began")
          .got("an entry that was made meanwhile")
          .advise("the finished folder is " + other.string() + ": move it where it should be"));
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Result<void> AtomicDirectory::commit() {
  if (!replaces_) {
    const int placed =
        ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE);
    if (placed == 0) {
      temporary_.clear();
      return sync_folder(target_.parent_path());
    }
    if (errno == EEXIST || is_taken(target_)) return keep_beside();
  }
  // In one step, so that a killed process leaves either folder; what was there then has our
  // temporary name.
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    QUANTLANE_TRY_VOID(sync_folder(target_.parent_path()));
    std::error_code ignored;
    fs::remove_all(std::exchange(temporary_, {}), ignored);
    return {};
  }
  std::error_code code;
  fs::path previous;
  if (fs::exists(target_, code)) {  // file systems that cannot exchange
    previous = temporary_name(target_);
    fs::rename(target_, previous, code);
    if (code) return fail(system_error("replacing a folder", target_, code.value()));
  }
  fs::rename(temporary_, target_, code);
  if (code) return fail(system_error("putting a finished folder in place", target_, code.value()));
  temporary_.clear();
  if (!previous.empty()) fs::remove_all(previous, code);
  return sync_folder(target_.parent_path());
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

Result<void> write_text(const fs::path& path, std::string_view text) {
  QUANTLANE_TRY(AtomicFile file, AtomicFile::create(path));
  QUANTLANE_TRY_VOID(file.append(text));
  return file.commit();
}

Result<void> check_writable(const fs::path& target) {
  std::error_code code;
  fs::path folder = place_of(target).parent_path();
  while (!fs::exists(fs::symlink_status(folder, code)) && folder.has_relative_path())
    folder = folder.parent_path();
  if (!fs::is_directory(folder, code)) {
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
