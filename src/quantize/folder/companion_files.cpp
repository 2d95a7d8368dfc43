#include "quantize/folder/companion_files.h"

#include <set>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_writer.h"

namespace quantlane {

bool is_companion_file(const fs::path& path) {
  static const std::set<std::string> kNames = {"generation_config.json",
                                               "special_tokens_map.json",
                                               "added_tokens.json",
                                               "preprocessor_config.json",
                                               "processor_config.json",
                                               "chat_template.json",
                                               "vocab.json",
                                               "vocab.txt",
                                               "merges.txt"};
  static const std::set<std::string> kExtensions = {".model", ".jinja", ".tiktoken", ".py"};
  const std::string name = path.filename().string();
  return kNames.contains(name) || kExtensions.contains(path.extension().string()) ||
         (name.starts_with("tokenizer") && path.extension() == ".json") ||
         name.starts_with("LICENSE") || name.starts_with("NOTICE") ||
         name.starts_with("USE_POLICY");
}

namespace {

Result<void> copy_small_files(const fs::path& from, const fs::path& to) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(from, code)) {
    if (!entry.is_regular_file() || !is_companion_file(entry.path())) continue;
    QUANTLANE_TRY(const std::string text, read_text(entry.path()));
    QUANTLANE_TRY_VOID(write_text(to / entry.path().filename(), text));
  }
  if (code) return fail(io_error("listing a folder").in(from.string()).got(code.message()));
  return {};
}

std::string_view torch_name(DType dtype) {
  if (dtype == DType::kF32) return "float32";
  return dtype == DType::kF16 ? "float16" : "bfloat16";
}

// The ids that begin, end and pad a text: in config.json, and what generate() reads.
Result<void> write_generation_config(const TokenizerSpec& spec, Json& config,
                                     const fs::path& folder) {
  Json generation = Json(Json::Object{});
  const auto set = [&](const char* key, std::int64_t id) {
    if (id < 0) return;
    config.set(key, id);
    generation.set(key, id);
  };
  set("bos_token_id", spec.bos_id);
  set("eos_token_id", spec.eos_id);
  set("pad_token_id", spec.padding_id);
  if (spec.stop_ids.size() > 1) {
    Json ends = Json::array();
    for (const std::int64_t id : spec.stop_ids) ends.push(id);
    generation.set("eos_token_id", std::move(ends));
  }
  return write_text(folder / "generation_config.json", generation.dump(2) + "\n");
}

void set_dtype(Json& config, DType dtype) {
  const char* key = config.contains("torch_dtype") ? "torch_dtype" : "dtype";
  config.set(key, torch_name(dtype));
}

}  // namespace

Result<void> write_companion_files(const Checkpoint& source, const Lane& lane,
                                   const Json& quantization_config, const fs::path& folder) {
  Json config = source.config_json();
  if (config.is_null()) {
    config = source.architecture()->to_hugging_face(source.graph()->config);
    set_dtype(config, DType::kBF16);
    QUANTLANE_TRY(const auto tokenizer, source.tokenizer());
    QUANTLANE_TRY_VOID(
        write_tokenizer_folder(tokenizer->spec(), source.graph()->config.context_length, folder));
    QUANTLANE_TRY_VOID(write_generation_config(tokenizer->spec(), config, folder));
  } else {
    const fs::path from =
        fs::is_directory(source.path()) ? source.path() : source.path().parent_path();
    QUANTLANE_TRY_VOID(copy_small_files(from, folder));
  }
  config.erase("quantization_config");
  if (lane.plain) set_dtype(config, *lane.plain);
  if (!quantization_config.is_null()) {
    config.set("quantization_config", quantization_config);
    if (lane.dialect != nullptr && lane.dialect->writer->to_side_file != nullptr) {
      const Json side_file = lane.dialect->writer->to_side_file(quantization_config);
      QUANTLANE_TRY_VOID(write_text(folder / lane.dialect->side_file, side_file.dump(2) + "\n"));
    }
  }
  return write_text(folder / "config.json", config.dump(2) + "\n");
}

}  // namespace quantlane
