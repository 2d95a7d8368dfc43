#include <fmt/format.h>

#include "cli/command.h"
#include "quantlane/checkpoint.h"

namespace quantlane::cli {
namespace {

class Tokenize final : public Command {
  [[nodiscard]] std::string_view name() const override { return "tokenize"; }
  [[nodiscard]] std::string_view summary() const override {
    return "token ids of a file, and back";
  }
  [[nodiscard]] std::string_view examples() const override {
    return "  quantlane tokenize ./model --file text.txt > ids.txt\n"
           "  quantlane tokenize ./model --file ids.txt --decode\n";
  }
  void declare(Options& options) override {
    options.positional("checkpoint", checkpoint_, "Hugging Face folder or GGUF file", true);
    options.option("--file", file_, "UTF-8 text, or ids with --decode");
    options.flag("--decode", decode_, "ids to text");
    options.flag("--special", special_, "special tokens spelled in the text become their ids");
  }
  Result<ExitCode> run(const Io& io) override {
    if (file_.empty()) return fail(usage_error("tokenizing").expects("--file PATH"));
    if (decode_) {
      const auto text = detokenize_file(checkpoint_, file_);
      if (!text) return std::unexpected(text.error());
      if (io.json) {
        const auto json = to_json_text(*text);
        if (!json) return std::unexpected(json.error());
        print_line(*json);
      } else {
        std::fwrite(text->data(), 1, text->size(), stdout);
      }
      return ExitCode::kOk;
    }
    const auto ids = tokenize_file(checkpoint_, file_, special_);
    if (!ids) return std::unexpected(ids.error());
    print_line(io.json ? fmt::format("[{}]", fmt::join(*ids, ","))
                       : fmt::format("{}", fmt::join(*ids, " ")));
    return ExitCode::kOk;
  }
  std::filesystem::path checkpoint_;
  std::filesystem::path file_;
  bool decode_ = false;
  bool special_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize() { return std::make_unique<Tokenize>(); }

}  // namespace quantlane::cli
