#include "api/quantize_request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "containers/gguf_split.h"
#include "core/ascii.h"
#include "core/check.h"
#include "core/file.h"
#include "core/output_path.h"
#include "quantize/output_place.h"

namespace quantlane {
namespace {

// At the last sign: patterns may hold one themselves.
Result<TypeOverride> parse_override(const std::string& text) {
  const std::size_t equal = text.rfind('=');
  if (equal == std::string::npos || equal == 0) {
    return fail(usage_error("reading --tensor-type")
                    .expects("pattern=type, such as attn_v=q8_0")
                    .got("\"" + text + "\""));
  }
  QUANTLANE_TRY(const ElementType type, writable_type(text.substr(equal + 1)));
  return TypeOverride{.pattern = text.substr(0, equal), .type = type};
}

Result<std::optional<ElementType>> parse_type(const std::string& text) {
  if (text.empty()) return std::nullopt;
  QUANTLANE_TRY(const ElementType type, writable_type(text));
  return type;
}

Error gguf_only(const Lane& lane, const std::string& option) {
  return usage_error("quantizing to " + lane.name)
      .expects("a GGUF lane with " + option)
      .got(lane.name)
      .advise("leave the option out, or name a lane that begins with gguf:");
}

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array kUnits = {
    Unit{"", 1},         Unit{"b", 1},        Unit{"k", 1e3},      Unit{"kb", 1e3},
    Unit{"m", 1e6},      Unit{"mb", 1e6},     Unit{"g", 1e9},      Unit{"gb", 1e9},
    Unit{"t", 1e12},     Unit{"tb", 1e12},    Unit{"kib", 0x1p10}, Unit{"mib", 0x1p20},
    Unit{"gib", 0x1p30}, Unit{"tib", 0x1p40},
};

constexpr std::string_view kUnitNames = "B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view text, const std::string& option) {
  const auto refused = [&](const std::string& why) {
    return fail(
        usage_error("reading a size")
            .of(option)
            .expects("a number of bytes, or a number and a unit: " + std::string(kUnitNames))
            .got("\"" + std::string(text) + "\": " + why)
            .advise(option + " 2GiB, " + option + " 1.5GB or " + option + " 500000000"));
  };
  const std::string_view trimmed = without_blanks(text);
  double number = 0;
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), number,
                                            std::chars_format::fixed);
  if (error != std::errc()) return refused(trimmed.empty() ? "nothing" : "no number");
  const auto digits = static_cast<std::size_t>(end - trimmed.data());
  const std::string unit(without_blanks(trimmed.substr(digits)));
  const auto row = std::ranges::find(kUnits, ascii_lower(unit), &Unit::name);
  if (row == kUnits.end()) return refused("no unit \"" + unit + "\" is known");
  const double bytes = std::floor(number * row->bytes);
  if (!(bytes >= 1)) return refused("less than a byte");
  if (bytes > 0x1p60) return refused("more than 2^60 bytes");
  return static_cast<std::uint64_t>(bytes);
}

Result<std::vector<SchemeOverride>> scheme_overrides(const GgufOptions& options, const Lane& lane) {
  std::vector<SchemeOverride> overrides;
  if (lane.dialect == nullptr) return overrides;
  for (const std::string& text : options.tensor_types) {
    QUANTLANE_TRY(SchemeOverride override, parse_scheme_override(text, lane));
    overrides.push_back(std::move(override));
  }
  return overrides;
}

Result<RecipeRequest> recipe_request(const GgufOptions& options, const Lane& lane) {
  if (!options.tensor_types.empty() && !lane.is_gguf() && lane.dialect == nullptr) {
    return fail(usage_error("quantizing to " + lane.name)
                    .of("--tensor-type")
                    .expects("a lane that quantizes: " + lane.name +
                             " writes all tensors in one type of its own")
                    .got("\"" + options.tensor_types.front() + "\"")
                    .advise("leave it out, or take a lane such as w8a8 or gguf:q8_0 with it"));
  }
  RecipeRequest request;
  request.pure = options.pure;
  QUANTLANE_TRY(request.output, parse_type(options.output_type));
  QUANTLANE_TRY(request.embedding, parse_type(options.token_embedding_type));
  for (const std::string& text : options.tensor_types) {
    if (lane.dialect != nullptr) break;  // scheme_overrides()
    QUANTLANE_TRY(TypeOverride override, parse_override(text));
    request.overrides.push_back(std::move(override));
  }
  if (lane.is_gguf()) return request;
  if (request.pure) return fail(gguf_only(lane, "--pure"));
  if (request.output) return fail(gguf_only(lane, "--output-type"));
  if (request.embedding) return fail(gguf_only(lane, "--token-embedding-type"));
  return request;
}

Result<SizeTarget> size_target(const GgufOptions& options, const Lane& lane) {
  SizeTarget size = lane.size;
  if (size.any() && (!options.target_size.empty() || !options.target_bpw.empty())) {
    return fail(
        usage_error("choosing a size")
            .expects("one size")
            .got("that of " + lane.name + " and another")
            .advise("leave the option out, or give it to a recipe such as gguf:q4_k_m+gptq"));
  }
  if (!options.target_size.empty()) {
    QUANTLANE_TRY(const std::uint64_t bytes, parse_bytes(options.target_size, "--target-size"));
    size = {.bytes = bytes};
  }
  if (!options.target_bpw.empty()) {
    const std::string& text = options.target_bpw;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), size.bits_per_weight);
    if (error != std::errc() || end != text.data() + text.size() ||
        !(size.bits_per_weight >= 1 && size.bits_per_weight <= 16)) {
      return fail(usage_error("reading --target-bpw")
                      .expects("1 to 16 bits per weight")
                      .got("\"" + text + "\"")
                      .advise("--target-bpw 4.25"));
    }
  }
  if (!size.any()) return size;
  if (!lane.is_gguf()) return fail(gguf_only(lane, "--target-size or --target-bpw"));
  if (lane.recipe->base.block == nullptr) {
    return fail(usage_error("choosing a size").expects("a lane that quantizes").got(lane.name));
  }
  QUANTLANE_TRY_VOID(check_sized_algorithm(lane));
  if (size.bytes > 0 && size.bits_per_weight > 0) {
    return fail(usage_error("choosing a size").expects("one size").got("two"));
  }
  if (options.pure || !options.tensor_types.empty() || !options.output_type.empty() ||
      !options.token_embedding_type.empty()) {
    return fail(usage_error("choosing a size").expects("a size, or types for tensors").got("both"));
  }
  return size;
}

Result<SplitRequest> split_request(const SplitOptions& options, const Lane& lane) {
  SplitRequest request{.keep = options.keep};
  if (!options.max_size.empty()) {
    QUANTLANE_TRY(request.max_bytes, parse_bytes(options.max_size, "--split-max-size"));
  }
  if (!options.shard_size.empty()) {
    QUANTLANE_TRY(request.shard_bytes, parse_bytes(options.shard_size, "--shard-size"));
  }
  if (request.shard_bytes > 0 && lane.is_gguf()) {
    return fail(usage_error("quantizing to " + lane.name)
                    .expects("a folder lane with --shard-size")
                    .got(lane.name)
                    .advise("GGUF files are split by --split-max-size"));
  }
  if (request.keep && request.max_bytes > 0) {
    return fail(usage_error("quantizing to " + lane.name)
                    .expects("one of --keep-split and --split-max-size")
                    .got("both"));
  }
  if (request.any() && !lane.is_gguf()) {
    Error error = gguf_only(lane, request.keep ? "--keep-split" : "--split-max-size");
    if (request.max_bytes > 0) error.hint = "folders are cut by --shard-size";
    return fail(std::move(error));
  }
  return request;
}

Result<void> check_files(const fs::path& out, const SplitRequest& split, const Checkpoint& source,
                         std::vector<InputPath> others, bool replace) {
  std::vector<InputPath> inputs = inputs_of(source);
  std::ranges::move(others, std::back_inserter(inputs));
  std::vector<fs::path> places{out};
  if (split.any())
    std::ranges::move(existing_gguf_shards(place_of(out)), std::back_inserter(places));
  for (const fs::path& place : places) {
    QUANTLANE_TRY_VOID(check_apart(place, inputs));
    QUANTLANE_TRY_VOID(check_output(place, replace));
  }
  return {};
}

}  // namespace quantlane
