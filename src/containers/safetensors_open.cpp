// Which files make up a safetensors checkpoint, and whether they fit together.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "containers/mapped_container.h"
#include "containers/safetensors.h"
#include "core/check.h"
#include "core/json.h"

namespace quantlane {
namespace {

constexpr std::string_view kModelFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
constexpr std::uint64_t kMaxIndexBytes = 100'000'000;

// Tensor name -> shard, as the index says; shards in the order of their names.
struct Index {
  std::vector<fs::path> shards;
  std::unordered_map<std::string, std::size_t> shard_of;
};

Error index_error(const fs::path& index) {
  return corrupt("reading the index of a sharded checkpoint").in(index.string());
}

// A shard stands beside its index: a path could lead anywhere on the machine.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Result<Index> read_index(const fs::path& path) {
  QUANTLANE_TRY(const std::string text, read_text(path, kMaxIndexBytes));
  QUANTLANE_TRY(const Json json, Json::parse(text, path.string()));
  const Json& map = json["weight_map"];
  if (!map.is_object() || map.members().empty()) {
    return fail(
        index_error(path).expects("a weight_map object that names a shard for each tensor"));
  }
  std::map<std::string, std::size_t> shards;
  for (const auto& [tensor, shard] : map.members()) {
    if (!shard.is_string() || !is_plain_name(shard.string())) {
      return fail(index_error(path).of(tensor).expects("a file name").got(shard.dump()));
    }
    shards.emplace(shard.string(), 0);
  }
  Index index;
  for (auto& [name, number] : shards) {
    number = index.shards.size();
    index.shards.push_back(path.parent_path() / name);
  }
  for (const auto& [tensor, shard] : map.members()) {
    index.shard_of.emplace(tensor, shards.find(std::string(shard.string()))->second);
  }
  return index;
}

// The files of a checkpoint, opened one after another into one list of tensors.
class Assembly {
 public:
  Result<void> add(const fs::path& path) {
    QUANTLANE_TRY(MappedFile file, MappedFile::open(path));
    QUANTLANE_TRY(SafetensorsFile parsed, parse_safetensors(file.bytes(), file.path()));
    const auto shard = static_cast<std::uint32_t>(files_.size());
    for (TensorInfo& tensor : parsed.tensors) {
      tensor.shard = shard;
      const auto [it, is_new] = shard_of_.emplace(tensor.name, shard);
      if (!is_new) {
        return fail(corrupt("joining the shards of a checkpoint")
                        .in(file.path())
                        .of(tensor.name)
                        .at(tensor.offset)
                        .expects("each tensor in one shard")
                        .got("the same name in " + files_[it->second].path()));
      }
      tensors_.push_back(std::move(tensor));
    }
    for (const auto& [key, value] : parsed.metadata.entries()) {
      if (metadata_.find(key) == nullptr) metadata_.set(key, value);
    }
    files_.push_back(std::move(file));
    return {};
  }

  // Every tensor where the index says, and no others.
  Result<void> check_against(const Index& index, const fs::path& path) const {
    for (const auto& [tensor, shard] : index.shard_of) {
      const auto it = shard_of_.find(tensor);
      if (it == shard_of_.end() || it->second != shard) {
        return fail(index_error(path)
                        .of(tensor)
                        .expects("the tensor in " + index.shards[shard].filename().string())
                        .got(it == shard_of_.end() ? "no such tensor in any shard"
                                                   : "it in " + files_[it->second].path()));
      }
    }
    for (const auto& [tensor, shard] : shard_of_) {
      if (!index.shard_of.contains(tensor)) {
        return fail(index_error(path)
                        .of(tensor)
                        .expects("every tensor of the shards in the index")
                        .got("it only in " + files_[shard].path()));
      }
    }
    return {};
  }

  std::unique_ptr<Container> finish() && {
    return std::make_unique<MappedContainer>("safetensors", std::move(files_), std::move(tensors_),
                                             std::move(metadata_));
  }

 private:
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::uint32_t> shard_of_;
  Metadata metadata_;
};

Result<std::unique_ptr<Container>> open_files(const std::vector<fs::path>& paths) {
  Assembly assembly;
  for (const fs::path& path : paths) QUANTLANE_TRY_VOID(assembly.add(path));
  return std::move(assembly).finish();
}

Result<std::unique_ptr<Container>> open_index(const fs::path& path) {
  QUANTLANE_TRY(const Index index, read_index(path));
  Assembly assembly;
  for (const fs::path& shard : index.shards) {
    std::error_code ignored;
    if (!fs::exists(shard, ignored)) {
      return fail(not_found("opening a shard of a checkpoint")
                      .in(shard.string())
                      .expects("the file that " + path.filename().string() + " names")
                      .advise("download the missing file into the same folder"));
    }
    QUANTLANE_TRY_VOID(assembly.add(shard));
  }
  QUANTLANE_TRY_VOID(assembly.check_against(index, path));
  return std::move(assembly).finish();
}

// All *.safetensors of a folder, by name.
std::vector<fs::path> safetensors_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->path().extension() == ".safetensors" && it->is_regular_file(ignored)) {
      paths.push_back(it->path());
    }
  }
  std::ranges::sort(paths);
  return paths;
}

// "…-of-00004.safetensors" -> 4; 0 for other names.
std::size_t announced_shards(const fs::path& path) {
  const std::string stem = path.stem().string();
  const std::size_t mark = stem.rfind("-of-");
  std::size_t count = 0;
  if (mark == std::string::npos) return 0;
  const char* end = stem.data() + stem.size();
  const auto [stop, status] = std::from_chars(stem.data() + mark + 4, end, count);
  return status == std::errc() && stop == end ? count : 0;
}

// Something of that name, also a link that leads nowhere: opening it says what is wrong.
bool is_there(const fs::path& path) {
  std::error_code code;
  return fs::exists(fs::symlink_status(path, code));
}

Result<std::unique_ptr<Container>> open_folder(const fs::path& folder) {
  const fs::path index = folder / kIndexFile;
  const fs::path model = folder / kModelFile;
  const bool has_index = is_there(index);
  if (has_index && is_there(model)) {
    QUANTLANE_TRY(const Index named, read_index(index));
    if (std::ranges::find(named.shards, model) == named.shards.end()) {
      return fail(invalid("opening a safetensors folder")
                      .in(folder.string())
                      .expects("one checkpoint")
                      .got(fmt::format("{} and {}, which does not name it", kModelFile, kIndexFile))
                      .advise("name the one to open instead of the folder"));
    }
  }
  if (has_index) return open_index(index);
  if (is_there(model)) return open_files({model});
  const std::vector<fs::path> paths = safetensors_in(folder);
  if (paths.empty()) {
    return fail(not_found("opening a safetensors folder")
                    .in(folder.string())
                    .expects(fmt::format("{}, {} or other *.safetensors", kModelFile, kIndexFile)));
  }
  const std::size_t announced = announced_shards(paths.front());
  if (announced != 0 && announced != paths.size()) {
    return fail(not_found("opening the shards of a checkpoint without an index")
                    .in(folder.string())
                    .expects(fmt::format("{} files (the name of {} says so)", announced,
                                         paths.front().filename().string()))
                    .got(std::to_string(paths.size()))
                    .advise("download the missing files into the same folder"));
  }
  return open_files(paths);
}

// A length that fits the format and an object behind it, for files with another extension.
bool looks_like_safetensors(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::array<char, 9> start{};
  if (!stream.read(start.data(), start.size())) return false;
  std::uint64_t length = 0;
  std::memcpy(&length, start.data(), sizeof(length));
  std::error_code code;
  const std::uint64_t size = fs::file_size(path, code);
  return !code && start[8] == '{' && length >= 2 && length <= size - 8;
}

}  // namespace

bool is_safetensors(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code)) {
    return is_there(path / kIndexFile) || is_there(path / kModelFile) ||
           !safetensors_in(path).empty();
  }
  if (!fs::is_regular_file(path, code)) return false;
  return path.extension() == ".safetensors" || path.string().ends_with(kIndexSuffix) ||
         looks_like_safetensors(path);
}

Result<std::unique_ptr<Container>> open_safetensors(const fs::path& path) {
  std::error_code code;
  if (fs::is_directory(path, code)) return open_folder(path);
  if (path.string().ends_with(kIndexSuffix)) return open_index(path);
  return open_files({path});
}

constinit const ContainerKind kSafetensorsKind = {
    .name = "safetensors", .recognises = is_safetensors, .open = open_safetensors};

}  // namespace quantlane
