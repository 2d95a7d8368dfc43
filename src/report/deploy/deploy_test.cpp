#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/deploy/deploy_test_data.h"
#include "report/deploy/deploy_text.h"

namespace quantlane {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// The words of the command in a script, continued lines joined and single quotes removed.
std::vector<std::string> words_of(const std::string& script) {
  const std::size_t begin = script.find("exec ");
  std::vector<std::string> words(1);
  bool quoted = false;
  for (std::size_t i = begin; i < script.size(); ++i) {
    const char c = script[i];
    if (c == '\'') {
      quoted = !quoted;
    } else if (!quoted && c == '\\') {
      ++i;
      if (script[i] != '\n') words.back() += script[i];
    } else if (!quoted && (c == ' ' || c == '\n')) {
      if (!words.back().empty()) words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  words.pop_back();
  return words;
}

// Options of each program that the texts may use, as its documentation lists them; true: with a
// value.
using Flags = std::map<std::string, bool>;
const std::map<std::string, Flags> kDocumented = {{"llama-server",
                                                   {{"--model", true},
                                                    {"--alias", true},
                                                    {"--ctx-size", true},
                                                    {"--parallel", true},
                                                    {"--jinja", false},
                                                    {"--chat-template-file", true}}},
                                                  {"vllm",
                                                   {{"--served-model-name", true},
                                                    {"--max-model-len", true},
                                                    {"--max-num-seqs", true},
                                                    {"--kv-cache-dtype", true},
                                                    {"--tensor-parallel-size", true}}},
                                                  {"sglang",
                                                   {{"-m", true},
                                                    {"--model-path", true},
                                                    {"--served-model-name", true},
                                                    {"--context-length", true},
                                                    {"--load-format", true},
                                                    {"--quantization", true},
                                                    {"--kv-cache-dtype", true},
                                                    {"--max-running-requests", true}}},
                                                  {"tgi",
                                                   {{"--model-id", true},
                                                    {"--max-input-tokens", true},
                                                    {"--max-total-tokens", true},
                                                    {"--quantize", true},
                                                    {"--max-concurrent-requests", true},
                                                    {"--num-shard", true}}},
                                                  {"tensorrt-llm",
                                                   {{"--backend", true},
                                                    {"--max_seq_len", true},
                                                    {"--max_batch_size", true},
                                                    {"--tp_size", true}}}};

// The options of the command for `target`, checked against the documented ones.
std::map<std::string, std::string> options_of(const std::string& target,
                                              const std::string& script) {
  const std::vector<std::string> words = words_of(script);
  EXPECT_EQ(words.front(), "exec");
  EXPECT_EQ(words.back(), "\"$@\"");
  const Flags& flags = kDocumented.at(target);
  std::map<std::string, std::string> options;
  for (std::size_t i = 1; i + 1 < words.size(); ++i) {
    if (!words[i].starts_with("-")) continue;
    const auto flag = flags.find(words[i]);
    if (flag == flags.end()) {
      ADD_FAILURE() << target << " has no option " << words[i];
      continue;
    }
    options[words[i]] = flag->second ? words[i + 1] : "";
    if (flag->second) ++i;
  }
  return options;
}

TEST(Deploy, HasOneRowForEachProductWithADocumentedSchema) {
  std::set<std::string_view> names;
  for (const DeployTarget* target : deploy_targets()) {
    EXPECT_TRUE(names.insert(target->name).second) << target->name;
    EXPECT_FALSE(target->schema.empty());
    EXPECT_EQ(target->script, target->file_name.ends_with(".sh"));
    EXPECT_EQ(target->script, kDocumented.contains(std::string(target->name)));
    EXPECT_EQ(deploy_target_by_name(target->name), target);
  }
  EXPECT_EQ(names.size(), 8U);
  EXPECT_EQ(deploy_target_by_name("vLLM"), nullptr);
}

TEST(Deploy, CommandsUseDocumentedOptionsWithTheArtefactsValues) {
  const Artefact gguf = test::gguf_artefact();
  const Artefact folder = test::folder_artefact("compressed-tensors", "fp8_e4m3_channel");
  const DeployWishes wishes{.context = 1024, .concurrency = 4};
  const auto options = [&](const char* target, const Artefact& artefact) {
    return options_of(target, test::deploy_for(target, artefact, wishes).value().text);
  };
  auto llama = options("llama-server", gguf);
  EXPECT_EQ(llama["--model"], "/models/Tiny Llama.gguf");
  EXPECT_EQ(llama["--alias"], "tiny-llama");
  EXPECT_EQ(llama["--ctx-size"], "4096");  // four slots of 1024
  EXPECT_EQ(llama["--parallel"], "4");
  auto vllm = options("vllm", folder);
  EXPECT_EQ(vllm["--max-model-len"], "1024");
  EXPECT_EQ(vllm["--max-num-seqs"], "4");
  EXPECT_FALSE(vllm.contains("--quantization"));  // vLLM reads it from the folder
  auto sglang = options("sglang", folder);
  EXPECT_EQ(sglang["--model-path"], "/models/tiny");
  EXPECT_EQ(sglang["--context-length"], "1024");
  EXPECT_FALSE(sglang.contains("--quantization"));
  auto tgi = options("tgi", folder);
  EXPECT_EQ(tgi["--max-total-tokens"], "1024");
  EXPECT_EQ(tgi["--max-input-tokens"], "1023");
  EXPECT_EQ(tgi["--quantize"], "compressed-tensors");
  auto trt = options("tensorrt-llm", folder);
  EXPECT_EQ(trt["--max_seq_len"], "1024");
  EXPECT_EQ(trt["--max_batch_size"], "4");
}

TEST(Deploy, EngineOptionsFollowTheStorage) {
  const auto text = [](const char* target, const Artefact& artefact) {
    return test::deploy_for(target, artefact).value().text;
  };
  EXPECT_EQ(options_of("sglang", text("sglang", test::folder_artefact("modelopt", "nvfp4")))
                .at("--quantization"),
            "modelopt_fp4");
  EXPECT_EQ(options_of("sglang", text("sglang", test::gguf_artefact())).at("--load-format"),
            "gguf");
  EXPECT_FALSE(
      options_of("tgi", text("tgi", test::folder_artefact("", ""))).contains("--quantize"));
}

TEST(Deploy, CachesOfTheCheckpointAreAskedFor) {
  Artefact folder = test::folder_artefact("compressed-tensors", "fp8_e4m3_channel");
  const auto dtype = [&](const char* target) {
    return options_of(target, test::deploy_for(target, folder).value().text)["--kv-cache-dtype"];
  };
  EXPECT_EQ(dtype("vllm"), "");
  EXPECT_EQ(dtype("sglang"), "");
  folder.kv_scheme = "fp8";
  EXPECT_EQ(dtype("vllm"), "fp8");
  EXPECT_EQ(dtype("sglang"), "fp8_e4m3");
  folder.kv_scheme = "fp8_head";
  EXPECT_EQ(dtype("vllm"), "fp8");
}

TEST(Deploy, RefusesWhatAProductCannotLoadWithTheReason) {
  const auto error = [](const char* target, const Artefact& artefact) {
    const auto result = test::deploy_for(target, artefact);
    EXPECT_FALSE(result.has_value()) << target;
    return result ? Error() : result.error();
  };
  for (const char* target : {"llama-server", "lmstudio", "ollama"}) {
    EXPECT_THAT(error(target, test::folder_artefact("awq", "int4_g128_asym")).found,
                HasSubstr("awq"));
  }
}

TEST(Deploy, ChecksTheContext) {
  const auto beyond = test::deploy_for("vllm", test::folder_artefact("", ""), {.context = 4096});
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().code, ErrorCode::kUsage);
  EXPECT_THAT(beyond.error().expected, HasSubstr("2048"));
  Artefact unknown = test::folder_artefact("", "");
  unknown.context_length = 0;
  EXPECT_EQ(test::deploy_for("vllm", unknown).error().code, ErrorCode::kUsage);
  EXPECT_TRUE(test::deploy_for("vllm", unknown, {.context = 4096}).has_value());
  EXPECT_FALSE(test::deploy_for("vllm", unknown, {.context = -1}).has_value());
}

// Keys (with the type of their value) that a document may have, "[]" standing for the items of an
// array.
using Schema = std::map<std::string, std::string>;

// Reads back the block style that yaml_text() writes: "key.key[].key" -> scalars, in order.
std::multimap<std::string, std::string> read_yaml(const std::string& text) {
  std::multimap<std::string, std::string> found;
  std::vector<std::pair<std::size_t, std::string>> open;  // indent, path
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::size_t indent = line.find_first_not_of(' ');
    line.erase(0, indent);
    while (line.starts_with("-")) {
      while (!open.empty() && open.back().first > indent) open.pop_back();
      const std::string path = (open.empty() ? "" : open.back().second) + "[]";
      const std::size_t skip = line.size() > 1 ? 2 : 1;
      line.erase(0, skip);
      indent += 2;
      if (line.find(": ") == std::string::npos && !line.ends_with(":")) {
        found.emplace(path, line);
        line.clear();
      } else {
        open.emplace_back(indent, path);
        open.back().second += "";
      }
      break;
    }
    if (line.empty()) continue;
    while (!open.empty() && open.back().first > indent) open.pop_back();
    const std::size_t colon = line.find(':');
    std::string parent;
    for (const auto& [depth, path] : open) {
      if (depth <= indent) parent = path;
    }
    const std::string path = (parent.empty() ? "" : parent + ".") + line.substr(0, colon);
    if (colon + 1 < line.size()) {
      found.emplace(path, line.substr(colon + 2));
    } else {
      open.emplace_back(indent + 2, path);
    }
  }
  return found;
}

std::string kind_of(const std::string& scalar) {
  if (scalar == "true" || scalar == "false") return "bool";
  if (scalar == "[]" || scalar == "{}") return "empty";
  return scalar.find_first_not_of("0123456789") == std::string::npos ? "int" : "string";
}

std::multimap<std::string, std::string> check_yaml(const std::string& text, const Schema& schema) {
  auto found = read_yaml(text);
  for (const auto& [path, scalar] : found) {
    const auto row = schema.find(path);
    if (row == schema.end()) {
      ADD_FAILURE() << "no key " << path << " in the schema\n" << text;
    } else {
      EXPECT_EQ(kind_of(scalar), row->second) << path;
    }
  }
  return found;
}

TEST(Deploy, WritesLmStudiosModelYamlAsItsSchemaSays) {
  static const Schema kSchema = {{"model", "string"},
                                 {"base[].key", "string"},
                                 {"base[].sources", "empty"},
                                 {"metadataOverrides.domain", "string"},
                                 {"metadataOverrides.architectures[]", "string"},
                                 {"metadataOverrides.compatibilityTypes[]", "string"},
                                 {"metadataOverrides.paramsStrings[]", "string"},
                                 {"metadataOverrides.minMemoryUsageBytes", "int"},
                                 {"metadataOverrides.contextLengths[]", "int"},
                                 {"config.load.fields[].key", "string"},
                                 {"config.load.fields[].value", "int"},
                                 {"config.operation.fields[].key", "string"},
                                 {"config.operation.fields[].value[]", "string"}};
  const auto deployment =
      test::deploy_for("lmstudio", test::gguf_artefact(), {.context = 1024, .concurrency = 2});
  const auto found = check_yaml(deployment.value().text, kSchema);
  EXPECT_EQ(found.find("model")->second, "local/tiny-llama");  // publisher/model
  EXPECT_EQ(found.find("metadataOverrides.domain")->second, "llm");
  EXPECT_EQ(found.find("metadataOverrides.contextLengths[]")->second, "2048");
  EXPECT_EQ(found.find("metadataOverrides.minMemoryUsageBytes")->second,
            std::to_string(4'360'000 + 3072 * 1024 * 2));
  EXPECT_EQ(found.count("config.load.fields[].key"), 2U);
  EXPECT_EQ(found.find("config.operation.fields[].value[]")->second, "\"<|im_end|>\"");
  EXPECT_THAT(deployment->notices, Contains(HasSubstr("lms import '/models/Tiny Llama.gguf'")));
}

TEST(Deploy, WritesLocalAisModelConfiguration) {
  static const Schema kSchema = {{"name", "string"},
                                 {"backend", "string"},
                                 {"parameters.model", "string"},
                                 {"context_size", "int"},
                                 {"max_model_len", "int"},
                                 {"template.use_tokenizer_template", "bool"},
                                 {"options[]", "string"},
                                 {"stopwords[]", "string"},
                                 {"known_usecases[]", "string"}};
  const auto gguf = check_yaml(
      test::deploy_for("localai", test::gguf_artefact(), {.concurrency = 3}).value().text, kSchema);
  EXPECT_EQ(gguf.find("backend")->second, "llama-cpp");
  EXPECT_EQ(gguf.find("parameters.model")->second, "\"/models/Tiny Llama.gguf\"");
  EXPECT_EQ(gguf.find("context_size")->second, "2048");
  EXPECT_EQ(gguf.count("options[]"), 2U);
  const auto folder = check_yaml(
      test::deploy_for("localai", test::folder_artefact("awq", "int4_g128_asym")).value().text,
      kSchema);
  EXPECT_EQ(folder.find("backend")->second, "vllm");
  EXPECT_EQ(folder.find("max_model_len")->second, "2048");
  EXPECT_EQ(folder.count("options[]"), 0U);
}

TEST(DeployText, QuotesWhatAShellOrYamlWouldReadOtherwise) {
  EXPECT_EQ(shell_word("/models/a-b_c.gguf"), "/models/a-b_c.gguf");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_word(""), "''");
  const Json document = Json::object(
      {{"plain", "local/tiny-1.5"},
       {"words", Json::array().push("yes").push("No").push("null").push("1e3").push("~")},
       {"text", "a: b # \"c\"\n"},
       {"nested", Json::object({{"list", Json::array().push(Json::object({{"k", 1}, {"v", 2.5}}))},
                                {"none", Json::array()}})},
       {"flag", true}});
  EXPECT_EQ(yaml_text(document),
            "plain: local/tiny-1.5\n"
            "words:\n"
            "  - \"yes\"\n"
            "  - \"No\"\n"
            "  - \"null\"\n"
            "  - \"1e3\"\n"
            "  - \"~\"\n"
            "text: \"a: b # \\\"c\\\"\\n\"\n"
            "nested:\n"
            "  list:\n"
            "    - k: 1\n"
            "      v: 2.5\n"
            "  none: []\n"
            "flag: true\n");
}

TEST(DeployText, TakesNamesApartForProducts) {
  EXPECT_EQ(model_slug("Qwen3 0.6B (Q4_K)"), "qwen3-0.6b--q4_k-");
  EXPECT_EQ(model_slug("..."), "model");
}

}  // namespace
}  // namespace quantlane
