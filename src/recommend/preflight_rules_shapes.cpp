// Pre-flight: divisibility, as a whole and after tensor parallelism has cut the matrices.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace preflight_parts {

std::int64_t rows_of_rank(const Facts& facts, const LinearFacts& linear, Split split,
                          std::int64_t ranks) {
  if (split != Split::kRows) return linear.rows;
  const bool kv = linear.module.ends_with(".k_proj") || linear.module.ends_with(".v_proj");
  const std::int64_t heads = facts.model_key("num_key_value_heads").integer();
  const std::int64_t parts = kv && heads > 0 ? std::min(heads, ranks) : ranks;
  return linear.rows / std::max<std::int64_t>(parts, 1);
}

std::int64_t cols_of_rank(const LinearFacts& linear, Split split, std::int64_t ranks) {
  return split == Split::kColumns ? linear.cols / std::max<std::int64_t>(ranks, 1) : linear.cols;
}

}  // namespace preflight_parts

namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

constexpr std::int64_t kMarlinRows = 64;
constexpr std::int64_t kMarlinCols = 128;

std::string number(std::int64_t value) { return std::to_string(value); }

std::string of_rank(const Target& t) {
  return t.tensor_parallel > 1 ? " of each of " + number(t.tensor_parallel) + " ranks" : "";
}

Found heads(const Facts& f, const Target& t) {
  const std::int64_t count = f.model_key("num_attention_heads").integer();
  return when(count > 0 && count % t.tensor_parallel != 0,
              number(count) + " attention heads over " + number(t.tensor_parallel) + " ranks");
}

Found kv_heads(const Facts& f, const Target& t) {
  const std::int64_t count = f.model_key("num_key_value_heads").integer();
  const bool uneven = count > 0 && count % t.tensor_parallel != 0 && t.tensor_parallel % count != 0;
  return when(uneven,
              number(count) + " key-value heads over " + number(t.tensor_parallel) + " ranks");
}

Found widths(const Facts& f, const Target& t) {
  return first_product(f, [&](const FusedLinears& product) -> Found {
    if (product.experts) return std::nullopt;
    for (const LinearFacts* linear : product.shards) {
      const bool kv = linear->module.ends_with(".k_proj") || linear->module.ends_with(".v_proj");
      const std::int64_t extent = product.split == Split::kRows      ? linear->rows
                                  : product.split == Split::kColumns ? linear->cols
                                                                     : 0;
      if (!kv && extent % t.tensor_parallel != 0)
        return number(extent) + " over " + number(t.tensor_parallel) + " ranks";
    }
    return std::nullopt;
  });
}

// The cut of an expert's Linear, which is fused with those of the other experts.
Split split_within(const FusedLinears& product, const LinearFacts& linear) {
  if (!product.experts) return product.split;
  const std::string_view name = linear.module;
  return name.ends_with(".down_proj") || name.ends_with(".w2") ? Split::kColumns : Split::kRows;
}

// breaks(linear, rows, cols) of every quantized Linear, with the extents of one rank.
template <class Breaks>
Found first_of_rank(const Facts& f, const Target& t, const Breaks& breaks) {
  return first_product(f, [&](const FusedLinears& product) -> Found {
    for (const LinearFacts* linear : product.shards) {
      if (!linear->scheme) continue;
      const Split split = split_within(product, *linear);
      const Found why = breaks(*linear, rows_of_rank(f, *linear, split, t.tensor_parallel),
                               cols_of_rank(*linear, split, t.tensor_parallel));
      if (why) return why;
    }
    return std::nullopt;
  });
}

Found group_width(const Facts& f, const Target& t) {
  return first_of_rank(f, t,
                       [&](const LinearFacts& linear, std::int64_t, std::int64_t cols) -> Found {
                         const Scheme& w = linear.scheme->weight;
                         if (w.granularity != Granularity::kGroup || is_nf4(*linear.scheme))
                           return std::nullopt;
                         return when(w.group_size > 0 && cols % w.group_size != 0,
                                     "groups of " + number(w.group_size) + " do not divide the " +
                                         number(cols) + " columns" + of_rank(t));
                       });
}

// Made while loading, the last block of a matrix may be a part (vLLM 0.32.0 utils/deep_gemm.py:
// per_block_cast_to_fp8), and experts are rounded up (online/fp8.py: maybe_roundup_sizes).
Found block_rows(const Facts& f, const Target& t) {
  if (!f.quantized()) return std::nullopt;
  return first_product(f, [&](const FusedLinears& product) -> Found {
    // A matrix that is neither cut nor joined may end in a part of a block.
    const bool cut = t.tensor_parallel > 1 && product.split == Split::kRows;
    if (product.shards.size() < 2 && !cut) return std::nullopt;
    for (const LinearFacts* linear : product.shards) {
      if (!linear->scheme || !is_fp8_block(*linear->scheme)) continue;
      // vLLM lets the last of joined matrices end in a part of a block.
      if (t.is(Engine::kVllm) && !cut && linear == product.shards.back()) continue;
      const std::int64_t rows =
          rows_of_rank(f, *linear, split_within(product, *linear), t.tensor_parallel);
      const int block = linear->scheme->weight.block_rows;
      if (rows % block != 0) {
        return "blocks of " + number(block) + " rows do not divide the " + number(rows) + " of " +
               linear->module.substr(linear->module.rfind('.') + 1) + of_rank(t);
      }
    }
    return std::nullopt;
  });
}

Found block_cols(const Facts& f, const Target& t) {
  return first_of_rank(
      f, t, [&](const LinearFacts& linear, std::int64_t, std::int64_t cols) -> Found {
        const bool rounded_up = !f.quantized() && is_expert(linear);
        if (!is_fp8_block(*linear.scheme) || rounded_up) return std::nullopt;
        const int block = linear.scheme->weight.group_size;
        const bool inputs = linear.scheme->input.has_value();
        const bool cut = cols != linear.cols;
        return when((cut || inputs) && cols % block != 0, "blocks of " + number(block) +
                                                              " do not divide the " + number(cols) +
                                                              " columns" + of_rank(t));
      });
}

Found packed_words(const Facts& f, const Target& t) {
  return first_of_rank(
      f, t, [&](const LinearFacts& linear, std::int64_t rows, std::int64_t cols) -> Found {
        if (!is_weight_only_int(*linear.scheme)) return std::nullopt;
        // Words are dense: codes of 3, 5, 6 and 7 bits go across their ends.
        const std::int64_t bits = linear.scheme->weight.bits;
        const std::int64_t along = f.dialect == "awq" ? rows : cols;
        return when(along * bits % 32 != 0,
                    number(along) + (f.dialect == "awq" ? " rows" : " columns") + of_rank(t) +
                        " of " + number(bits) + " bits do not fill 32-bit words");
      });
}

bool marlin_device(const Target& t) {
  return !t.device || (t.capability() >= 75 && !t.is_amd_gpu() && !t.is_cpu());
}

Found marlin_shape(const Facts& f, const Target& t) {
  if (!marlin_device(t)) return std::nullopt;
  return first_product(f, [&](const FusedLinears& product) -> Found {
    if (product.experts) return std::nullopt;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    for (const LinearFacts* linear : product.shards) {
      if (!linear->scheme || !is_weight_only_int(*linear->scheme)) return std::nullopt;
      rows += rows_of_rank(f, *linear, product.split, t.tensor_parallel);
      cols = cols_of_rank(*linear, product.split, t.tensor_parallel);
    }
    if (rows % kMarlinRows != 0)
      return number(rows) + " rows" + of_rank(t) + ", not a multiple of 64";
    if (cols % kMarlinCols != 0)
      return number(cols) + " columns" + of_rank(t) + ", not a multiple of 128";
    return std::nullopt;
  });
}

Found awq_shape(const Facts& f, const Target& t) {
  return f.dialect == "awq" ? marlin_shape(f, t) : std::nullopt;
}
Found packed_shape(const Facts& f, const Target& t) {
  return f.dialect != "awq" ? marlin_shape(f, t) : std::nullopt;
}

// vLLM pads the inner width. What is made while loading runs in Triton anyway.
Found expert_shape(const Facts& f, const Target& t) {
  const bool awq = f.dialect == "awq";
  if (!f.quantized() || !marlin_device(t) || (t.is(Engine::kSglang) && !awq)) return std::nullopt;
  return first_product(f, [&](const FusedLinears& product) -> Found {
    if (!product.experts) return std::nullopt;
    for (const LinearFacts* linear : product.shards) {
      if (!linear->scheme || !is_weight_only_int(*linear->scheme)) continue;
      const bool down = split_within(product, *linear) == Split::kColumns;
      const std::int64_t hidden = down ? linear->rows : linear->cols;
      const std::int64_t inner = (down ? linear->cols : linear->rows) / t.tensor_parallel;
      const std::int64_t step = std::max<std::int64_t>(64, linear->scheme->weight.group_size);
      if (hidden % 128 != 0) return number(hidden) + " hidden, not a multiple of 128";
      if (t.is(Engine::kSglang) && inner % step != 0) {
        return number(inner) + " inner" + of_rank(t) + ", not a multiple of " + number(step);
      }
    }
    return std::nullopt;
  });
}

Found marlin_group(const Facts& f, const Target& t) {
  if (!marlin_device(t) || (t.is(Engine::kSglang) && f.dialect != "awq")) return std::nullopt;
  return first_linear(f, [](const LinearFacts& linear) -> Found {
    if (!linear.scheme || !is_weight_only_int(*linear.scheme)) return std::nullopt;
    return when(!is_marlin_group(*linear.scheme),
                "groups of " + number(linear.scheme->weight.group_size));
  });
}

Found cpu_gptq(const Facts& f, const Target& t) {
  if (!t.is_cpu() || f.method == "awq") return std::nullopt;
  return first_of_rank(
      f, t, [](const LinearFacts& linear, std::int64_t rows, std::int64_t cols) -> Found {
        if (!is_weight_only_int(*linear.scheme)) return std::nullopt;
        return when(rows % 32 != 0 || cols % 32 != 0, number(rows) + " x " + number(cols));
      });
}

Found ordered_columns(const Facts& f, const Target& t) {
  if (t.tensor_parallel < 2) return std::nullopt;
  return first_product(f, [](const FusedLinears& product) -> Found {
    const LinearFacts& linear = *product.shards.front();
    return when(
        product.split == Split::kColumns && linear.scheme && linear.scheme->weight.act_order,
        "desc_act over cut columns");
  });
}

Found bitsandbytes_ranks(const Facts& f, const Target& t) {
  return when(f.method == "bitsandbytes" && t.tensor_parallel > 1,
              number(t.tensor_parallel) + " ranks");
}

constexpr std::array kShapeRules = {
    PreflightRule{"heads-over-ranks", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
                  "attention heads must divide evenly over the ranks", "use another --tp",
                  "vLLM 0.32.0 config/model.py: \"must be divisible by tensor parallel size\"; "
                  "SGLang 0.5.23 srt/models/llama.py: assert; TGI 3.3.7 flash_llama_modeling.py: "
                  "\"`num_heads` must be divisible by `num_shards`\"; TensorRT-LLM main (00547a2) "
                  "_torch/modules/attention.py: assert",
                  heads},
    PreflightRule{"kv-heads-over-ranks", "vllm sglang", PreflightEffect::kRefuse,
                  "key-value heads must divide evenly over the ranks, or the ranks over them",
                  "use another --tp",
                  "vLLM 0.32.0 model_executor/models/llama.py and SGLang 0.5.23 "
                  "srt/models/llama.py: \"assert self.total_num_kv_heads % tp_size == 0\"",
                  kv_heads},
    PreflightRule{"width-over-ranks", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
                  "a matrix does not divide evenly over the ranks", "use another --tp",
                  "vLLM 0.32.0 and SGLang 0.5.23 distributed/utils.py: divide(); TGI 3.3.7 "
                  "utils/weights.py: \"is not compatible with sharding\"; TensorRT-LLM main "
                  "(00bbf71) _torch/modules/linear.py: \"must be divisible by tp_size\"",
                  widths},
    PreflightRule{
        "group-width", "vllm sglang tgi tensorrt-llm", PreflightEffect::kRefuse,
        "the group size must divide the columns that one rank holds",
        "take a smaller group size (64, 32), a per-channel lane or fewer ranks",
        "vLLM 0.32.0 distributed/utils.py: verify_group_size_divides_partition; SGLang 0.5.23 "
        "compressed_tensors_wNa16.py: \"assert input_size_per_partition % group_size == 0\"; TGI "
        "3.3.7 layers/marlin/gptq.py: \"not divisible by group size\"; TensorRT-LLM main (00bbf71) "
        "_torch/modules/linear.py: \"must be divisible by scaling_vector_size\"",
        group_width},
    PreflightRule{"fp8-block-rows", "vllm sglang", PreflightEffect::kRefuse,
                  "every part of a joined or cut matrix must be whole blocks of rows",
                  "take a per-channel FP8 lane",
                  "measured with vLLM 0.32.0: \"Weight output_partition_size = 576 is not "
                  "divisible by weight quantization block_n = 128\"; SGLang 0.5.23 "
                  "srt/layers/quantization/fp8.py: the same",
                  block_rows},
    PreflightRule{
        "fp8-block-columns", "vllm sglang", PreflightEffect::kRefuse,
        "the blocks must divide the columns: inputs are rounded in groups of that size",
        "take a per-channel FP8 lane",
        "measured with vLLM 0.32.0: \"unflatten: Provided sizes [5, 128] don't multiply up to ... "
        "(576)\"; vLLM fp8_utils.py and SGLang 0.5.23 kernels/ops/quantization/fp8_kernel.py: "
        "\"assert x.shape[-1] % group_size == 0\"",
        block_cols},
    PreflightRule{
        "packed-words", "vllm sglang tgi", PreflightEffect::kRefuse,
        "packed codes must fill whole words in every rank", "use fewer ranks",
        "vLLM 0.32.0 model_executor/parameter.py and SGLang 0.5.23 srt/layers/parameter.py: "
        "PackedvLLMParameter; TGI 3.3.7 layers/marlin/util.py: get_pack_factor",
        packed_words},
    PreflightRule{
        "marlin-shape", "sglang", PreflightEffect::kSlow,
        "Marlin wants 64-row and 128-column multiples; for AWQ an older kernel takes over",
        "use fewer ranks, or an FP8 lane",
        "SGLang 0.5.23 srt/layers/quantization/awq/awq.py: \"Falling back to unoptimized AWQ "
        "kernels\", marlin_utils.py: verify_marlin_supports_shape",
        awq_shape},
    PreflightRule{
        "sglang-marlin-shape", "sglang", PreflightEffect::kRefuse,
        "GPTQ and packed integers run in Marlin alone, which wants 64-row and 128-column multiples",
        "use fewer ranks, or an FP8 lane",
        "SGLang 0.5.23 gptq_kernels.py and compressed_tensors_wNa16.py: "
        "check_marlin_supports_shape is not acted on, gptq_marlin_repack follows",
        packed_shape},
    PreflightRule{"marlin-experts", "vllm sglang", PreflightEffect::kSlow,
                  "Marlin's expert kernel wants hidden % 128 (SGLang with AWQ: and inner % max(64, "
                  "group)); another kernel takes over",
                  "use fewer ranks",
                  "vLLM 0.32.0 marlin_utils.py: check_moe_marlin_supports_config; SGLang 0.5.23 "
                  "awq/awq.py: \"Falling back to Moe WNA16 kernels\"",
                  expert_shape},
    PreflightRule{"marlin-group", "vllm sglang tgi", PreflightEffect::kSlow,
                  "Marlin has groups of 32, 64 and 128 and whole rows; another kernel takes over",
                  "take one of those group sizes",
                  "vLLM 0.32.0 and SGLang 0.5.23 marlin_utils.py: MARLIN_SUPPORTED_GROUP_SIZES; "
                  "TGI 3.3.7 layers/marlin/gptq.py: GPTQ_MARLIN_GROUP_SIZES",
                  marlin_group},
    PreflightRule{
        "cpu-gptq-shape", "vllm", PreflightEffect::kRefuse,
        "the CPU kernel of packed integers and GPTQ wants rows and columns in multiples of 32", "",
        "vLLM 0.32.0 model_executor/kernels/linear/mixed_precision/cpu.py: \"supported sizes are "
        "multiples of 32\"",
        cpu_gptq},
    PreflightRule{
        "act-order-over-ranks", "sglang tgi", PreflightEffect::kSlow,
        "columns in the order of activations keep all scales on every rank",
        "quantize without desc_act",
        "SGLang 0.5.23 marlin_utils.py: marlin_repeat_scales_on_all_ranks; TGI 3.3.7 "
        "layers/gptq/__init__.py: \"does not support row tensor parallelism with act-order\"",
        ordered_columns},
    PreflightRule{"bitsandbytes-ranks", "sglang", PreflightEffect::kRefuse,
                  "matrices quantized by bitsandbytes cannot be cut", "use --tp 1",
                  "SGLang 0.5.23 srt/model_loader/loader.py: \"Prequant BitsAndBytes models with "
                  "TP is not supported.\"",
                  bitsandbytes_ranks},
};

}  // namespace

std::span<const PreflightRule> preflight_shape_rules() { return kShapeRules; }

}  // namespace quantlane
