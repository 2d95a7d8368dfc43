#include "quantlane/evaluate.h"

#include <cstdio>

#include "api/defaults.h"
#include "api/kv_request.h"
#include "core/atomic_file.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/output_path.h"
#include "eval/score_text.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {
namespace {

Result<std::unique_ptr<Runtime>> load_runtime(const fs::path& path) {
  QUANTLANE_TRY(auto checkpoint, Checkpoint::open(path));
  return Runtime::load(std::move(checkpoint));
}

EvalResult with_kv(EvalResult result, Runtime& runtime) {
  if (runtime.kv().any()) result.kv = runtime.kv().scheme->name;
  return result;
}

Result<EvalResult> evaluate_sliding(const EvalOptions& options, Runtime& runtime,
                                    const NamedText& text, ThreadPool& pool, Progress& progress) {
  if (options.reference) {
    return fail(usage_error("evaluating sliding windows")
                    .expects("no --reference with --stride")
                    .advise("leave out --stride to compare with a reference"));
  }
  QUANTLANE_TRY_VOID(check_utf8(text.text, text.name));
  QUANTLANE_TRY(const auto tokenizer, runtime.checkpoint().tokenizer());
  auto tokens = tokenizer->encode(text.text, false);
  const auto size = static_cast<std::int64_t>(tokens.size());
  if (options.chunks > 0 && options.chunk > 0 && size / options.chunk >= options.chunks)
    tokens.resize(static_cast<std::size_t>(options.chunks * options.chunk));
  if (tokens.size() < 2)
    return fail(invalid("evaluating").in(text.name).expects("at least 2 tokens"));
  QUANTLANE_TRY(const TokenScores scores,
                score_sliding(runtime, tokens, options.chunk, options.stride, pool, progress));
  return with_kv(summarize(scores), runtime);
}

constexpr std::string_view kNpyMagic = "\x93NUMPY";

// NumPy's .npy format, version 1.0: magic, header length, a Python dictionary padded to 64 bytes.
std::string npy_header(std::size_t rows, std::int64_t cols) {
  std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                           std::to_string(rows) + ", " + std::to_string(cols) + "), }";
  const std::size_t unpadded = 10 + dictionary.size() + 1;
  dictionary.append((64 - unpadded % 64) % 64, ' ');
  dictionary += '\n';
  std::string header(kNpyMagic);
  header.append("\x01\x00", 2);
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

Result<std::vector<std::int32_t>> read_ids(const fs::path& path) {
  QUANTLANE_TRY(const std::string text, read_text(path));
  QUANTLANE_TRY(const Json json, Json::parse(text, path.string()));
  const Json& list = json.is_object() ? json["input_ids"] : json;
  std::vector<std::int32_t> ids;
  for (const Json& id : list.items()) {
    if (!id.is_integer() || id.integer() < 0 || id.integer() > INT32_MAX) {
      return fail(
          corrupt("reading token ids").in(path.string()).expects("whole numbers").got(id.dump()));
    }
    ids.push_back(static_cast<std::int32_t>(id.integer()));
  }
  if (ids.empty()) {
    return fail(
        corrupt("reading token ids")
            .in(path.string())
            .expects("a JSON array of token ids, or an object with one under \"input_ids\""));
  }
  return ids;
}

}  // namespace

Result<EvalResult> evaluate_text(const EvalOptions& options, Progress& progress) {
  ThreadPool pool(options.threads);
  QUANTLANE_TRY(const NamedText text,
                evaluation_text(options.text.empty() ? std::nullopt : std::optional(options.text)));
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open(options.checkpoint));
  QUANTLANE_TRY_VOID(check_context(*checkpoint, options.chunk, "evaluating"));
  QUANTLANE_TRY(const auto runtime,
                Runtime::load(checkpoint, options.arithmetic.value_or(Arithmetic::kFloat)));
  QUANTLANE_TRY_VOID(set_kv_cache(*runtime, options.kv, pool, progress));
  if (options.stride > 0) return evaluate_sliding(options, *runtime, text, pool, progress);
  std::unique_ptr<Runtime> reference;
  if (options.reference) {
    QUANTLANE_TRY(reference, load_runtime(*options.reference));
  }
  // The reference's tokenizer decides: both must read the same ids.
  const Checkpoint& source = reference ? reference->checkpoint() : runtime->checkpoint();
  QUANTLANE_TRY(const TokenChunks chunks, make_chunks(source, text.text, text.name, options.chunk,
                                                      options.chunks, "--chunk"));
  std::vector<ScoredRun> candidates = {{.runtime = runtime.get(), .scores = {}, .shape = {}}};
  std::unique_ptr<Runtime> as_run;
  if (reference && !options.arithmetic && checkpoint->engine_differs()) {
    QUANTLANE_TRY(as_run, Runtime::load(checkpoint, Arithmetic::kEngine));
    as_run->kv() = runtime->kv();
    candidates.push_back({.runtime = as_run.get(), .scores = {}, .shape = {}});
  }
  QUANTLANE_TRY_VOID(score_text(reference.get(), candidates, chunks, pool, progress, {}));
  EvalResult result = summarize(candidates[0].scores);
  if (as_run) result.engine = summarize_engine(candidates[1].scores);
  return with_kv(std::move(result), *runtime);
}

Result<LogitsFile> write_logits(const fs::path& checkpoint, const fs::path& ids_json,
                                const fs::path& npy, int threads) {
  ThreadPool pool(threads);
  const InputPath inputs[] = {{.name = "the checkpoint", .path = checkpoint},
                              {.name = "--ids", .path = ids_json}};
  QUANTLANE_TRY_VOID(check_apart(npy, inputs));
  const bool replaces = is_taken(npy);
  QUANTLANE_TRY_VOID(check_replaceable(npy, kNpyMagic));
  QUANTLANE_TRY_VOID(check_writable(npy));
  QUANTLANE_TRY(const auto ids, read_ids(ids_json));
  QUANTLANE_TRY(const auto runtime, load_runtime(checkpoint));
  KvCache cache(runtime->config(), static_cast<std::int64_t>(ids.size()));
  const Segment segment{.tokens = ids, .cache = &cache, .logits_from = 0};
  std::vector<float> logits;
  QUANTLANE_TRY_VOID(runtime->forward(std::span(&segment, 1), pool, logits));
  QUANTLANE_TRY(AtomicFile file,
                AtomicFile::create(npy, replaceable(replaces, std::string(kNpyMagic))));
  QUANTLANE_TRY_VOID(file.append(npy_header(ids.size(), runtime->config().vocab_size)));
  QUANTLANE_TRY_VOID(file.append(std::as_bytes(std::span(logits))));
  QUANTLANE_TRY_VOID(file.commit());
  return LogitsFile{.path = npy,
                    .tokens = static_cast<std::int64_t>(ids.size()),
                    .vocab = runtime->config().vocab_size};
}

std::string to_json(const LogitsFile& file) {
  return Json::object(
             {{"logits", file.path.string()}, {"shape", Json::Array{file.tokens, file.vocab}}})
      .dump(2);
}

}  // namespace quantlane
