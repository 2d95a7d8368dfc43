#include "core/open_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/resource.h>

namespace quantlane {
namespace {

// What a shell is told, at most; tens of thousands are more than any job here opens.
constexpr rlim_t kEnough = 65536;

}  // namespace

Error with_open_file_limit(Error error, int code) {
  if (code == ENFILE) {
    error.found = fmt::format("{}: the limit of the whole machine", std::strerror(code));
    error.hint = "end other programs, or raise the limit: sysctl fs.file-max";
    return error;
  }
  rlimit limit{};
  if (code != EMFILE || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return error;
  error.found = fmt::format("{}: a limit of {} for this process (ulimit -n {})",
                            std::strerror(code), limit.rlim_cur, limit.rlim_cur);
  if (limit.rlim_max > limit.rlim_cur) {
    error.hint = fmt::format("ulimit -n {} in the shell that starts quantlane",
                             std::min(limit.rlim_max, std::max(kEnough, 2 * limit.rlim_cur)));
  } else {
    error.hint =
        "raise the limit of open files (ulimit -n, which this shell may not raise further), or cut "
        "into fewer files";
  }
  return error;
}

}  // namespace quantlane
