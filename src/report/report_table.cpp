// The comparison for a terminal: to_table() of compare.h.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "quantlane/compare.h"
#include "report/number_text.h"
#include "report/text_table.h"
#include "report/text_width.h"

namespace quantlane {
namespace {

constexpr int kLeastWidth = 24;
constexpr int kMostWidth = 100;
constexpr std::size_t kLaneLeastWidth = 20;

// The lines of the page so far; knows how wide they may be.
class Page {
 public:
  Page(int width, bool color)
      : width_(static_cast<std::size_t>(std::clamp(width, kLeastWidth, kMostWidth))),
        color_(color) {}

  // `text` wrapped; the first line starts with `lead`, the others are indented as far.
  void paragraph(std::string_view lead, std::string_view text, Ink ink = Ink::kPlain,
                 Ink lead_ink = Ink::kPlain) {
    const std::size_t indent = std::min(text_width(lead), width_ / 2);
    const std::string first = fit_width(lead, indent);
    const std::vector<std::string> lines = wrap_text(printable(text), width_ - indent);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      out_ += i == 0 ? inked(first, lead_ink, color_) : std::string(indent, ' ');
      out_ += inked(lines[i], ink, color_);
      out_ += '\n';
    }
  }
  void blank() { out_ += '\n'; }
  std::vector<std::string> table(const TextTable& table) {
    std::vector<std::string> left_out;
    out_ += layout(table, width_, color_, &left_out);
    return left_out;
  }
  std::string take() && { return std::move(out_); }

 private:
  std::size_t width_;
  bool color_;
  std::string out_;
};

Ink ink_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kShip:
      return Ink::kGood;
    case Verdict::kDoNotShip:
      return Ink::kBad;
    case Verdict::kInconclusive:
      break;
  }
  return Ink::kOpen;
}

std::string marked(Verdict verdict) {
  const std::string_view mark = verdict == Verdict::kShip        ? "✓ "
                                : verdict == Verdict::kDoNotShip ? "✗ "
                                                                 : "? ";
  return std::string(mark) + std::string(verdict_name(verdict));
}

std::string percent_text(double share) { return decimal_text(100 * share, 1); }

std::string losses_text(const std::vector<TaskScore>& tasks) {
  std::int64_t lost = 0;
  std::int64_t gained = 0;
  for (const TaskScore& task : tasks) {
    lost += task.lost;
    gained += task.gained;
  }
  return tasks.empty() ? "" : fmt::format("-{}/+{}", lost, gained);
}

std::vector<TableCell> reference_row(const ReferenceReport& reference) {
  std::int64_t n = 0;
  std::int64_t right = 0;
  for (const TaskScore& task : reference.tasks) {
    n += task.n;
    right += task.reference;
  }
  return {{"reference"},
          {size_text(static_cast<double>(reference.size_bytes))},
          {decimal_text(reference.bits_per_weight, 2)},
          {"1.0000"},
          {"0"},
          {"100.0"},
          {reference.tasks.empty() ? "" : fmt::format("{}/{}", right, n)},
          {rate_text(reference.speed.prefill_tok_s)},
          {rate_text(reference.speed.decode_tok_s)},
          {""}};
}

std::vector<TableCell> lane_row(const LaneReport& lane, bool is_pick) {
  const Divergence& divergence = lane.quality.as_run();
  return {{printable(lane.name), is_pick ? Ink::kBold : Ink::kPlain},
          {size_text(static_cast<double>(lane.size_bytes))},
          {decimal_text(lane.bits_per_weight, 2)},
          {decimal_text(divergence.ppl_ratio.value, 4)},
          {interval_text(divergence.kld_mean)},
          {percent_text(divergence.top1_agreement.value)},
          {losses_text(lane.quality.tasks)},
          {rate_text(lane.speed.prefill_tok_s)},
          {rate_text(lane.speed.decode_tok_s)},
          {marked(lane.verdict) + (is_pick ? " ◀ pick" : ""), ink_of(lane.verdict)}};
}

// The largest difference between rounds of timing, as a share.
double timing_spread(const CompareReport& report) {
  double spread = report.reference.speed.spread;
  for (const LaneReport& lane : report.lanes) spread = std::max(spread, lane.speed.spread);
  return spread;
}

std::vector<TableCell> noise_row(const Divergence& floor) {
  std::vector<TableCell> row = {{"noise floor"},
                                {""},
                                {""},
                                {decimal_text(floor.ppl_ratio.value, 4)},
                                {interval_text(floor.kld_mean)},
                                {percent_text(floor.top1_agreement.value)},
                                {""},
                                {""},
                                {""},
                                {""}};
  for (TableCell& cell : row) cell.ink = Ink::kDim;
  return row;
}

// The adapter, and what it does to scales that were calibrated on the base.
void add_adapter(Page& page, const AdapterReport& adapter) {
  std::string text =
      fmt::format("{} ({}, {} tensors); parameters changed: {}", adapter.path.string(),
                  adapter.format, adapter.tensors, adapter.parameters);
  const auto largest = std::ranges::max_element(adapter.shifts, {}, &ActivationShift::ratio);
  if (largest != adapter.shifts.end()) {
    text += fmt::format(
        "; the inputs of layer {} {} reach {} times the range of the base ({:.4g} instead of "
        "{:.4g}): static scales calibrated on the base {}",
        largest->layer, largest->role, decimal_text(largest->ratio, 3), largest->adapted,
        largest->base, largest->ratio > 1 ? "would clip them" : "would still hold");
  }
  page.paragraph("adapter     ", text, Ink::kPlain, Ink::kDim);
}

void add_head(Page& page, const CompareReport& report) {
  const ReferenceReport& reference = report.reference;
  const std::string model = reference.path.filename().empty()
                                ? reference.path.parent_path().filename().string()
                                : reference.path.filename().string();
  page.paragraph("",
                 fmt::format("{}: {} parameters, {}, perplexity {}", model,
                             parameters_text(static_cast<double>(reference.parameters)),
                             size_text(static_cast<double>(reference.size_bytes)),
                             decimal_text(reference.ppl, 4)),
                 Ink::kBold);
  page.paragraph("scored      ",
                 fmt::format("{} tokens of {} in chunks of {}", count_text(report.tokens_scored),
                             report.text, report.chunk),
                 Ink::kPlain, Ink::kDim);
  if (report.calibration_tokens > 0) {
    page.paragraph(
        "calibrated  ",
        fmt::format("{} tokens of {}", count_text(report.calibration_tokens), report.calibration),
        Ink::kPlain, Ink::kDim);
  }
  if (report.adapter) add_adapter(page, *report.adapter);
  page.paragraph("machine     ",
                 fmt::format("{}, {} cores, {} threads, {}, {}", report.machine.cpu,
                             report.machine.cores, report.machine.threads, report.machine.isa,
                             size_text(static_cast<double>(report.machine.memory_bytes))),
                 Ink::kPlain, Ink::kDim);
}

void add_lanes(Page& page, const CompareReport& report) {
  TextTable table;
  table.columns = {{.header = "lane", .align_right = false, .least_width = kLaneLeastWidth},
                   {.header = "size"},
                   {.header = "bits/w", .optional = 6},
                   {.header = "ppl\nratio", .optional = 1},
                   {.header = "KLD mean\n±95 %"},
                   {.header = "top-1\n%", .optional = 4},
                   {.header = "tasks\n-/+", .optional = 3},
                   {.header = "prefill\ntok/s", .optional = 5},
                   {.header = "decode\ntok/s", .optional = 2},
                   {.header = "verdict", .align_right = false}};
  table.rows.push_back(reference_row(report.reference));
  for (const LaneReport& lane : report.lanes) {
    table.rows.push_back(lane_row(lane, lane.name == report.pick.lane));
  }
  table.rows.push_back(noise_row(report.noise_floor));
  const std::vector<std::string> left_out = page.table(table);
  std::string legend =
      "size: weight files on disk, 1 MB = 1 000 000 bytes · ppl ratio: perplexity / the "
      "reference's · KLD: nats "
      "per token, mean ± the longer arm of its 95 % interval · top-1: same most likely token · "
      "tasks: "
      "answers "
      "lost / gained (reference: right / asked) · tok/s: best on this machine, its rounds "
      "differed by up to " +
      decimal_text(100 * timing_spread(report), 0) +
      " % · noise floor: the reference against itself";
  if (!left_out.empty()) {
    legend += " · not shown at this width: ";
    for (std::size_t i = 0; i < left_out.size(); ++i) legend += (i > 0 ? ", " : "") + left_out[i];
  }
  page.paragraph("", legend, Ink::kDim);
  std::string alone;
  for (const LaneReport& lane : report.lanes) {
    if (!lane.quality.engine) continue;
    alone += alone.empty() ? "" : " · ";
    alone += printable(lane.name) + " " + interval_text(lane.quality.divergence.kld_mean);
  }
  if (alone.empty()) return;
  page.paragraph("",
                 "GGUF lanes: with the inputs of products rounded as llama.cpp rounds them; KLD of "
                 "their weights alone: " +
                     alone,
                 Ink::kDim);
}

void add_pick(Page& page, const Pick& pick) {
  std::string verdict = "nothing: no lane passed its gates";
  if (pick.lane == "reference") verdict = "keep the reference";
  if (!pick.lane.empty() && pick.lane != "reference") verdict = "ship " + pick.lane;
  if (!pick.target.empty()) verdict += " (target: " + pick.target + ")";
  page.paragraph("VERDICT  ", verdict, Ink::kBold, Ink::kBold);
  for (const Reason& reason : pick.reasons) {
    page.paragraph("  - ", reason.text + " [" + reason.code + "]");
  }
  if (pick.flips_if.empty()) return;
  page.paragraph("", "What would change it");
  for (const std::string& condition : pick.flips_if) page.paragraph("  - ", condition);
}

// An end of the interval of a known estimate: what is not finite was infinite (null in files).
std::string end_text(double end, const char* infinity, int decimals) {
  return std::isfinite(end) ? decimal_text(end, decimals) : infinity;
}

std::string axis_text(const AxisVerdict& axis) {
  const int decimals = axis.unit == "points" ? 1 : 4;
  std::string text = fmt::format(
      "{} {} [{}, {}] {}, margin {:g}", axis.axis, decimal_text(axis.estimate.value, decimals),
      end_text(axis.estimate.low, "-∞", decimals), end_text(axis.estimate.high, "∞", decimals),
      axis.unit, axis.margin);
  if (axis.more_samples > 0) {
    const bool is_task = axis.axis.starts_with("task");
    text += fmt::format(" (about {} more {} would decide)", count_text(axis.more_samples),
                        is_task ? "items" : "tokens");
  }
  return text;
}

// For each lane that does not ship the gates that hold it back, and what else to know about it.
void add_obstacles(Page& page, const CompareReport& report) {
  bool first = true;
  for (const LaneReport& lane : report.lanes) {
    if (lane.verdict == Verdict::kShip && lane.notices.empty()) continue;
    if (first) page.blank();
    first = false;
    std::string text;
    for (const AxisVerdict& axis : lane.axes) {
      if (!axis.gates || axis.verdict != lane.verdict || lane.verdict == Verdict::kShip) continue;
      text += (text.empty() ? "" : "; ") + axis_text(axis);
    }
    if (lane.verdict != Verdict::kShip) {
      text = std::string(verdict_name(lane.verdict)) + (text.empty() ? "" : ": " + text);
    }
    for (const std::string& notice : lane.notices) {
      text += (text.empty() ? "note: " : "; note: ") + notice;
    }
    page.paragraph(printable(lane.name) + "  ", text, Ink::kPlain, ink_of(lane.verdict));
  }
}

std::vector<TableCell> projection_row(const std::string& name, const Projection& projection) {
  return {{printable(name)},
          {rate_text(projection.prefill_tok_s)},
          {rate_text(projection.decode_tok_s)},
          {size_text(projection.memory_bytes)},
          {projection.fits ? "fits" : "✗ does not fit", projection.fits ? Ink::kPlain : Ink::kBad},
          {projection.bound == "no kernel" ? "none"
           : projection.native             ? "native"
                                           : "saves memory only"},
          {printable(projection.bound)}};
}

// Losses of the cache alone, under the weights of the reference.
void add_kv_caches(Page& page, const CompareReport& report) {
  if (report.kv.empty()) return;
  TextTable table;
  table.columns = {{.header = "kv cache", .align_right = false, .least_width = kLaneLeastWidth},
                   {.header = "bits"},
                   {.header = "ppl\nratio"},
                   {.header = "KLD mean\n±95 %"},
                   {.header = "top-1\n%", .optional = 1},
                   {.header = "verdict", .align_right = false}};
  for (const KvReport& kv : report.kv) {
    table.rows.push_back({{printable(kv.name)},
                          {std::to_string(kv.bits)},
                          {decimal_text(kv.divergence.ppl_ratio.value, 4)},
                          {interval_text(kv.divergence.kld_mean)},
                          {percent_text(kv.divergence.top1_agreement.value)},
                          {marked(kv.axis.verdict), ink_of(kv.axis.verdict)}});
  }
  page.blank();
  page.paragraph("", "Key-value caches, with the weights of the reference", Ink::kBold);
  page.table(table);
}

void add_projections(Page& page, const CompareReport& report) {
  TextTable table;
  table.columns = {{.header = "lane", .align_right = false, .least_width = kLaneLeastWidth},
                   {.header = "projected\nprefill tok/s"},
                   {.header = "projected\ndecode tok/s"},
                   {.header = "projected\nmemory", .optional = 1},
                   {.header = "device\nmemory", .align_right = false},
                   {.header = "arithmetic", .align_right = false, .optional = 2},
                   {.header = "decode\nlimited by", .align_right = false, .optional = 3}};
  if (report.reference.projection) {
    table.rows.push_back(projection_row("reference", *report.reference.projection));
  }
  for (const LaneReport& lane : report.lanes) {
    if (lane.projection) table.rows.push_back(projection_row(lane.name, *lane.projection));
  }
  if (table.rows.empty()) return;
  page.blank();
  page.paragraph("",
                 fmt::format("Projected on {}: computed from its peaks and bandwidth, not measured",
                             report.pick.target.empty() ? "the target" : report.pick.target),
                 Ink::kBold);
  page.table(table);
}

}  // namespace

std::string to_table(const CompareReport& report, int width, bool color) {
  Page page(width, color);
  add_head(page, report);
  page.blank();
  add_lanes(page, report);
  add_kv_caches(page, report);
  add_projections(page, report);
  add_obstacles(page, report);
  page.blank();
  add_pick(page, report.pick);
  return std::move(page).take();
}

}  // namespace quantlane
