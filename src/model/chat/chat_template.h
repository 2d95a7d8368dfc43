// Chat templates: the Jinja source that a checkpoint carries, rendered as transformers does.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quantlane/result.h"

namespace quantlane {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct Chat {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  std::string bos_token;
  std::string eos_token;
};

// A parsed template. Immutable, thread-safe.
//
// The subset of Jinja 3 that published chat templates use for plain conversations: text, output,
// for, if, set, namespaces, filters, tests and the string methods of Python, with trim_blocks and
// lstrip_blocks on, as in apply_chat_template() of transformers. `tools` and `documents` are none;
// `strftime_now` is undefined, so templates fall back to the date that they carry.
class ChatTemplate {
 public:
  // kUnsupported names a construct outside the subset (macros, blocks, imports), kCorrupt a syntax
  // error; both with the offset. `origin` names the source in errors.
  static Result<ChatTemplate> parse(std::string_view source, const std::string& origin);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // kInvalidArgument where the template refuses the conversation (raise_exception), kUnsupported
  // for operations outside the subset, kResourceLimit above a million steps or 16 MiB of text.
  [[nodiscard]] Result<std::string> render(const Chat& chat) const;

 private:
  struct Source;
  explicit ChatTemplate(std::unique_ptr<Source> source);
  std::unique_ptr<Source> source_;
};

}  // namespace quantlane
