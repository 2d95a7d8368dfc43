#include "model/chat/chat_template.h"

#include <utility>

#include "core/check.h"
#include "model/chat/jinja.h"

namespace quantlane {

struct ChatTemplate::Source {
  jinja::Body body;
  std::string origin;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Source> source) : source_(std::move(source)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const std::string& origin) {
  QUANTLANE_TRY(jinja::Body body, jinja::parse(source, origin));
  return ChatTemplate(std::make_unique<Source>(Source{std::move(body), origin}));
}

Result<std::string> ChatTemplate::render(const Chat& chat) const {
  jinja::List messages;
  for (const ChatMessage& message : chat.messages) {
    messages.emplace_back(jinja::Map{{"role", jinja::Value(message.role)},
                                     {"content", jinja::Value(message.content)}});
  }
  jinja::Map globals = {{"messages", jinja::Value(std::move(messages))},
                        {"add_generation_prompt", jinja::Value(chat.add_generation_prompt)},
                        {"bos_token", jinja::Value(chat.bos_token)},
                        {"eos_token", jinja::Value(chat.eos_token)},
                        {"tools", jinja::Value(jinja::None{})},
                        {"documents", jinja::Value(jinja::None{})}};
  return jinja::evaluate(source_->body, std::move(globals), source_->origin);
}

}  // namespace quantlane
