#include "quantlane/doctor.h"

#include <fmt/format.h>

#include "cli/command.h"

namespace quantlane::cli {
namespace {

class Doctor final : public Command {
  [[nodiscard]] std::string_view name() const override { return "doctor"; }
  [[nodiscard]] std::string_view summary() const override {
    return "what this machine is and which kernels are chosen";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane doctor\n  QUANTLANE_ISA=avx2 quantlane doctor --json\n";
  }
  void declare(Options& options) override {
    options.option("-t,--threads", threads_, "worker threads (0 = all usable cores)");
  }
  Result<ExitCode> run(const Io& io) override {
    const DoctorResult result = examine_machine(threads_);
    if (io.json) {
      print_line(to_json(result));
      return ExitCode::kOk;
    }
    const auto line = [](std::string_view key, const std::string& value) {
      print_line(fmt::format("{:<14} {}", key, value));
    };
    line("version", result.version);
    line("processor", fmt::format("{}, {} usable cores", result.cpu, result.cores));
    line("memory",
         fmt::format("{:.1f} GB, {:.1f} GB free", static_cast<double>(result.memory_bytes) / 1e9,
                     static_cast<double>(result.available_bytes) / 1e9));
    line("kernels", result.isa);
    std::string features;
    for (const auto& [name, present] : result.features)
      features +=
          fmt::format("{}{} {}", features.empty() ? "" : ", ", name, present ? "yes" : "no");
    line("features", features);
    line("bandwidth", fmt::format("{:.1f} GB/s (reading, measured)", result.bandwidth_gb_s));
    line("products", fmt::format("{:.0f} GFLOP/s (float32, measured)", result.f32_gflops));
    line("architectures", fmt::format("{}", fmt::join(result.architectures, ", ")));
    line("lanes", fmt::format("{}", fmt::join(result.lanes, ", ")));
    for (const std::string& problem : result.problems) line("problem", problem);
    return ExitCode::kOk;
  }
  int threads_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_doctor() { return std::make_unique<Doctor>(); }

}  // namespace quantlane::cli
