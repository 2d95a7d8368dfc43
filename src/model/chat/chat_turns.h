// The fixed texts around the turns of a conversation: what products with template languages of
// their own need to know of a chat template.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/chat/chat_template.h"
#include "quantlane/result.h"

namespace quantlane {

// Where the text of the system goes.
enum class SystemPlace : std::uint8_t {
  kNowhere,    // the template refuses or drops it
  kOwnTurn,    // before the first turn
  kFirstUser,  // inside the first turn of the user, before what the user said
  kLastUser,   // the same in the last turn of the user
};

// A conversation that begins with a user turn, alternates and ends with a user turn is
//   begin · (system_before S system_after | no_system) · turns · generation
// where a turn is user_before U user_after or assistant_before A assistant_after. Inside a user
// turn the system's part follows user_before.
struct ChatTurns {
  std::string family;     // "ChatML", "Llama 3", "Mistral", "Gemma"; "turns" for others
  std::string begin;      // the BOS token, where the template writes it
  std::string no_system;  // kOwnTurn: in place of the system's turn
  SystemPlace system = SystemPlace::kNowhere;
  std::string system_before, system_after;
  std::string user_before, user_after;
  std::string assistant_before, assistant_after;
  std::string generation;

  // What the template renders for such a conversation, with an optional system message first.
  [[nodiscard]] std::string render(const Chat& chat) const;
};

// Found by rendering marked conversations, and then verified: a template is accepted only where
// render() gives the same text for conversations of up to seven turns, with and without a system
// message. kUnsupported says what differs. Surrounding white space of messages, tool calls and
// reasoning are not looked at. `turn_ends`: tokens that may end a turn; texts that can be cut in
// more than one way are cut behind them.
Result<ChatTurns> find_chat_turns(const ChatTemplate& source, std::string_view bos_token,
                                  std::string_view eos_token,
                                  std::span<const std::string> turn_ends);

}  // namespace quantlane
