// The limit of open files; the same words wherever it is reached.
#pragma once
#include "quantlane/result.h"

namespace quantlane {

// Where errno `code` says that the process or the machine has no more open files: `error` with
// which limit that is and how it is raised. Any other code: `error` as it is.
Error with_open_file_limit(Error error, int code);

}  // namespace quantlane
