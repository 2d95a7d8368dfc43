// Any bytes as a chat template: an error with its place, or text within the limits; turns that are
// found in it render as it does.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "model/chat/chat_turns.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = quantlane::ChatTemplate::parse(text, "input");
  if (!parsed) {
    QUANTLANE_CHECK(parsed.error().file == "input" && !parsed.error().message().empty());
    return 0;
  }
  const quantlane::Chat chat{.messages = {{.role = "user", .content = "Hi"},
                                          {.role = "assistant", .content = "Hello"},
                                          {.role = "user", .content = "two\nlines"}},
                             .bos_token = "<s>",
                             .eos_token = "</s>"};
  const auto rendered = parsed->render(chat);
  if (!rendered) QUANTLANE_CHECK(!rendered.error().message().empty());
  const auto turns = quantlane::find_chat_turns(*parsed, "<s>", "</s>", {});
  if (turns && rendered) QUANTLANE_CHECK(turns->render(chat) == *rendered);
  return 0;
}
