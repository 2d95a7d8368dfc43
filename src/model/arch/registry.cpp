// The one table of model families.
#include <algorithm>
#include <array>

#include "model/arch/rows.h"

namespace quantlane {
namespace {
// By GGUF name the first match wins: Mistral files say "llama".
constexpr std::array kRows = {&kLlama,  &kMistral, &kQwen2,   &kQwen3,
                              &kGemma3, &kMixtral, &kQwen3Moe};
}  // namespace

std::vector<const Architecture*> architectures() { return {kRows.begin(), kRows.end()}; }

const Architecture* architecture_by_class(std::string_view class_name) {
  for (const Architecture* row : kRows) {
    const auto classes = row->classes();
    if (std::ranges::find(classes, class_name) != classes.end()) return row;
  }
  return nullptr;
}

const Architecture* architecture_of_gguf(const Metadata& metadata) {
  const std::string* name = metadata.string("general.architecture");
  const Architecture* first = nullptr;
  for (const Architecture* row : kRows) {
    if (name == nullptr || row->gguf_name != *name) continue;
    if (row->means_gguf != nullptr && row->means_gguf(metadata)) return row;
    if (row->means_gguf == nullptr && first == nullptr) first = row;
  }
  return first;
}

const Architecture* architecture_by_name(std::string_view name) {
  const auto* found = std::ranges::find(kRows, name, &Architecture::name);
  return found == kRows.end() ? nullptr : *found;
}

std::string supported_architectures() {
  std::string text;
  for (const Architecture* row : kRows) {
    if (!text.empty()) text += ", ";
    text += row->name;
  }
  return text;
}

}  // namespace quantlane
