#include "calibrate/kept_statistics.h"

#include <utility>

#include <fmt/format.h>

#include "containers/container.h"
#include "core/cancel.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/hash.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "quantlane/version.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kKey = "quantlane.pass";
constexpr std::string_view kChunks = "quantlane.chunks";

}  // namespace

KeptStatistics::KeptStatistics(const fs::path& out, std::shared_ptr<const Checkpoint> checkpoint,
                               const TokenChunks& chunks, HeadRows head_rows, Progress& progress,
                               std::chrono::milliseconds every)
    : file_(beside(out, ".calibration")),
      checkpoint_(std::move(checkpoint)),
      chunks_(chunks),
      head_rows_(head_rows),
      progress_(progress),
      every_(every) {}

Result<std::string> KeptStatistics::key() {
  if (key_.empty()) {
    QUANTLANE_TRY(const std::string model, checkpoint_->content_hash());
    ContentHash hash;
    hash.add(model);
    hash.add(chunks_.hash());
    hash.add(
        fmt::format(" {} {} {}", static_cast<int>(head_rows_), isa_name(active_isa()), version()));
    key_ = hash.hex();
  }
  return key_;
}

Result<KeptStatistics::Found> KeptStatistics::find() {
  if (!is_taken(file_)) return Found{};
  const auto container = open_container(file_);
  const std::string* theirs = container ? (*container)->metadata().string(kKey) : nullptr;
  if (theirs == nullptr) {
    ours_ = false;
    progress_.notice(fmt::format(
        "{} is not of a calibration: left alone, so this one cannot be continued if it is killed",
        file_.string()));
    return Found{};
  }
  there_ = true;
  QUANTLANE_TRY(const std::string own, key());
  if (*theirs != own) {
    progress_.notice(fmt::format(
        "{} is of no use here: an interrupted run made it of another model, text, processor or "
        "version; it is removed when this output is done",
        file_.string()));
    return Found{};
  }
  const std::string* chunks = (*container)->metadata().string(kChunks);
  auto statistics = Statistics::load(file_);
  Found found;
  if (chunks != nullptr && statistics) {
    for (const char digit : *chunks) {
      if (digit < '0' || digit > '9' || found.chunks > chunks_.count()) break;
      found.chunks = 10 * found.chunks + (digit - '0');
    }
  }
  if (found.chunks <= 0 || found.chunks > chunks_.count()) {
    progress_.notice(fmt::format("{} is damaged: the calibration starts again", file_.string()));
    return Found{};
  }
  found.statistics = std::move(*statistics);
  progress_.notice(fmt::format("going on from {} of {} chunks that an interrupted run has left",
                               found.chunks, chunks_.count()));
  return found;
}

void KeptStatistics::keep(const Statistics& statistics, std::int64_t chunks) {
  // The whole pass is kept for what comes after it.
  const auto since = chunks == chunks_.count() ? begun_at_ : kept_at_;
  if (std::chrono::steady_clock::now() - since >= every_) keep_now(statistics, chunks);
}

void KeptStatistics::keep_now(const Statistics& statistics, std::int64_t chunks) {
  if (!ours_ || cancel_requested()) return;
  if (const auto written = write(statistics, chunks); !written) {
    ours_ = false;
    progress_.notice(fmt::format("{} cannot be written ({}): a killed run starts again",
                                 file_.string(), written.error().found));
  }
  kept_at_ = std::chrono::steady_clock::now();
}

Result<void> KeptStatistics::write(const Statistics& statistics, std::int64_t chunks) {
  QUANTLANE_TRY(const std::string own, key());
  Metadata metadata;
  metadata.set(std::string(kKey), own);
  metadata.set(std::string(kChunks), std::to_string(chunks));
  if (!there_ && is_taken(file_)) {
    return fail(
        io_error("keeping a calibration").in(file_.string()).got("something else is there"));
  }
  QUANTLANE_TRY_VOID(statistics.save(file_, metadata, there_ ? ReplaceCheck() : keep_others));
  there_ = true;
  return {};
}

void KeptStatistics::remove() const {
  std::error_code ignored;
  if (there_) fs::remove(file_, ignored);
}

}  // namespace quantlane
