#include "core/disk_room.h"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/atomic_file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// No file of this process may become larger than 64 KiB.
class SizeLimit {
 public:
  SizeLimit() : before_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit small = old_;
    small.rlim_cur = 1 << 16;
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, before_);
  }
  SizeLimit(const SizeLimit&) = delete;
  SizeLimit& operator=(const SizeLimit&) = delete;

 private:
  void (*before_)(int);
  rlimit old_{};
};

TEST(DiskRoom, SaysWhatIsNeededAndWhatThereIs) {
  const fixtures::ScratchFolder folder;
  const auto available = available_bytes(folder.path() / "made" / "later");
  ASSERT_TRUE(available.has_value());
  EXPECT_TRUE(check_room("writing", folder.path(), *available / 2, 1).has_value());
  const auto refused = check_room("writing", folder.path() / "out", std::uint64_t{1} << 60, 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_THAT(refused.error().expected, HasSubstr("1152921504606846976 bytes"));
  EXPECT_THAT(refused.error().found, HasSubstr("available"));
  EXPECT_FALSE(refused.error().hint.empty());
}

TEST(DiskRoom, NamesTheLimitOfTheProcessTheFileAndTheNeed) {
  const fixtures::ScratchFolder folder;
  const SizeLimit limit;
  const auto says_it = AllOf(HasSubstr(folder.path().string()), HasSubstr("ulimit -f 64"),
                             HasSubstr("65536 bytes"), HasSubstr("1048576 bytes"));
  const auto checked = check_room("writing", folder.path() / "out", 1 << 20, 1 << 20);
  ASSERT_FALSE(checked.has_value());
  EXPECT_THAT(checked.error().message(), says_it);
  const auto scratch = ScratchFile::reserve(folder.path(), 1 << 20);
  ASSERT_FALSE(scratch.has_value());
  EXPECT_THAT(scratch.error().message(), AllOf(says_it, HasSubstr("--memory-limit")));
  AtomicFile file = AtomicFile::create(folder.path() / "file").value();
  const auto reserved = file.reserve(1 << 20);
  ASSERT_FALSE(reserved.has_value());
  EXPECT_THAT(reserved.error().message(), says_it);
  const auto written = file.append(std::string(1 << 20, 'a'));
  ASSERT_FALSE(written.has_value());
  EXPECT_THAT(written.error().message(), says_it);
}

TEST(DiskRoom, ScratchFilesHaveNoNameAndGrow) {
  const fixtures::ScratchFolder folder;
  ScratchFile file = ScratchFile::reserve(folder.path() / "made" / "later", 100).value();
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_TRUE(file.grow(50).has_value());
  EXPECT_TRUE(file.grow(5000).has_value());
  EXPECT_EQ(::pwrite(file.descriptor(), "end", 3, 4997), 3);
}

TEST(DiskRoom, FilesWithRoomSetAsideHoldWhatIsWritten) {
  const fixtures::ScratchFolder folder;
  AtomicFile file = AtomicFile::create(folder.path() / "file").value();
  ASSERT_TRUE(file.reserve(10).has_value());
  ASSERT_TRUE(file.append("0123456789").has_value());
  ASSERT_TRUE(file.commit().has_value());
  EXPECT_EQ(read_text(folder.path() / "file").value(), "0123456789");
}

}  // namespace
}  // namespace quantlane
