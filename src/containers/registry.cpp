// The one table of container kinds. A new kind is a row here and a file pair.
#include <array>

#include <fmt/format.h>

#include "containers/container.h"
#include "containers/gguf.h"
#include "containers/safetensors.h"

namespace quantlane {
namespace {

constinit const std::array<const ContainerKind*, 2> kKinds = {&kGgufKind, &kSafetensorsKind};

// Something quantlane cannot open but a user may well have.
std::string known_stranger(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::is_directory(path, code)) return {};
  for (std::filesystem::directory_iterator it(path, code), end; !code && it != end;
       it.increment(code)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".gguf")) return fmt::format("give the path of the file: {}", name);
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) {
      return fmt::format("save {} as safetensors first", name);
    }
  }
  return {};
}

}  // namespace

std::span<const ContainerKind* const> container_kinds() { return kKinds; }

Result<std::unique_ptr<Container>> open_container(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::exists(path, code)) {
    // A link that leads nowhere: opening it says where to.
    if (std::filesystem::is_symlink(path, code)) return kSafetensorsKind.open(path);
    return fail(not_found("opening a checkpoint")
                    .in(path.string())
                    .expects("a file or folder")
                    .got("no such file or folder")
                    .advise("check the spelling of the path"));
  }
  for (const ContainerKind* kind : kKinds) {
    if (kind->recognises(path)) return kind->open(path);
  }
  return fail(unsupported("opening a checkpoint")
                  .in(path.string())
                  .expects("a folder with model.safetensors, model.safetensors.index.json or "
                           "*.safetensors, a .safetensors file, or a GGUF file")
                  .got(std::filesystem::is_directory(path, code) ? "a folder without these"
                                                                 : "a file of another kind")
                  .advise(known_stranger(path)));
}

}  // namespace quantlane
