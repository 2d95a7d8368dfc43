#include "core/descriptor.h"

#include <cerrno>

#include <sys/file.h>

namespace quantlane {

Descriptor lock_alone(Descriptor opened, bool& in_use) {
  in_use = false;
  if (!opened.valid() || ::flock(opened.get(), LOCK_EX | LOCK_NB) == 0) return opened;
  in_use = errno == EWOULDBLOCK;
  return Descriptor();
}

}  // namespace quantlane
