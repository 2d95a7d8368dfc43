// The table of adapter formats: one row each.
#include <array>

#include "core/check.h"
#include "core/file.h"
#include "model/adapters/adapter.h"
#include "model/adapters/gguf_lora.h"
#include "model/adapters/mlx.h"
#include "model/adapters/peft.h"

namespace quantlane {
namespace {
constinit const std::array kFormats = {&kPeft, &kMlx, &kGgufLora};
}  // namespace

std::span<const AdapterFormat* const> adapter_formats() { return kFormats; }

std::size_t Adapter::tensor_count() const {
  std::size_t count = replacements.size() + rows.size();
  for (const auto& [name, delta] : deltas) count += delta.tensors.size();
  return count;
}

Result<Adapter> read_adapter(const fs::path& path, const AdapterBase& base) {
  std::error_code code;
  if (!fs::exists(path, code)) {
    return fail(not_found("reading an adapter")
                    .in(path.string())
                    .expects("the folder of an adapter (PEFT or MLX), or a GGUF file")
                    .got("nothing there")
                    .advise("check the spelling of the path"));
  }
  std::vector<const AdapterFormat*> found;
  for (const AdapterFormat* format : kFormats) {
    if (format->recognises(path)) found.push_back(format);
  }
  if (found.size() > 1) {
    return fail(invalid("reading an adapter")
                    .in(path.string())
                    .expects("the files of one adapter")
                    .got(std::string(found[0]->name) + " and " + std::string(found[1]->name))
                    .advise("keep adapter_config.json and the weights that belong to it only"));
  }
  if (found.size() == 1) return found.front()->read(path, base);
  return fail(
      unsupported("reading an adapter")
          .in(path.string())
          .expects("a folder with adapter_config.json and adapter_model.safetensors (PEFT) or "
                   "adapters.safetensors (MLX), or a GGUF file")
          .got("none of them")
          .advise("give the folder or file that the training wrote"));
}

Result<Adapter> read_adapter(const fs::path& path, const Checkpoint& base) {
  QUANTLANE_CHECK(base.graph() != nullptr);
  return read_adapter(path, AdapterBase{.graph = *base.graph(),
                                        .architecture = *base.architecture(),
                                        .path = base.path().string()});
}

}  // namespace quantlane
