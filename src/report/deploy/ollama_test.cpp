#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "report/deploy/deploy_test_data.h"
#include "report/deploy/go_template_for_test.h"

namespace quantlane {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Modelfile {
  std::map<std::string, std::string> instructions;
  std::multimap<std::string, std::string> parameters;
};

// Reads as Ollama's parser does: comments, `INSTRUCTION value` to the end of the line, quotes of
// one or three marks around values that may span lines.
Modelfile parse_modelfile(const std::string& text) {
  static const std::set<std::string> kInstructions = {
      "FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE", "REQUIRES"};
  static const std::set<std::string> kParameters = {
      "num_ctx",     "repeat_last_n",     "repeat_penalty", "temperature", "seed", "stop",
      "num_predict", "draft_num_predict", "top_k",          "top_p",       "min_p"};
  Modelfile file;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] == '#' || text[at] == '\n') {
      at = text.find('\n', at) + 1;
      continue;
    }
    const auto word = [&] {
      const std::size_t space = text.find(' ', at);
      std::string value = text.substr(at, space - at);
      at = space + 1;
      return value;
    };
    const std::string instruction = word();
    EXPECT_TRUE(kInstructions.contains(instruction)) << instruction;
    const std::string parameter = instruction == "PARAMETER" ? word() : "";
    EXPECT_TRUE(parameter.empty() || kParameters.contains(parameter)) << parameter;
    const std::string quote = text.substr(at, 3) == "\"\"\"" ? "\"\"\""
                              : text[at] == '"'              ? "\""
                                                             : "";
    const std::size_t begin = at + quote.size();
    const std::size_t end = quote.empty() ? text.find('\n', at) : text.find(quote, begin);
    const std::string value = text.substr(begin, end - begin);
    at = text.find('\n', end + quote.size()) + 1;
    if (parameter.empty()) {
      EXPECT_TRUE(file.instructions.emplace(instruction, value).second) << instruction;
    } else {
      file.parameters.emplace(parameter, value);
    }
  }
  return file;
}

std::vector<std::string> values(const Modelfile& file, const std::string& parameter) {
  std::vector<std::string> found;
  const auto [begin, end] = file.parameters.equal_range(parameter);
  for (auto it = begin; it != end; ++it) found.push_back(it->second);
  return found;
}

TEST(Ollama, RefusesPathsThatDoNotFitIntoALine) {
  for (const char* path : {"/models/two\nlines.gguf", "/mod\rels/m.gguf"}) {
    Artefact artefact = test::gguf_artefact();
    artefact.path = path;
    const auto refused = test::deploy_for("ollama", artefact);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kInfeasible);
    EXPECT_EQ(refused.error().found, "one with a line break");
  }
}

TEST(Ollama, WritesAModelfileOfDocumentedInstructionsAndParameters) {
  const Deployment deployment = test::deploy_for("ollama", test::gguf_artefact()).value();
  const Modelfile file = parse_modelfile(deployment.text);
  EXPECT_EQ(file.instructions.at("FROM"), "/models/Tiny Llama.gguf");
  EXPECT_THAT(values(file, "stop"), ElementsAre("<|im_end|>"));
  EXPECT_THAT(values(file, "num_ctx"), ElementsAre("2048"));
  EXPECT_EQ(file.parameters.size(), 2U);
  EXPECT_TRUE(file.instructions.contains("TEMPLATE"));
  EXPECT_EQ(file.instructions.size(), 2U);
}

TEST(Ollama, TemplatesRenderAsTheChatTemplateDoes) {
  const std::vector<std::vector<ChatMessage>> chats = {
      {{"user", "Hi"}},
      {{"system", "Be brief."}, {"user", "Hi"}},
      {{"user", "Hi"}, {"assistant", "Hello!\nHow?"}, {"user", "\"Fine\" {{ x }} 100 %"}},
      {{"system", "Be\nbrief."},
       {"user", "a"},
       {"assistant", "b"},
       {"user", "c"},
       {"assistant", "d"},
       {"user", "e"}}};
  for (const char* name : {"chatml.jinja", "chatml-default-system.jinja", "headers.jinja",
                           "inst-last-user.jinja", "turns-first-user.jinja", "no-system.jinja"}) {
    Artefact artefact = test::gguf_artefact();
    artefact.chat_template = test::chat_source(name);
    artefact.bos_text = "<s>";
    artefact.stop_texts = {"</s>", "<|im_end|>", "<|eot_id|>"};
    const auto source = ChatTemplate::parse(artefact.chat_template, name).value();
    for (const bool adds_bos : {false, true}) {
      artefact.adds_bos = adds_bos;
      const Deployment deployment = test::deploy_for("ollama", artefact).value();
      const Modelfile file = parse_modelfile(deployment.text);
      ASSERT_TRUE(file.instructions.contains("TEMPLATE")) << name;
      test::GoTemplate go(file.instructions.at("TEMPLATE"));
      for (const auto& messages : chats) {
        const auto expected = source.render(
            {.messages = messages, .bos_token = adds_bos ? "" : "<s>", .eos_token = "</s>"});
        if (!expected) continue;  // no-system.jinja refuses a system message
        EXPECT_EQ(go.render(messages), *expected) << name;
      }
    }
  }
}

TEST(Ollama, WritesNoTemplateForOnesThatItCannotTranslate) {
  Artefact artefact = test::gguf_artefact();
  for (const auto& [source, reason] : std::map<std::string, std::string>{
           {test::chat_source("numbered.jinja"), "comes out otherwise"},
           {"{% macro f() %}{% endmacro %}", "macro"},
           {"{{ broken", "the end"},
           {"{% for m in messages %}<{{ m.role }}>\"\"\"{{ m.content }}\n{% endfor "
            "%}<assistant>\"\"\"",
            "three quotes"},
           {"", "no chat template"}}) {
    artefact.chat_template = source;
    const Deployment deployment = test::deploy_for("ollama", artefact).value();
    EXPECT_FALSE(parse_modelfile(deployment.text).instructions.contains("TEMPLATE")) << source;
    EXPECT_THAT(deployment.notices, Contains(HasSubstr(reason))) << source;
    EXPECT_THAT(deployment.notices, Contains(HasSubstr("no TEMPLATE is written")));
  }
}

TEST(Ollama, SaysWhatATemplateLeavesOut) {
  Artefact artefact = test::gguf_artefact();
  artefact.chat_template = test::chat_source("headers.jinja");
  artefact.bos_text = "<s>";
  const Deployment dated = test::deploy_for("ollama", artefact, {.concurrency = 4}).value();
  EXPECT_THAT(dated.notices, Contains(HasSubstr("the date in TEMPLATE")));
  EXPECT_THAT(dated.notices, Contains(HasSubstr("OLLAMA_NUM_PARALLEL=4")));
  artefact.chat_template = test::chat_source("no-system.jinja");
  EXPECT_THAT(test::deploy_for("ollama", artefact).value().notices,
              Contains(HasSubstr("system message: it is dropped")));
}

TEST(Ollama, RefusesQuantizedFoldersAndSplitFiles) {
  const auto folder =
      test::deploy_for("ollama", test::folder_artefact("compressed-tensors", "fp8_e4m3_channel"));
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code, ErrorCode::kInfeasible);
  EXPECT_THAT(folder.error().found, HasSubstr("compressed-tensors"));
  EXPECT_THAT(folder.error().hint, HasSubstr("gguf:"));
  Artefact split = test::gguf_artefact();
  split.files = 3;
  const auto refused = test::deploy_for("ollama", split);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().found, HasSubstr("3 files"));
  // A plain folder of a family that Ollama converts itself.
  EXPECT_TRUE(test::deploy_for("ollama", test::folder_artefact("", "")).has_value());
}

}  // namespace
}  // namespace quantlane
