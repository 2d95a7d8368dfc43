// Ollama's Modelfile. TEMPLATE is Go's text/template over .System and .Messages; it is written only
// for chat templates whose turns find_chat_turns() has verified.
#include "report/deploy/ollama.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

// Families whose safetensors `ollama create` converts, as the Modelfile reference lists them.
bool converts(const Artefact& artefact) {
  return artefact.dialect.empty() && (artefact.family == "llama" || artefact.family == "mistral");
}

std::optional<Refusal> cannot_load(const Artefact& artefact) {
  // FROM takes the rest of its line, and no quotes.
  if (artefact.path.string().find_first_of("\r\n") != std::string::npos) {
    return Refusal{.expected = "a path of one line, which is what FROM of a Modelfile takes",
                   .found = "one with a line break",
                   .advice = "rename the file or its folder"};
  }
  if (!artefact.gguf) {
    if (converts(artefact)) return std::nullopt;
    return needs_gguf(artefact, "Ollama");
  }
  if (artefact.files > 1) {
    return Refusal{.expected = "a GGUF file in one piece, which is what Ollama loads",
                   .found = fmt::format("one split into {} files", artefact.files),
                   .advice = "join them: quantlane convert FIRST-FILE joined.gguf --to same"};
  }
  return std::nullopt;
}

// Text of a template outside of its actions.
std::string literal(std::string_view text) {
  std::string escaped;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.substr(at).starts_with("{{")) {
      escaped += "{{ \"{{\" }}";
      ++at;
    } else {
      escaped += text[at];
    }
  }
  return escaped;
}

// `{{ .System }}` with the texts around it.
std::string system_part(const ChatTurns& turns, std::string_view variable) {
  return fmt::format("{}{{{{ {} }}}}{}", literal(turns.system_before), variable,
                     literal(turns.system_after));
}

std::string user_turn(const ChatTurns& turns) {
  std::string inner;
  if (turns.system == SystemPlace::kFirstUser) {
    inner = "{{ if and $first $.System }}" + system_part(turns, "$.System") +
            "{{ end }}{{ $first = false }}";
  } else if (turns.system == SystemPlace::kLastUser) {
    inner = "{{ if and (eq (len (slice $.Messages $i)) 1) $.System }}" +
            system_part(turns, "$.System") + "{{ end }}";
  }
  return literal(turns.user_before) + inner + "{{ .Content }}" + literal(turns.user_after);
}

std::string go_template(const ChatTurns& turns, bool with_begin) {
  std::string text = with_begin ? literal(turns.begin) : "";
  if (turns.system == SystemPlace::kOwnTurn) {
    text += "{{ if .System }}" + system_part(turns, ".System");
    if (!turns.no_system.empty()) text += "{{ else }}" + literal(turns.no_system);
    text += "{{ end }}";
  } else {
    text += literal(turns.no_system);
  }
  if (turns.system == SystemPlace::kFirstUser) text += "{{ $first := true }}";
  text += turns.system == SystemPlace::kLastUser ? "{{ range $i, $_ := .Messages }}"
                                                 : "{{ range .Messages }}";
  text += "{{ if eq .Role \"user\" }}" + user_turn(turns);
  text += "{{ else if eq .Role \"assistant\" }}" + literal(turns.assistant_before) +
          "{{ .Content }}" + literal(turns.assistant_after) + "{{ end }}{{ end }}";
  return text + literal(turns.generation);
}

std::string quoted(const std::string& text) {
  return text.find('"') == std::string::npos ? "\"" + text + "\"" : "\"\"\"" + text + "\"\"\"";
}

// TEMPLATE, or why there is none.
std::string template_part(const Artefact& artefact, std::vector<std::string>& notices) {
  const std::string left_out = "no TEMPLATE is written, Ollama uses its own if it knows one";
  if (artefact.chat_template.empty()) {
    notices.push_back("the artefact has no chat template: " + left_out);
    return "";
  }
  const auto parsed = ChatTemplate::parse(artefact.chat_template, "chat_template");
  const std::string eos = artefact.stop_texts.empty() ? "" : artefact.stop_texts.front();
  auto turns = parsed ? find_chat_turns(*parsed, artefact.bos_text, eos, artefact.stop_texts)
                      : Result<ChatTurns>(std::unexpected(parsed.error()));
  const std::string text = turns ? go_template(*turns, !artefact.adds_bos) : "";
  // A Modelfile knows no escape for its quotes.
  if (turns && text.find("\"\"\"") != std::string::npos) {
    turns = std::unexpected(unsupported("quoting the template").got("three quotes in a row"));
  }
  if (!turns) {
    notices.push_back(fmt::format("the chat template is not one that can be translated ({}): {}",
                                  turns.error().found, left_out));
    return "";
  }
  if (turns->system == SystemPlace::kNowhere) {
    notices.emplace_back("the chat template has no place for a system message: it is dropped");
  }
  if (artefact.chat_template.find("tools") != std::string::npos) {
    notices.emplace_back("TEMPLATE is for plain conversations: tool calls are not translated");
  }
  if (artefact.chat_template.find("strftime_now") != std::string::npos) {
    notices.emplace_back("the date in TEMPLATE is the one that the chat template falls back to");
  }
  const std::string family = turns->family == "turns" ? "turns with fixed texts" : turns->family;
  return fmt::format(
      "# {}, translated from the chat template and verified by rendering.\n"
      "TEMPLATE \"\"\"{}\"\"\"\n",
      family, text);
}

Deployment write(const Artefact& artefact, const DeployWishes& wishes) {
  Deployment deployment;
  const std::string name = model_slug(artefact.name);
  deployment.text =
      fmt::format("# ollama create {} -f Modelfile\nFROM {}\n", name, artefact.path.string());
  deployment.text += template_part(artefact, deployment.notices);
  for (const std::string& stop : artefact.stop_texts) {
    deployment.text += "PARAMETER stop " + quoted(stop) + "\n";
  }
  deployment.text += fmt::format("PARAMETER num_ctx {}\n", wishes.context);
  if (artefact.kv_bytes_per_token > 0) {
    deployment.notices.push_back("Ollama will set aside " + kv_note(artefact, wishes));
  }
  if (wishes.concurrency > 0) {
    deployment.notices.push_back(fmt::format(
        "a Modelfile cannot say how many requests run side by side: start the server with "
        "OLLAMA_NUM_PARALLEL={}",
        wishes.concurrency));
  }
  if (artefact.gguf) note_young_types(artefact, deployment.notices);
  return deployment;
}

}  // namespace

constinit const DeployTarget kOllama = {
    .name = "ollama",
    .product = "Ollama",
    .file_name = "Modelfile",
    .script = false,
    .schema = "Modelfile reference, ollama docs/modelfile.mdx",
    .cannot_load = cannot_load,
    .write = write,
};

}  // namespace quantlane
