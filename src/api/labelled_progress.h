// Says to a watcher which lane a stage belongs to.
#pragma once
#include <string>
#include <utility>

#include "quantlane/progress.h"

namespace quantlane {

// Passes everything on to `inner`, which must outlive it, with "label: " before stages and notices.
class LabelledProgress final : public Progress {
 public:
  LabelledProgress(Progress& inner, std::string label)
      : inner_(inner), prefix_(std::move(label) + ": ") {}
  void begin(std::string_view stage, std::uint64_t total, std::string_view unit) override {
    inner_.begin(prefix_ + std::string(stage), total, unit);
  }
  void update(std::uint64_t done) override { inner_.update(done); }
  void end() override { inner_.end(); }
  void notice(std::string_view text) override { inner_.notice(prefix_ + std::string(text)); }

 private:
  Progress& inner_;
  std::string prefix_;
};

}  // namespace quantlane
