#include "core/system_error.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/disk_room.h"
#include "core/open_files.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

// Where a link at `path` leads, "" when there is none.
std::string link_target(const fs::path& path) {
  std::error_code code;
  const fs::path target = fs::read_symlink(path, code);
  return code ? "" : target.string();
}

}  // namespace

Error system_error(std::string attempted, const fs::path& path, int code) {
  Error error = (code == ENOENT ? not_found(std::move(attempted)) : io_error(std::move(attempted)))
                    .in(path.string())
                    .got(std::strerror(code));
  if (means_no_room(code)) error.hint = "free some space or choose another output folder";
  if (code == EACCES || code == EPERM || code == EROFS) {
    error.hint = "check the permissions of the path, or choose another one";
  }
  error = with_open_file_limit(std::move(error), code);
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

}  // namespace quantlane
