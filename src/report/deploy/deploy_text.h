// Spelling of shell commands and YAML, shared by the targets.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "report/deploy/deploy.h"

namespace quantlane {

// One argument as a POSIX shell reads it back; unquoted where nothing asks for quotes.
std::string shell_word(std::string_view text);

// `comments`, and the command with one option (and its value) a line; what the script is called
// with comes last, so it wins.
struct ShellCommand {
  std::vector<std::string> comments;
  std::vector<std::string> words;  // the program and what stands before the options
  std::vector<std::vector<std::string>> options;
  [[nodiscard]] std::string text() const;
};

// Block style YAML 1.2 of objects, arrays and scalars; strings double-quoted where a plain scalar
// might be read as something else. Ends with a newline.
std::string yaml_text(const Json& document);

// Refusals that several products share.
Refusal needs_gguf(const Artefact& artefact, std::string_view product);

// A name that products take as an identifier: lower case letters, digits, ".", "_" and "-".
std::string model_slug(std::string_view name);

// What all llama.cpp products have to be told about tensor types that are younger than they may be.
void note_young_types(const Artefact& artefact, std::vector<std::string>& notices);

// "12.3 GB of keys and values (16 bit) for 4 requests of 8192 tokens".
std::string kv_note(const Artefact& artefact, const DeployWishes& wishes);

}  // namespace quantlane
