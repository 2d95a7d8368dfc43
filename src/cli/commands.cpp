// The table of commands, in the order of the help page.
#include "cli/command.h"

namespace quantlane::cli {

std::vector<std::unique_ptr<Command>> make_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const auto make : {make_compare, make_inspect, make_quantize, make_convert, make_merge_lora,
                          make_imatrix, make_imatrix_merge, make_imatrix_show, make_eval,
                          make_bench, make_tokenize, make_deploy, make_report, make_doctor}) {
    commands.push_back(make());
  }
  return commands;
}

}  // namespace quantlane::cli
