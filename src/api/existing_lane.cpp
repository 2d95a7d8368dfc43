#include "api/existing_lane.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "api/defaults.h"
#include "core/check.h"
#include "core/file.h"
#include "eval/layer_errors.h"
#include "model/sampled_rows.h"
#include "model/tokenizer/tokenizer.h"
#include "quantize/pipeline.h"
#include "recommend/preflight.h"

namespace quantlane {
namespace {

// Of the evaluation text, that both tokenizers must read alike.
constexpr std::size_t kSampleBytes = 4096;
// Relative error of the embeddings: 2-bit formats stay below 0.5, other weights are at 1.4.
constexpr double kSameWeights = 0.7;

Error other_base(const Checkpoint& artefact) {
  return invalid("comparing an existing artefact")
      .in(artefact.path().string())
      .advise("give the checkpoint that it was made from as the reference");
}

struct Extent {
  const char* name;
  std::int64_t ModelConfig::* value;
};
constexpr std::array kExtents = {Extent{"tokens in the vocabulary", &ModelConfig::vocab_size},
                                 Extent{"layers", &ModelConfig::layer_count},
                                 Extent{"hidden columns", &ModelConfig::hidden_size},
                                 Extent{"feed-forward columns", &ModelConfig::intermediate_size},
                                 Extent{"attention heads", &ModelConfig::head_count},
                                 Extent{"key-value heads", &ModelConfig::kv_head_count},
                                 Extent{"columns of a head", &ModelConfig::head_dim}};

Result<void> check_shape(const Checkpoint& artefact, const Checkpoint& reference) {
  if (artefact.architecture() != reference.architecture()) {
    return fail(other_base(artefact)
                    .expects("the architecture of the reference, " +
                             std::string(reference.architecture()->name))
                    .got(std::string(artefact.architecture()->name)));
  }
  const ModelConfig& own = artefact.graph()->config;
  const ModelConfig& base = reference.graph()->config;
  for (const Extent& extent : kExtents) {
    if (own.*extent.value == base.*extent.value) continue;
    return fail(
        other_base(artefact)
            .expects(std::to_string(base.*extent.value) + " " + extent.name + ", as the reference")
            .got(std::to_string(own.*extent.value)));
  }
  return {};
}

std::string_view sample_of(std::string_view text) {
  std::size_t size = std::min(text.size(), kSampleBytes);
  while (size > 0 && size < text.size() &&
         (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) {
    --size;
  }
  return text.substr(0, size);
}

Result<void> check_tokenizer(const Checkpoint& artefact, const Checkpoint& reference) {
  QUANTLANE_TRY(const auto own, artefact.tokenizer());
  QUANTLANE_TRY(const auto base, reference.tokenizer());
  QUANTLANE_TRY(const NamedText text, evaluation_text(std::nullopt));
  const std::string_view sample = sample_of(text.text);
  if (own->encode(sample, false) == base->encode(sample, false)) return {};
  return fail(other_base(artefact)
                  .of("tokenizer")
                  .expects("the tokens that the reference reads in a text")
                  .got("others"));
}

Result<SampledRows> sample_embeddings(const Checkpoint& checkpoint) {
  const Parameter* parameter = checkpoint.graph()->find(Role::kEmbedding, -1);
  QUANTLANE_CHECK(parameter != nullptr);
  QUANTLANE_TRY(const Weight weight, checkpoint.weight(*parameter));
  return sample_rows(weight);
}

// What no rotation changes: the products of each two rows, measured from the mean of all.
std::vector<float> products_of(SampledRows rows) {
  for (std::int64_t c = 0; c < rows.cols; ++c) {
    double mean = 0;
    for (std::int64_t r = 0; r < rows.count; ++r) mean += static_cast<double>(rows.row(r)[c]);
    mean /= static_cast<double>(rows.count);
    for (std::int64_t r = 0; r < rows.count; ++r) rows.row(r)[c] -= static_cast<float>(mean);
  }
  std::vector<float> products;
  for (std::int64_t a = 0; a < rows.count; ++a) {
    for (std::int64_t b = 0; b < a; ++b) {
      products.push_back(
          std::inner_product(rows.row(a), rows.row(a) + rows.cols, rows.row(b), 0.0F));
    }
  }
  return products;
}

// Rounding moves embeddings a little, another training run moves them to somewhere else. Merged
// rotations turn all of them alike.
Result<void> check_embeddings(const Checkpoint& artefact, const Checkpoint& reference) {
  QUANTLANE_TRY(const SampledRows base, sample_embeddings(reference));
  QUANTLANE_TRY(const SampledRows own, sample_embeddings(artefact));
  const double relative = relative_rmse(base.values, own.values);
  if (relative <= kSameWeights) return {};
  if (relative_rmse(products_of(base), products_of(own)) <= kSameWeights) return {};
  return fail(other_base(artefact)
                  .of(artefact.graph()->find(Role::kEmbedding, -1)->name)
                  .expects("the embeddings of the reference, rounded or rotated")
                  .got("others: relative error " + std::to_string(relative)));
}

// Encodings of the Linears, and the scheme of the most frequent of a dialect.
void detect_recipe(const Checkpoint& artefact, ExistingLane& found) {
  std::map<std::string, std::int64_t> types;
  std::map<std::string, LinearScheme> schemes;
  for (const Parameter& p : artefact.graph()->parameters) {
    if (!is_linear(p.role) || p.role == Role::kHead) continue;
    const auto scheme = artefact.quantization() != nullptr
                            ? artefact.quantization()->scheme_of(p.module())
                            : std::nullopt;
    const TensorInfo* stored = artefact.stored(p).tensor;
    const std::string type = scheme              ? scheme->weight.spelling()
                             : stored != nullptr ? std::string(stored->type.name())
                                                 : "unknown";
    ++types[type];
    if (scheme) schemes[type] = *scheme;
  }
  found.format = main_formats(types);
  const std::string first = found.format.substr(0, found.format.find(" + "));
  if (const auto scheme = schemes.find(first); scheme != schemes.end()) {
    found.lane.dialect = artefact.dialect();
    found.lane.scheme = scheme->second;
  } else if (artefact.container().kind() == "gguf") {
    found.lane.recipe = GgufRecipe{};
    found.lane.recipe->name = found.format;
  } else {
    found.lane.plain = dtype_from_name(first);
  }
}

std::string engines_of(const Checkpoint& artefact) {
  const bool gguf = artefact.container().kind() == "gguf";
  const std::string_view method =
      artefact.config_json()["quantization_config"]["quant_method"].string();
  std::string names;
  for (const EngineRow& row : engines()) {
    const bool knows = gguf ? row.gguf
                            : !row.methods.empty() &&
                                  (artefact.dialect() == nullptr ||
                                   std::ranges::find(row.methods, method) != row.methods.end());
    if (knows) names += (names.empty() ? "" : ", ") + std::string(row.display);
  }
  return names;
}

}  // namespace

bool names_artefact(const std::string& name) {
  std::error_code code;
  return name.find('/') != std::string::npos || name.ends_with(".gguf") ||
         fs::exists(fs::path(name) / "config.json", code);
}

Result<ExistingLane> existing_lane(const std::string& path, const Checkpoint& reference) {
  ExistingLane found;
  QUANTLANE_TRY(found.checkpoint, Checkpoint::open(path));
  QUANTLANE_TRY_VOID(check_shape(*found.checkpoint, reference));
  QUANTLANE_TRY_VOID(check_tokenizer(*found.checkpoint, reference));
  QUANTLANE_TRY_VOID(check_embeddings(*found.checkpoint, reference));
  found.lane.name = path;
  found.lane.summary = "an artefact as it was found";
  found.lane.algorithm = "as found";
  found.lane.engines = engines_of(*found.checkpoint);
  detect_recipe(*found.checkpoint, found);
  return found;
}

}  // namespace quantlane
