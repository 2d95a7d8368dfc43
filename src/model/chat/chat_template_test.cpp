#include "model/chat/chat_template.h"

#include <string>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "model/chat/chat_turns.h"

namespace quantlane {
namespace {

const fs::path kFolder = fs::path(QUANTLANE_SOURCE_DIR) / "tests/data/chat";
const fs::path kShared =
    fs::path(QUANTLANE_SOURCE_DIR) / "../shared/data/tokenizers/chat-templates";

Json golden() {
  return Json::parse(read_text(kFolder / "golden.json").value(), "golden.json").value();
}

Chat chat_of(const Json& document, const Json& messages, bool generate) {
  Chat chat{.messages = {},
            .add_generation_prompt = generate,
            .bos_token = std::string(document["bos_token"].string()),
            .eos_token = std::string(document["eos_token"].string())};
  for (const Json& message : messages.items()) {
    chat.messages.push_back({.role = std::string(message["role"].string()),
                             .content = std::string(message["content"].string())});
  }
  return chat;
}

// How many renderings of `entry` were compared; 0 where the template cannot be read.
int compare_with_jinja2(const Json& document, const Json& entry) {
  const bool shared = entry["shared"].boolean();
  const fs::path path = (shared ? kShared : kFolder) / std::string(entry["file"].string());
  const auto source = ChatTemplate::parse(read_text(path).value(), path.string());
  if (!source) {
    EXPECT_EQ(source.error().code, ErrorCode::kUnsupported) << source.error().message();
    EXPECT_TRUE(shared) << path;
    return 0;
  }
  std::size_t index = 0;
  for (const Json& messages : document["chats"].items()) {
    for (const bool generate : {true, false}) {
      const Json& wanted = entry["texts"].items()[index++];
      const auto text = source->render(chat_of(document, messages, generate));
      EXPECT_EQ(text.has_value(), wanted.is_string())
          << path << " case " << index << (text ? *text : text.error().message());
      if (!text) continue;
      EXPECT_EQ(shared ? sha256_hex(std::as_bytes(std::span(*text))) : *text, wanted.string())
          << path << " case " << index << "\n"
          << *text;
    }
  }
  return static_cast<int>(index);
}

TEST(ChatTemplate, RendersAsJinja2DoesInTheSetUpOfTransformers) {
  const Json document = golden();
  int compared = 0;
  for (const Json& entry : document["templates"].items()) {
    if (!entry["shared"].boolean()) compared += compare_with_jinja2(document, entry);
  }
  EXPECT_EQ(compared, 7 * 18);
}

TEST(ChatTemplate, RendersTheTemplatesOfPublishedModels) {
  if (!fs::exists(kShared)) GTEST_SKIP() << "needs " << kShared;
  const Json document = golden();
  int compared = 0;
  for (const Json& entry : document["templates"].items()) {
    if (entry["shared"].boolean()) compared += compare_with_jinja2(document, entry);
  }
  EXPECT_EQ(compared, 9 * 18);  // three of twelve have macros
}

ErrorCode parse_error(std::string_view source) {
  const auto parsed = ChatTemplate::parse(source, "t");
  return parsed ? ErrorCode::kInternal : parsed.error().code;
}

TEST(ChatTemplate, SaysWhereASyntaxErrorIs) {
  const auto parsed = ChatTemplate::parse("text {% if a %} {{ b + }} {% endif %}", "t");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(parsed.error().file, "t");
  EXPECT_EQ(parsed.error().offset, 25);
  for (const char* source : {"{% if a %}", "{% endfor %}", "{{ a", "{{ 'a }}", "{# a", "{{ a b }}",
                             "{% for in a %}{% endfor %}", "{{ a[ }}", "{{ (a }}", "{% else %}"}) {
    EXPECT_EQ(parse_error(source), ErrorCode::kCorrupt) << source;
  }
}

TEST(ChatTemplate, RefusesWhatItDoesNotKnowByName) {
  for (const char* source : {"{% macro f() %}{% endmacro %}", "{% include 'a' %}", "{{ (1, 2) }}",
                             "{% set a, b = c %}", "{{ '\\x41' }}"}) {
    EXPECT_EQ(parse_error(source), ErrorCode::kUnsupported) << source;
  }
  for (const char* source : {"{{ a() }}", "{{ 'a' | frobnicate }}", "{{ 1 is odd }}", "{{ a.b }}",
                             "{{ 'a'.center(3) }}", "{{ 1 + 'a' }}", "{{ 1 / 0 }}"}) {
    const auto text = ChatTemplate::parse(source, "t").value().render({});
    ASSERT_FALSE(text.has_value()) << source;
    EXPECT_EQ(text.error().code, ErrorCode::kUnsupported) << source;
    EXPECT_EQ(text.error().file, "t");
  }
}

TEST(ChatTemplate, EndsEveryTemplateThatWouldNotEnd) {
  for (const char* source :
       {"{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}x{% endfor "
        "%}"
        "{% endfor %}{% endfor %}",
        "{% set ns = namespace(a='aaaaaaaaaaaaaaaa') %}{% for i in range(100) %}"
        "{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] %}"
        "{% endfor %}{{ ns.a }}",
        "{% set ns = namespace(a='xxxxxxxxxxxxxxxx') %}{% for i in range(100) %}"
        "{% set ns.a = ns.a.replace('x', ns.a) %}{% endfor %}"}) {
    const auto text = ChatTemplate::parse(source, "t").value().render({});
    ASSERT_FALSE(text.has_value());
    EXPECT_EQ(text.error().code, ErrorCode::kResourceLimit) << text.error().message();
  }
  EXPECT_EQ(parse_error(std::string(10000, '(').insert(0, "{{ ")), ErrorCode::kCorrupt);
  const auto cycle =
      ChatTemplate::parse("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns.a }}", "t");
  EXPECT_FALSE(cycle.value().render({}).has_value());
}

TEST(ChatTemplate, KeepsPythonsRulesForSlicesNumbersAndTruth) {
  const auto render = [](std::string_view source) {
    const auto parsed = ChatTemplate::parse(source, "t");
    return parsed ? parsed->render({}).value_or("error") : parsed.error().message();
  };
  EXPECT_EQ(render("{{ [1, 2, 3][::-1] | join(',') }}"), "3,2,1");
  EXPECT_EQ(render("{{ [1, 2, 3, 4][-3:-1] | join(',') }}"), "2,3");
  EXPECT_EQ(render("{{ 'abc'[1:] ~ 'abc'[:-1] }}"), "bcab");
  EXPECT_EQ(render("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}"), "-4 2 3.5");
  EXPECT_EQ(render("{{ 'a' if [] else 'b' }}{{ not none }}{{ not not '' }}"), "bTrueFalse");
  EXPECT_EQ(render("{{ missing is defined }}{{ missing or 'x' }}"), "Falsex");
  EXPECT_EQ(render("{{ {'a': 1}.items() | length }}{{ 'b' in 'abc' }}"), "1True");
}

Result<ChatTurns> turns_of(const char* file) {
  const auto source = ChatTemplate::parse(read_text(kFolder / file).value(), file);
  const std::vector<std::string> ends = {"</s>", "<|im_end|>", "<|eot_id|>"};
  return find_chat_turns(source.value(), "<s>", "</s>", ends);
}

TEST(ChatTurns, FindsTheTextsAroundTheTurns) {
  const ChatTurns chatml = turns_of("chatml-default-system.jinja").value();
  EXPECT_EQ(chatml.family, "ChatML");
  EXPECT_EQ(chatml.system, SystemPlace::kOwnTurn);
  EXPECT_EQ(chatml.no_system, "<|im_start|>system\nYou are {{ polite }}.<|im_end|>\n");
  EXPECT_EQ(chatml.user_before, "<|im_start|>user\n");
  EXPECT_EQ(chatml.user_after, "<|im_end|>\n");
  EXPECT_EQ(chatml.generation, "<|im_start|>assistant\n");
  EXPECT_EQ(turns_of("headers.jinja").value().family, "Llama 3");
  EXPECT_EQ(turns_of("inst-last-user.jinja").value().system, SystemPlace::kLastUser);
  EXPECT_EQ(turns_of("turns-first-user.jinja").value().system, SystemPlace::kFirstUser);
  EXPECT_EQ(turns_of("no-system.jinja").value().system, SystemPlace::kNowhere);
}

TEST(ChatTurns, RenderAsTheTemplateDoes) {
  const Json document = golden();
  for (const Json& entry : document["templates"].items()) {
    if (entry["shared"].boolean()) continue;
    const std::string file(entry["file"].string());
    const auto turns = turns_of(file.c_str());
    if (file == "numbered.jinja") {
      ASSERT_FALSE(turns.has_value());
      EXPECT_EQ(turns.error().code, ErrorCode::kUnsupported);
      continue;
    }
    ASSERT_TRUE(turns.has_value()) << file << turns.error().message();
    const Json::Array& texts = entry["texts"].items();
    // Two user turns of one, and three: both without white space to trim.
    for (const std::size_t chat : {std::size_t{0}, std::size_t{1}}) {
      if (!texts[2 * chat].is_string()) continue;
      EXPECT_EQ(turns->render(chat_of(document, document["chats"].items()[chat], true)),
                texts[2 * chat].string())
          << file;
    }
  }
}

TEST(ChatTurns, AreNotGuessedWhereATurnDependsOnItsContent) {
  const auto source = ChatTemplate::parse(
      "{% for m in messages %}[{{ m.role }}]{{ m.content | replace('%', 'percent') }}\n{% endfor %}"
      "[assistant]",
      "t");
  const auto turns = find_chat_turns(source.value(), "", "", {});
  ASSERT_FALSE(turns.has_value());
  EXPECT_NE(turns.error().found.find("comes out otherwise"), std::string::npos);
}

}  // namespace
}  // namespace quantlane
