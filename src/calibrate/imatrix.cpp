#include "calibrate/imatrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/file.h"

namespace quantlane {
namespace {

// .dat has no magic: it takes what the others leave.
constinit const std::array<const ImatrixFormat*, 2> kFormats = {&kImatrixGguf, &kImatrixDat};

std::int64_t max_count(const Imatrix& imatrix) {
  std::int64_t most = 0;
  for (const auto& [name, entry] : imatrix.entries) most = std::max(most, entry.max_count());
  return most;
}

Error cannot_merge(const std::string& origin, const std::string& name) {
  return invalid("merging importance matrices").in(origin).of(name);
}

Result<void> check_mergeable(const ImatrixEntry& own, const ImatrixEntry& added,
                             const std::string& origin, const std::string& name) {
  if (own.sums.size() != added.sums.size()) {
    return fail(cannot_merge(origin, name)
                    .expects(std::to_string(own.sums.size()) + " values as in the files before")
                    .got(std::to_string(added.sums.size()))
                    .advise("only matrices of one model can be merged"));
  }
  if (own.counts.size() != added.counts.size() && own.counts.size() != 1 &&
      added.counts.size() != 1) {
    return fail(cannot_merge(origin, name)
                    .expects(std::to_string(own.counts.size()) + " counts as in the files before")
                    .got(std::to_string(added.counts.size())));
  }
  return {};
}

// A single count says that every matrix saw as many tokens.
void add_entry(ImatrixEntry& own, const ImatrixEntry& added) {
  if (own.counts.size() < added.counts.size())
    own.counts.resize(added.counts.size(), own.counts[0]);
  for (std::size_t i = 0; i < own.sums.size(); ++i) own.sums[i] += added.sums[i];
  for (std::size_t i = 0; i < own.counts.size(); ++i)
    own.counts[i] += added.counts[added.counts.size() == 1 ? 0 : i];
}

}  // namespace

std::int64_t ImatrixEntry::max_count() const {
  return counts.empty() ? 0 : *std::ranges::max_element(counts);
}

std::vector<float> ImatrixEntry::means() const {
  std::vector<float> means(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::int64_t count = counts[i / values_per_count()];
    means[i] = count > 0 ? static_cast<float>(sums[i] / static_cast<double>(count)) : 1.0F;
  }
  return means;
}

std::int64_t Imatrix::tokens() const { return chunk_size > 0 ? max_count(*this) : 0; }

void Imatrix::set_chunk_size(std::int64_t tokens) {
  if (chunk_size == 0) {
    for (auto& [name, entry] : entries) {
      for (double& sum : entry.sums) sum *= static_cast<double>(tokens);
      for (std::int64_t& count : entry.counts) count *= tokens;
    }
  }
  chunk_size = tokens;
  chunk_count = max_count(*this) / tokens;
}

Result<void> Imatrix::merge(Imatrix other, const std::string& origin) {
  for (const auto& [name, added] : other.entries) {
    const auto own = entries.find(name);
    if (own != entries.end()) QUANTLANE_TRY_VOID(check_mergeable(own->second, added, origin, name));
  }
  if (chunk_size == 0 && other.chunk_size > 0) set_chunk_size(other.chunk_size);
  if (other.chunk_size == 0 && chunk_size > 0) other.set_chunk_size(chunk_size);
  for (auto& [name, added] : other.entries) {
    const auto [own, is_new] = entries.try_emplace(name, std::move(added));
    if (!is_new) add_entry(own->second, added);
  }
  uncounted += other.uncounted;
  datasets.insert(datasets.end(), other.datasets.begin(), other.datasets.end());
  chunk_count = max_count(*this) / std::max<std::int64_t>(1, chunk_size);
  return {};
}

Result<Imatrix> checked_imatrix(Imatrix imatrix, const std::string& origin) {
  const auto refuse = [&origin] { return corrupt("reading an importance matrix").in(origin); };
  if (imatrix.entries.empty()) return fail(refuse().expects("at least one entry").got("none"));
  for (const auto& [name, entry] : imatrix.entries) {
    const auto bad =
        std::ranges::find_if(entry.sums, [](double v) { return !std::isfinite(v) || v < 0; });
    if (bad == entry.sums.end()) continue;
    return fail(
        refuse()
            .of(name)
            .expects("sums of squares: finite and not negative")
            .got(std::to_string(*bad) + " in column " + std::to_string(bad - entry.sums.begin()))
            .advise("the model gave such activations: collect the matrix again"));
  }
  return imatrix;
}

const ImatrixFormat& imatrix_format_of(std::span<const std::byte> file) {
  return **std::ranges::find_if(
      kFormats, [&](const ImatrixFormat* format) { return format->recognises(file); });
}

Result<Imatrix> read_imatrix(const std::filesystem::path& path) {
  QUANTLANE_TRY(const MappedFile file, MappedFile::open(path));
  return imatrix_format_of(file.bytes()).parse(file.bytes(), file.path());
}

Result<const ImatrixFormat*> imatrix_format_for(const std::filesystem::path& path) {
  std::string known;
  for (const ImatrixFormat* format : kFormats) {
    if (path.extension() == format->extension) return format;
    known += (known.empty() ? "" : " or ") + std::string(format->extension);
  }
  return fail(usage_error("choosing the format of an importance matrix")
                  .in(path.string())
                  .expects("a name that ends in " + known +
                           ", or in .safetensors for all statistics of a pass"));
}

Result<void> write_imatrix(const Imatrix& imatrix, const std::filesystem::path& path) {
  QUANTLANE_TRY(const ImatrixFormat* format, imatrix_format_for(path));
  return format->write(imatrix, path, {});
}

}  // namespace quantlane
