// Enough of Go's text/template to render the TEMPLATE of a Modelfile as Ollama does: text, fields,
// variables, if / else if / else, range over .Messages, eq, and, len, slice. Anything else fails.
#pragma once
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "model/chat/chat_template.h"

namespace quantlane::test {

class GoTemplate {
 public:
  explicit GoTemplate(std::string_view source) {
    std::size_t at = 0;
    while (at < source.size()) {
      const std::size_t open = source.find("{{", at);
      if (open != at) pieces_.push_back({std::string(source.substr(at, open - at)), false});
      if (open == std::string_view::npos) break;
      std::size_t close = open + 2;
      while (source.substr(close, 2) != "}}") {
        if (close >= source.size()) throw std::runtime_error("unclosed action");
        if (source[close] == '"') close = source.find('"', close + 1);
        ++close;
      }
      std::string action(source.substr(open + 2, close - open - 2));
      if (action.front() != ' ' || action.back() != ' ') throw std::runtime_error("trim markers");
      pieces_.push_back({action.substr(1, action.size() - 2), true});
      at = close + 2;
    }
  }

  // As Ollama's template.Execute: .System joins the system messages, .Messages has all of them.
  std::string render(const std::vector<ChatMessage>& messages) {
    messages_ = messages;
    system_.clear();
    for (const ChatMessage& message : messages) {
      if (message.role == "system") system_ = message.content;
    }
    out_.clear();
    variables_.clear();
    const std::size_t end = run(0, true);
    if (end != pieces_.size()) throw std::runtime_error("end without a block");
    return out_;
  }

 private:
  struct Piece {
    std::string text;
    bool action;
  };
  // A string, a truth value, a number, or messages from an index on.
  struct Value {
    std::string text;
    long number = 0;
    bool truth = false;
  };

  static bool starts(const std::string& text, std::string_view word) {
    return text.starts_with(word);
  }

  // Runs (or skips) pieces up to the end or else of the present block; returns its index.
  std::size_t run(std::size_t at, bool live) {
    while (at < pieces_.size()) {
      const Piece& piece = pieces_[at];
      if (!piece.action) {
        if (live) out_ += piece.text;
        ++at;
      } else if (piece.text == "end" || starts(piece.text, "else")) {
        return at;
      } else if (starts(piece.text, "if ")) {
        at = branch(at, piece.text.substr(3), live);
      } else if (starts(piece.text, "range ")) {
        at = loop(at, live);
      } else {
        if (live) act(piece.text);
        ++at;
      }
    }
    return at;
  }

  std::size_t branch(std::size_t at, const std::string& condition, bool live) {
    bool taken = live && evaluate(condition).truth;
    bool done = taken;
    at = run(at + 1, taken);
    while (pieces_.at(at).text != "end") {
      const std::string word = pieces_[at].text;
      taken = live && !done && (word == "else" || evaluate(word.substr(8)).truth);
      done = done || taken;
      at = run(at + 1, taken);
    }
    return at + 1;
  }

  std::size_t loop(std::size_t at, bool live) {
    const std::string head = pieces_[at].text;
    if (head != "range .Messages" && head != "range $i, $_ := .Messages") {
      throw std::runtime_error("range: " + head);
    }
    std::size_t end = run(at + 1, false);
    if (pieces_.at(end).text != "end") throw std::runtime_error("range with else");
    for (std::size_t i = 0; live && i < messages_.size(); ++i) {
      current_ = &messages_[i];
      variables_["$i"] = {.text = "", .number = static_cast<long>(i), .truth = i > 0};
      run(at + 1, true);
    }
    current_ = nullptr;
    return end + 1;
  }

  void act(const std::string& action) {
    const std::size_t set =
        action.find(" := ") != std::string::npos ? action.find(" := ") : action.find(" = ");
    if (action.front() == '$' && action[1] != '.' && set != std::string::npos) {
      variables_[action.substr(0, set)] = evaluate(action.substr(action.find("= ") + 2));
      return;
    }
    out_ += evaluate(action).text;
  }

  Value evaluate(const std::string& expression) {
    std::vector<Value> values;
    std::string function;
    std::size_t at = 0;
    while (at < expression.size()) {
      if (expression[at] == ' ') {
        ++at;
        continue;
      }
      std::size_t end = at;
      if (expression[at] == '(') {
        int depth = 0;
        do {
          if (expression.at(end) == '(') ++depth;
          if (expression.at(end) == ')') --depth;
          ++end;
        } while (depth > 0);
        values.push_back(evaluate(expression.substr(at + 1, end - at - 2)));
        at = end;
        continue;
      }
      if (expression[at] == '"') {
        end = expression.find('"', at + 1) + 1;
      } else {
        while (end < expression.size() && expression[end] != ' ') ++end;
      }
      const std::string word = expression.substr(at, end - at);
      if (word == "eq" || word == "and" || word == "len" || word == "slice") {
        function = word;
      } else {
        values.push_back(term(word));
      }
      at = end;
    }
    return apply(function, values);
  }

  Value term(const std::string& word) {
    if (word.front() == '"') return text(word.substr(1, word.size() - 2));
    if (word == "true" || word == "false")
      return {.text = "", .number = 0, .truth = word == "true"};
    if (word == "$.System" || (word == ".System" && current_ == nullptr)) return text(system_);
    if (word == "$.Messages") return {.text = "", .number = 0, .truth = !messages_.empty()};
    if (word == ".Role" && current_ != nullptr) return text(current_->role);
    if (word == ".Content" && current_ != nullptr) return text(current_->content);
    if (word.front() == '$') return variables_.at(word);
    return {.text = "", .number = std::stol(word), .truth = word != "0"};
  }
  static Value text(const std::string& value) {
    return {.text = value, .number = 0, .truth = !value.empty()};
  }

  Value apply(const std::string& function, const std::vector<Value>& values) {
    if (function.empty()) return values.at(0);
    if (function == "eq") {
      const bool same =
          values.at(0).text == values.at(1).text && values[0].number == values[1].number;
      return {.text = "", .number = 0, .truth = same};
    }
    if (function == "and") {
      return {.text = "", .number = 0, .truth = values.at(0).truth && values.at(1).truth};
    }
    // slice gives the index from which the messages are kept, len how many those are.
    if (function == "slice") return {.text = "", .number = values.at(1).number, .truth = true};
    const long count = static_cast<long>(messages_.size()) - values.at(0).number;
    return {.text = "", .number = count, .truth = count > 0};
  }

  std::vector<Piece> pieces_;
  std::vector<ChatMessage> messages_;
  std::string system_;
  const ChatMessage* current_ = nullptr;
  std::map<std::string, Value> variables_;
  std::string out_;
};

}  // namespace quantlane::test
