// The one table of model families.
#include <algorithm>
#include <array>

#include "model/arch/rows.h"

namespace quantlane {
namespace {
// By GGUF name the first match wins: Mistral files say "llama".
constexpr std::array kRows = {&kLlama, &kMistral, &kQwen2, &kQwen3, &kGemma3};
}  // namespace

std::vector<const Architecture*> architectures() { return {kRows.begin(), kRows.end()}; }

const Architecture* architecture_by_class(std::string_view class_name) {
  for (const Architecture* row : kRows) {
    const auto classes = row->classes();
    if (std::ranges::find(classes, class_name) != classes.end()) return row;
  }
  return nullptr;
}

const Architecture* architecture_by_gguf_name(std::string_view name) {
  const auto* found = std::ranges::find(kRows, name, &Architecture::gguf_name);
  return found == kRows.end() ? nullptr : *found;
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
