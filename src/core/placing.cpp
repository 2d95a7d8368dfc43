#include "core/placing.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "core/check.h"
#include "core/output_path.h"
#include "core/system_error.h"

namespace quantlane {
namespace {

constexpr std::string_view kPartial = ".partial-";

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

}  // namespace

fs::path beside(const fs::path& out, std::string_view suffix) {
  return plain_spelling(out) += suffix;
}

void remove_leftovers(const fs::path& target) {
  const fs::path plain = plain_spelling(target);
  const fs::path folder = plain.has_parent_path() ? plain.parent_path() : fs::path(".");
  std::vector<fs::path> leftovers;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    if (is_leftover(it->path().filename().string(), plain.filename().string()))
      leftovers.push_back(it->path());
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, code);
}

fs::path temporary_name(const fs::path& target) {
  static std::atomic<unsigned> counter{0};
  return beside(target, std::string(kPartial) + std::to_string(::getpid()) + "-" +
                            std::to_string(counter.fetch_add(1)));
}

Result<void> sync_folder(const fs::path& folder) {
  const int descriptor =
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return fail(system_error("opening a folder to sync it", folder, errno));
  ::fsync(descriptor);
  ::close(descriptor);
  return {};
}

Result<bool> move_to_vacant(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST) return false;
  if (::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return true;
  }
  if (errno == EEXIST || is_taken(to)) return false;
  if (::rename(from.c_str(), to.c_str()) == 0) return true;
  return fail(system_error("putting a finished output in place", to, errno));
}

fs::path place_of_finished(const fs::path& out) {
  const std::string suffix = ".finished-" + std::to_string(::getpid());
  fs::path place = beside(out, suffix);
  for (int i = 2; is_taken(place); ++i) place = beside(out, suffix + "-" + std::to_string(i));
  return place;
}

Result<fs::path> move_beside(const fs::path& from, const fs::path& out) {
  while (true) {
    fs::path place = place_of_finished(out);
    QUANTLANE_TRY(const bool moved, move_to_vacant(from, place));
    if (moved) return place;
  }
}

Error taken_meanwhile(std::string_view what, Error reason, const fs::path& taken,
                      const fs::path& kept) {
  reason.attempted = "putting a finished " + std::string(what) + " in place";
  return std::move(reason)
      .in(taken.string())
      .advise("the finished " + std::string(what) + " is " + kept.string() +
              ": move it where it should be");
}

Result<void> make_parent(const fs::path& path) {
  std::error_code code;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), code);
  if (code) return fail(system_error("creating a folder", path.parent_path(), code.value()));
  return {};
}

}  // namespace quantlane
