// An open file of the system that is closed with its owner.
#pragma once
#include <utility>

#include <unistd.h>

namespace quantlane {

class Descriptor {
 public:
  // Takes what open() gave; negative: none.
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] bool valid() const { return descriptor_ >= 0; }
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// `opened` where this process alone holds it from now on (flock(2)), for as long as it is open.
// None where another process holds it (`in_use`), nothing was opened or the file system knows no
// locks.
Descriptor lock_alone(Descriptor opened, bool& in_use);

}  // namespace quantlane
