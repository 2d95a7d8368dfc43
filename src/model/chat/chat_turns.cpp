#include "model/chat/chat_turns.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "core/check.h"

namespace quantlane {
namespace {

// Marks that no template writes and that trimming, splitting and escaping leave alone.
constexpr std::string_view kSystem = "qSYSq", kUser = "qUSRq", kUser2 = "qUZRq",
                           kAssistant = "qASTq";

std::string common_prefix(std::string_view a, std::string_view b) {
  return {a.begin(), std::ranges::mismatch(a, b).in1};
}
std::string common_suffix(std::string_view a, std::string_view b) {
  std::size_t length = 0;
  while (length < a.size() && length < b.size() &&
         a[a.size() - 1 - length] == b[b.size() - 1 - length])
    ++length;
  return std::string(a.substr(a.size() - length));
}

Error not_recognised(std::string found) {
  return unsupported("recognising the chat template")
      .expects("turns with fixed texts around them")
      .got(std::move(found));
}

// The texts between the marks, which must stand in this order, once each.
Result<std::vector<std::string>> split(std::string_view text,
                                       const std::vector<std::string_view>& marks) {
  std::vector<std::string> pieces;
  std::size_t begin = 0;
  for (const std::string_view mark : marks) {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos || at < begin ||
        text.find(mark, at + mark.size()) != std::string_view::npos) {
      return fail(not_recognised("a message that is left out, moved or repeated"));
    }
    pieces.emplace_back(text.substr(begin, at - begin));
    begin = at + mark.size();
  }
  pieces.emplace_back(text.substr(begin));
  return pieces;
}

Chat conversation(std::string_view bos, std::string_view eos,
                  const std::vector<std::string_view>& marks) {
  Chat chat{.messages = {}, .bos_token = std::string(bos), .eos_token = std::string(eos)};
  for (const std::string_view mark : marks) {
    const bool user = mark == kUser || mark == kUser2;
    const char* role = mark == kSystem ? "system" : user ? "user" : "assistant";
    chat.messages.push_back({.role = role, .content = std::string(mark)});
  }
  return chat;
}

class Finder {
 public:
  Finder(const ChatTemplate& source, std::string_view bos, std::string_view eos,
         std::span<const std::string> turn_ends)
      : source_(source), bos_(bos), eos_(eos), turn_ends_(turn_ends) {}

  Result<ChatTurns> run() {
    QUANTLANE_TRY(const auto pieces, rendered({kUser, kAssistant, kUser2}));
    QUANTLANE_TRY_VOID(find_turns(pieces));
    // An error of a conversation with a system message means that there may be none.
    if (const auto with_system = rendered({kSystem, kUser})) {
      QUANTLANE_TRY_VOID(find_system(*with_system));
    }
    tidy();
    name_family();
    QUANTLANE_TRY_VOID(verify());
    return turns_;
  }

 private:
  Result<std::vector<std::string>> rendered(const std::vector<std::string_view>& marks) {
    QUANTLANE_TRY(const std::string text, source_.render(conversation(bos_, eos_, marks)));
    return split(text, marks);
  }

  // Pieces around U, A, U2: begin + no_system + user_before, user_after + assistant_before,
  // assistant_after + user_before, user_after + generation.
  Result<void> find_turns(const std::vector<std::string>& pieces) {
    std::string start = pieces[0];
    if (!bos_.empty() && start.starts_with(bos_)) {
      turns_.begin = bos_;
      start.erase(0, bos_.size());
    }
    turns_.user_before = common_suffix(start, pieces[2]);
    if (turns_.user_before.empty()) {
      return fail(not_recognised("user turns without a common start"));
    }
    turns_.no_system = start.substr(0, start.size() - turns_.user_before.size());
    turns_.assistant_after = pieces[2].substr(0, pieces[2].size() - turns_.user_before.size());
    turns_.user_after = common_prefix(pieces[1], pieces[3]);
    turns_.assistant_before = pieces[1].substr(turns_.user_after.size());
    turns_.generation = pieces[3].substr(turns_.user_after.size());
    return {};
  }

  // Pieces around S, U: an own turn ends as user turns begin; else the system speaks inside one.
  Result<void> find_system(const std::vector<std::string>& pieces) {
    std::string_view before = pieces[0];
    if (!before.starts_with(turns_.begin)) return fail(not_recognised("another start"));
    before.remove_prefix(turns_.begin.size());
    if (pieces[1].ends_with(turns_.user_before)) {
      turns_.system = SystemPlace::kOwnTurn;
      turns_.system_before = before;
      turns_.system_after = pieces[1].substr(0, pieces[1].size() - turns_.user_before.size());
      return {};
    }
    const std::string lead = turns_.no_system + turns_.user_before;
    if (!before.starts_with(lead)) return fail(not_recognised("a system message in another place"));
    turns_.system_before = before.substr(lead.size());
    turns_.system_after = pieces[1];
    turns_.system = rendered({kSystem, kUser, kAssistant, kUser2}) ? SystemPlace::kFirstUser
                                                                   : SystemPlace::kLastUser;
    return {};
  }

  // Where texts may be cut in more than one way, cut them where a reader would: what ends a turn of
  // the assistant ends the other turns too.
  void tidy() {
    const bool inside =
        turns_.system == SystemPlace::kFirstUser || turns_.system == SystemPlace::kLastUser;
    for (const std::string& token : turn_ends_) {
      if (token.empty() || inside || !turns_.assistant_after.empty() ||
          !turns_.user_before.starts_with(token)) {
        continue;
      }
      const std::string end =
          token + (turns_.user_before.substr(token.size()).starts_with("\n") ? "\n" : "");
      turns_.user_before.erase(0, end.size());
      turns_.assistant_after = end;
      turns_.no_system += end;
      turns_.system_after += end;
    }
    const std::string& closing = turns_.assistant_after;
    if (!closing.empty() && turns_.user_after.starts_with(closing) &&
        turns_.user_after.size() > closing.size()) {
      const std::string rest = turns_.user_after.substr(closing.size());
      turns_.user_after = closing;
      turns_.assistant_before.insert(0, rest);
      turns_.generation.insert(0, rest);
    }
  }

  void name_family() {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kFamilies = {
        {{"<|im_start|>", "ChatML"},
         {"<|start_header_id|>", "Llama 3"},
         {"[INST]", "Mistral"},
         {"<start_of_turn>", "Gemma"}}};
    turns_.family = "turns";
    for (const auto& [mark, name] : kFamilies) {
      if (turns_.user_before.find(mark) != std::string::npos) turns_.family = name;
    }
  }

  Result<void> verify() {
    static const std::vector<std::string_view> kSaid = {
        "Hi",       "Hello! How are you?",     "two\n\nlines",
        "- a\n- b", "\"quoted\" {{ braces }}", "100 %",
        "äöü 漢字"};
    for (const bool system : {false, true}) {
      if (system && turns_.system == SystemPlace::kNowhere) continue;
      for (std::size_t turns = 1; turns <= kSaid.size(); turns += 2) {
        Chat chat = conversation(bos_, eos_, {});
        if (system) chat.messages.push_back({.role = "system", .content = "Be brief.\nBe kind."});
        for (std::size_t i = 0; i < turns; ++i) {
          chat.messages.push_back(
              {.role = i % 2 == 0 ? "user" : "assistant", .content = std::string(kSaid[i])});
        }
        QUANTLANE_TRY(const std::string expected, source_.render(chat));
        if (turns_.render(chat) != expected) {
          return fail(not_recognised("a conversation of " + std::to_string(turns) +
                                     " turns that comes out otherwise"));
        }
      }
    }
    return {};
  }

  const ChatTemplate& source_;
  std::string bos_, eos_;
  std::span<const std::string> turn_ends_;
  ChatTurns turns_;
};

}  // namespace

std::string ChatTurns::render(const Chat& chat) const {
  std::optional<std::string> said;
  for (const ChatMessage& message : chat.messages) {
    if (message.role == "system") said = message.content;
  }
  std::string text = begin;
  const bool own = system == SystemPlace::kOwnTurn && said;
  text += own ? system_before + *said + system_after : no_system;
  bool first = true;
  for (const ChatMessage& message : chat.messages) {
    if (message.role == "assistant") text += assistant_before + message.content + assistant_after;
    if (message.role != "user") continue;
    const bool here = (system == SystemPlace::kFirstUser && first) ||
                      (system == SystemPlace::kLastUser && &message == &chat.messages.back());
    text += user_before;
    if (here && said) text += system_before + *said + system_after;
    text += message.content + user_after;
    first = false;
  }
  return text + generation;
}

Result<ChatTurns> find_chat_turns(const ChatTemplate& source, std::string_view bos_token,
                                  std::string_view eos_token,
                                  std::span<const std::string> turn_ends) {
  return Finder(source, bos_token, eos_token, turn_ends).run();
}

}  // namespace quantlane
