// Every rule of the pre-flight with an artefact that breaks it and one, as close as can be, that
// does not.
// Length: two cases for each of more than a hundred rules, in the order of the table.
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "recommend/preflight_test_facts.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

struct Case {
  ArtefactFacts facts;
  EngineTarget at;
};
struct RuleTest {
  std::string id;
  Case breaks;
  Case holds;
};

ArtefactFacts with(ArtefactFacts facts, const std::function<void(ArtefactFacts&)>& change) {
  change(facts);
  return facts;
}
ArtefactFacts with_key(ArtefactFacts facts, const std::string& key, std::string_view json) {
  facts.quantization.set(key, Json::parse(json, "test").value());
  return facts;
}
EngineTarget version(EngineTarget at, std::string text) {
  at.version = std::move(text);
  return at;
}
EngineTarget online(EngineTarget at, std::string scheme_name) {
  at.online = std::move(scheme_name);
  return at;
}
ArtefactFacts resized(ArtefactFacts facts, std::string_view name, std::int64_t rows,
                      std::int64_t cols) {
  linear(facts, name).rows = rows;
  linear(facts, name).cols = cols;
  return facts;
}
ArtefactFacts with_method(ArtefactFacts facts, std::string method) {
  facts.method = std::move(method);
  return facts;
}
ArtefactFacts with_module(ArtefactFacts facts, std::string module, bool quantized) {
  facts.linears.push_back({.module = module,
                           .rows = 128,
                           .cols = 512,
                           .scheme = quantized ? facts.linears[0].scheme : std::nullopt});
  facts.tensors.push_back(module + ".weight");
  return facts;
}
ArtefactFacts experts(std::int64_t inner, std::int64_t hidden = 512) {
  ArtefactFacts facts = compressed("int4_g128_sym");
  for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
    const bool down = name[0] == 'd';
    facts.linears.push_back({.module = std::string("model.layers.0.mlp.experts.0.") + name,
                             .rows = down ? hidden : inner,
                             .cols = down ? inner : hidden,
                             .scheme = facts.linears[0].scheme});
  }
  return facts;
}
ArtefactFacts shared_scale(float k) {
  ArtefactFacts facts = compressed("nvfp4");
  for (LinearFacts& l : facts.linears) l.tensor_scale = 2.0F;
  linear(facts, "k_proj").tensor_scale = k;
  return facts;
}
ArtefactFacts with_values(std::string_view tensor) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  linear(facts, "q_proj").values = {.tensor = "model." + std::string(tensor), .text = "others"};
  return facts;
}
ArtefactFacts stored_bits(std::int64_t bits) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  for (LinearFacts& l : facts.linears) {
    if (l.scheme) l.stored_bits = bits;
  }
  return facts;
}
ArtefactFacts kept(std::string_view dialect, bool quantized) {
  ArtefactFacts facts = block(dialect, scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  linear(facts, "o_proj").kept_plain = true;
  linear(facts, "o_proj").stored_quantized = quantized;
  linear(facts, "o_proj").stored_plain = !quantized;
  return facts;
}
ArtefactFacts plain_down(bool listed) {
  ArtefactFacts facts = block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  LinearFacts& down = linear(facts, "down_proj");
  down.scheme.reset();
  down.stored_plain = true;
  down.kept_plain = listed;
  return facts;
}
ArtefactFacts act_order(bool ordered) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  for (LinearFacts& l : facts.linears) {
    if (l.scheme) l.scheme->weight.act_order = ordered;
  }
  return facts;
}
ArtefactFacts gguf_facts() {
  ArtefactFacts facts;
  facts.container = "gguf";
  return facts;
}
ArtefactFacts with_class(ArtefactFacts facts, const std::string& name) {
  facts.config.set("architectures", Json::array().push(name));
  return facts;
}
ArtefactFacts kv(std::string_view json, bool scales = true) {
  ArtefactFacts facts =
      with_key(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), "kv_cache_scheme", json);
  if (scales) facts.tensors.emplace_back("model.layers.0.self_attn.k_scale");
  return facts;
}
constexpr std::string_view kFp8Cache = R"({"num_bits": 8, "type": "float", "strategy": "tensor"})";

const ArtefactFacts& w4() {
  static const ArtefactFacts facts = compressed("int4_g128_sym");
  return facts;
}
const ArtefactFacts& fp8_facts() {
  static const ArtefactFacts facts = compressed("fp8_e4m3_channel", "fp8_e4m3_token");
  return facts;
}
const ArtefactFacts& fp8_block() {
  static const ArtefactFacts facts = compressed("fp8_e4m3_b128x128", "fp8_e4m3_g128");
  return facts;
}
const ArtefactFacts& int8() {
  static const ArtefactFacts facts = compressed("int8_channel_sym", "int8_token");
  return facts;
}

ArtefactFacts unreadable(ArtefactFacts facts, bool contradictory) {
  facts.unreadable = "bits";
  facts.contradictory = contradictory;
  return facts;
}

std::vector<RuleTest> agreement_tests() {
  const EngineTarget vllm = target("vllm");
  const auto mismatch = [](std::string text) {
    return with(w4(), [&](auto& f) { f.mismatch = std::move(text); });
  };
  return {
      {"config-contradicts",
       {unreadable(gptq("int4_g128_sym"), true), vllm},
       {unreadable(gptq("int4_g128_sym"), false), vllm}},
      {"tensors-differ", {mismatch("q_proj"), vllm}, {mismatch(""), vllm}},
      {"bits-differ", {stored_bits(8), vllm}, {stored_bits(4), vllm}},
      {"quantized-but-kept", {kept("fp8", true), vllm}, {kept("fp8", true), target("tgi")}},
      {"kept-without-scales",
       {kept("fp8", true), target("sglang")},
       {kept("fp8", false), target("sglang")}},
      {"fp8-unlisted", {plain_down(false), vllm}, {plain_down(true), vllm}},
      {"zeros-differ", {with_values("qzeros"), vllm}, {with_values("g_idx"), vllm}},
      {"order-out-of-range",
       {with(with_values("g_idx"),
             [](auto& f) { linear(f, "q_proj").values->out_of_range = true; }),
        vllm},
       {with_values("g_idx"), vllm}},
      {"codes-differ", {with_values("weight"), vllm}, {with_values("qzeros"), vllm}},
      {"order-differs", {with_values("g_idx"), vllm}, {with_values("qzeros"), vllm}},
  };
}

std::vector<RuleTest> config_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget trt = target("tensorrt-llm");
  return {
      {"unknown-method", {with_method(w4(), "hqq"), vllm}, {w4(), vllm}},
      {"missing-keys",
       {with(gptq("int4_g128_sym"), [](auto& f) { f.quantization.erase("sym"); }), vllm},
       {gptq("int4_g128_sym"), vllm}},
      {"ct-arguments", {unreadable(w4(), false), vllm}, {unreadable(w4(), true), vllm}},
      {"not-judged",
       {unreadable(gptq("int4_g128_sym"), false), vllm},
       {unreadable(gptq("int4_g128_sym"), true), vllm}},
      {"fused-scheme",
       {with(w4(), [](auto& f) { linear(f, "v_proj").scheme.reset(); }), vllm},
       {with(w4(), [](auto& f) { linear(f, "o_proj").scheme.reset(); }), vllm}},
      {"router-quantized",
       {with_module(w4(), "model.layers.0.mlp.gate", true), vllm},
       {with_module(w4(), "model.layers.0.mlp.gate", false), vllm}},
      {"targeted-but-plain",
       {with_module(w4(), "model.vision.proj", true), vllm},
       {with_module(w4(), "model.vision.proj", false), vllm}},
      {"embedding-quantized",
       {with_module(fp8_facts(), "model.embed_tokens", true), vllm},
       {with_module(w4(), "model.embed_tokens", true), vllm}},
      {"tgi-missing-keys",
       {with(gptq("int4_g128_sym"), [](auto& f) { f.quantization.erase("sym"); }), target("tgi")},
       {gptq("int4_g128_sym"), target("tgi")}},
      {"scales-missing",
       {with_module(fp8_facts(), "model.vision.proj", true), trt},
       {with_module(fp8_facts(), "model.vision.proj", false), trt}},
      {"sglang-skipped",
       {with_module(w4(), "model.embed_tokens", true), target("sglang")},
       {with_module(w4(), "model.embed_tokens", false), target("sglang")}},
      {"zeros-on-symmetric",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_zeros = true; }), vllm},
       {with(compressed("int4_g128_asym"),
             [](auto& f) { linear(f, "o_proj").stored_zeros = true; }),
        vllm}},
      {"quantization-status",
       {with_key(w4(), "quantization_status", "\"calibration\""), target("tgi")},
       {with_key(w4(), "quantization_status", "\"compressed\""), target("tgi")}},
      {"sparsity-removed",
       {with_key(w4(), "sparsity_config", R"({"format": "sparse-24-bitmask"})"), vllm},
       {with_key(w4(), "sparsity_config", "{}"), vllm}},
      {"rotations-ignored",
       {with_key(w4(), "transform_config", R"({"config_groups": {}})"), target("sglang")},
       {with_key(w4(), "transform_config", "{}"), target("sglang")}},
      {"dynamic-ignored",
       {with_key(gptq("int4_g128_sym"), "dynamic", R"({"-:.*down.*": {}})"), target("tgi")},
       {with_key(gptq("int4_g128_sym"), "dynamic", "{}"), target("tgi")}},
      {"side-file-differs",
       {with(with_key(block("modelopt", scheme("nvfp4")), "quant_algo", "\"NVFP4\""),
             [](auto& f) {
               f.side_file = Json::parse(R"({"quantization": {"quant_algo": "FP8"}})", "t").value();
             }),
        trt},
       {with(with_key(block("modelopt", scheme("nvfp4")), "quant_algo", "\"FP8\""),
             [](auto& f) {
               f.side_file = Json::parse(R"({"quantization": {"quant_algo": "FP8"}})", "t").value();
             }),
        trt}},
  };
}

std::vector<RuleTest> shape_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget gpu = target("vllm", "h100-sxm");
  const ArtefactFacts awq = block("awq", scheme("int4_g128_asym"));
  return {
      {"heads-over-ranks", {w4(), target("vllm", "", 3)}, {w4(), target("vllm", "", 4)}},
      {"kv-heads-over-ranks", {w4(), target("vllm", "", 3)}, {w4(), target("vllm", "", 8)}},
      {"width-over-ranks",
       {resized(w4(), "down_proj", 512, 1001), target("vllm", "", 2)},
       {resized(w4(), "down_proj", 512, 1001), vllm}},
      {"group-width",
       {resized(w4(), "down_proj", 512, 576), vllm},
       {resized(compressed("int4_g64_sym"), "down_proj", 512, 576), vllm}},
      {"fp8-block-rows",
       {resized(fp8_block(), "q_proj", 576, 512), vllm},
       {resized(fp8_block(), "o_proj", 576, 512), vllm}},
      {"fp8-block-columns",
       {resized(fp8_block(), "down_proj", 512, 576), vllm},
       {resized(fp8_facts(), "down_proj", 512, 576), vllm}},
      {"packed-words",
       {resized(compressed("int3_channel_sym"), "down_proj", 512, 1008), vllm},
       {resized(compressed("int3_channel_sym"), "down_proj", 512, 992), vllm}},
      {"marlin-shape",
       {awq, target("sglang", "h100-sxm", 16)},
       {awq, target("vllm", "h100-sxm", 16)}},
      {"sglang-marlin-shape",
       {w4(), target("sglang", "h100-sxm", 16)},
       {w4(), target("sglang", "h100-sxm")}},
      {"marlin-experts", {experts(256, 448), gpu}, {experts(256), gpu}},
      {"marlin-group", {compressed("int4_g256_sym"), gpu}, {compressed("int4_g64_sym"), gpu}},
      {"cpu-gptq-shape",
       {resized(gptq("int4_g128_sym"), "o_proj", 500, 512), target("vllm", "epyc-turin")},
       {gptq("int4_g128_sym"), target("vllm", "epyc-turin")}},
      {"act-order-over-ranks",
       {act_order(true), target("sglang", "", 2)},
       {act_order(false), target("sglang", "", 2)}},
      {"bitsandbytes-ranks",
       {bitsandbytes(), target("sglang", "", 2)},
       {bitsandbytes(), target("sglang")}},
  };
}

std::vector<RuleTest> value_tests() {
  const EngineTarget vllm = target("vllm");
  return {
      {"bad-scale",
       {with(w4(), [](auto& f) { linear(f, "o_proj").bad_scale = "weight_scale[3] is zero"; }),
        vllm},
       {w4(), vllm}},
      {"nvfp4-shared-scale", {shared_scale(3.0F), vllm}, {shared_scale(2.0F), vllm}},
      {"ct-group-order",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }), vllm},
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }),
        version(vllm, "0.31.0")}},
      {"kv-width",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "tensor"})"), vllm},
       {kv(kFp8Cache), vllm}},
      {"kv-strategy",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "group", "group_size": 64})"), vllm},
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"), vllm}},
      {"kv-fp8-only",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "tensor"})"), target("tensorrt-llm")},
       {kv(kFp8Cache), target("tensorrt-llm")}},
      {"kv-head-version",
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"),
        version(vllm, "0.11.2")},
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"),
        version(vllm, "0.32.0")}},
      {"kv-flag", {kv(kFp8Cache), vllm}, {fp8_facts(), vllm}},
      {"cpu-kv-cut",
       {kv(kFp8Cache), target("vllm", "epyc-turin")},
       {kv(kFp8Cache), target("vllm", "h100-sxm")}},
      {"kv-without-scales", {kv(kFp8Cache, false), vllm}, {kv(kFp8Cache), vllm}},
  };
}

std::vector<RuleTest> kernel_tests() {
  const auto vllm = [](std::string_view device) { return target("vllm", device); };
  const ArtefactFacts nvfp4 = compressed("nvfp4", "nvfp4");
  const ArtefactFacts mxfp4 = compressed("mxfp4", "mxfp4");
  const ArtefactFacts w8 = compressed("int8_g128_sym");
  const ArtefactFacts w3 = compressed("int3_g128_sym");
  return {
      {"fp8-needs-turing", {fp8_facts(), vllm("v100")}, {fp8_facts(), vllm("t4")}},
      {"fp8-weight-only", {fp8_facts(), vllm("a100")}, {fp8_facts(), vllm("l4")}},
      {"int8-needs-turing", {int8(), vllm("v100")}, {int8(), vllm("t4")}},
      {"int8-blackwell", {int8(), vllm("b200")}, {int8(), vllm("h100")}},
      {"int4-needs-turing", {w4(), vllm("v100")}, {w4(), vllm("t4")}},
      {"gptq-on-volta",
       {gptq("int4_g128_sym"), vllm("v100")},
       {gptq("int4_g128_sym"), vllm("a100")}},
      {"w4afp8-sm90",
       {compressed("int4_g128_sym", "fp8_e4m3_token"), vllm("l4")},
       {compressed("int4_g128_sym", "fp8_e4m3_token"), vllm("h100")}},
      {"nvfp4-needs-turing", {nvfp4, vllm("v100")}, {nvfp4, vllm("t4")}},
      {"mxfp4-needs-ampere", {mxfp4, vllm("t4")}, {mxfp4, vllm("a100")}},
      {"fp4-weight-only", {nvfp4, vllm("h100")}, {nvfp4, vllm("b200")}},
      {"mxfp4-half",
       {with(block("mxfp4", scheme("mxfp4")), [](auto& f) { f.dtype = DType::kF16; }),
        vllm("b200")},
       {with(mxfp4, [](auto& f) { f.dtype = DType::kF16; }), vllm("b200")}},
      {"odd-width-humming", {w3, vllm("h100")}, {w8, vllm("h100")}},
      {"amd-no-marlin", {w4(), vllm("mi300x")}, {w4(), vllm("h100")}},
      {"amd-no-nvfp4", {compressed("nvfp4"), vllm("mi355x")}, {nvfp4, vllm("mi355x")}},
      {"amd-nvfp4-emulated", {nvfp4, vllm("mi355x")}, {compressed("nvfp4"), vllm("mi355x")}},
      {"amd-odd-width", {w3, vllm("mi300x")}, {w3, vllm("h100")}},
      {"amd-mxfp4", {mxfp4, vllm("mi300x")}, {mxfp4, vllm("mi355x")}},
      {"amd-fnuz", {fp8_facts(), vllm("mi300x")}, {fp8_facts(), vllm("mi355x")}},
      {"cpu-no-fp4", {nvfp4, vllm("epyc-turin")}, {fp8_facts(), vllm("epyc-turin")}},
      {"cpu-no-w8a16", {w8, vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-quantized-experts",
       {experts(256), vllm("epyc-turin")},
       {with(experts(256),
             [](auto& f) {
               for (LinearFacts& l : f.linears) {
                 if (l.module.find(".experts.") != std::string::npos) l.scheme.reset();
               }
             }),
        vllm("epyc-turin")}},
      {"cpu-fp8-slow", {fp8_facts(), vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-int4-slow", {w4(), vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-amx-int8", {w4(), vllm("xeon-spr")}, {w4(), vllm("epyc-turin")}},
      {"no-kernel", {fp8_facts(), vllm("m3-max")}, {plain(), vllm("m3-max")}},
  };
}

std::vector<RuleTest> engine_tests() {
  const EngineTarget vllm = target("vllm");
  return {
      {"gptq-asymmetric", {gptq("int4_g128_asym"), vllm}, {gptq("int4_g128_sym"), vllm}},
      {"gptq-width", {gptq("int3_g128_sym"), vllm}, {gptq("int8_g128_sym"), vllm}},
      {"gptq-order", {act_order(true), vllm}, {act_order(true), version(vllm, "0.31.0")}},
      {"ct-asymmetric-products",
       {compressed("int8_channel_asym", "int8_token"), vllm},
       {compressed("int4_g128_asym"), vllm}},
      {"engine-too-old",
       {compressed("nvfp4", "nvfp4"), version(vllm, "0.9.0")},
       {compressed("nvfp4"), version(vllm, "0.9.0")}},
      {"gguf-elsewhere", {gguf_facts(), vllm}, {gguf_facts(), target("llama.cpp")}},
      {"folder-elsewhere", {plain(), target("llama.cpp")}, {gguf_facts(), target("llama.cpp")}},
      {"ollama-folder",
       {with_class(plain(), "Qwen3ForCausalLM"), target("ollama")},
       {with_class(plain(), "LlamaForCausalLM"), target("ollama")}},
      {"gguf-in-one-piece",
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("sglang")},
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("llama.cpp")}},
      {"ollama-split",
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("ollama")},
       {gguf_facts(), target("ollama")}},
      {"localai-folder", {plain(), target("localai")}, {gguf_facts(), target("localai")}},
      {"online-nothing",
       {plain(), online(vllm, "int8_per_channel_weight_only")},
       {with(plain(), [](auto& f) { f.tensors.emplace_back("m.experts.0.w1.weight"); }),
        online(vllm, "int8_per_channel_weight_only")}},
      {"online-unknown", {plain(), online(vllm, "int5")}, {plain(), online(vllm, "fp8")}},
      {"online-twice", {w4(), online(vllm, "fp8")}, {plain(), online(vllm, "fp8")}},
      {"online-cpu-fp8",
       {plain(), online(target("vllm", "epyc-turin"), "fp8")},
       {plain(), online(target("vllm", "h100"), "fp8")}},
  };
}

std::vector<RuleTest> sglang_tests() {
  const auto at = [](std::string_view device) { return target("sglang", device); };
  const ArtefactFacts modelopt_fp8 = block("modelopt", scheme("fp8_e4m3_tensor"));
  const ArtefactFacts modelopt_fp4 = block("modelopt", scheme("nvfp4", "nvfp4"));
  const auto mixed = [](std::string_view down) {
    ArtefactFacts facts = compressed("int4_g128_sym");
    linear(facts, "down_proj").scheme = scheme(down);
    return facts;
  };
  return {
      {"sglang-marlin-alone",
       {gptq("int4_g128_asym"), at("h100")},
       {compressed("int4_g128_asym"), at("h100")}},
      {"sglang-needs-ampere", {int8(), at("t4")}, {int8(), at("a100")}},
      {"sglang-fp8-weight-only", {fp8_facts(), at("a100")}, {fp8_facts(), at("l4")}},
      {"sglang-modelopt-fp8", {modelopt_fp8, at("a100")}, {modelopt_fp8, at("l4")}},
      {"sglang-nvfp4-blackwell", {modelopt_fp4, at("h100")}, {modelopt_fp4, at("b200")}},
      {"sglang-ct-mxfp4", {compressed("mxfp4"), at("b200")}, {compressed("nvfp4"), at("b200")}},
      {"sglang-mixed",
       {mixed("int8_g128_sym"), target("sglang")},
       {mixed("int4_g128_sym"), target("sglang")}},
      {"sglang-common-format",
       {with_key(experts(256), "format", "\"mixed-precision\""), target("sglang")},
       {with_key(w4(), "format", "\"mixed-precision\""), target("sglang")}},
      {"sglang-int8-experts",
       {with_module(int8(), "model.layers.0.mlp.experts.0.up_proj", true), target("sglang")},
       {with_module(fp8_facts(), "model.layers.0.mlp.experts.0.up_proj", true), target("sglang")}},
      {"sglang-petit", {modelopt_fp4, at("mi300x")}, {modelopt_fp4, at("mi355x")}},
      {"sglang-amd-nvfp4", {compressed("nvfp4"), at("mi300x")}, {modelopt_fp4, at("mi300x")}},
      {"sglang-amd-integers", {w4(), at("mi300x")}, {w4(), at("h100")}},
      {"sglang-amd-methods", {gguf_facts(), at("mi300x")}, {gguf_facts(), at("h100")}},
  };
}

std::vector<RuleTest> server_tests() {
  const EngineTarget trt = target("tensorrt-llm");
  const ArtefactFacts modelopt_fp4 = block("modelopt", scheme("nvfp4", "nvfp4"));
  const ArtefactFacts native = block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  const auto groups = [](std::string_view first) {
    return with_key(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), "config_groups",
                    R"({"a": {"targets": [")" + std::string(first) +
                        R"("]}, "b": {"targets": ["re:.*down_proj"]}})");
  };
  return {
      {"tgi-kv-heads", {w4(), target("tgi", "", 8)}, {w4(), target("tgi", "", 4)}},
      {"tgi-group-format",
       {with_key(w4(), "config_groups", R"({"a": {"format": "pack-quantized"}})"), target("tgi")},
       {with_key(w4(), "config_groups", R"({"a": {"format": "any"}})"), target("tgi")}},
      {"tgi-fp4", {compressed("nvfp4"), target("tgi")}, {fp8_facts(), target("tgi")}},
      {"tgi-gptq-asymmetric",
       {gptq("int4_g128_asym"), target("tgi")},
       {gptq("int4_g128_sym"), target("tgi")}},
      {"tgi-width", {compressed("int2_g128_sym"), target("tgi")}, {w4(), target("tgi")}},
      {"tgi-packed-ampere",
       {w4(), target("tgi", "t4")},
       {gptq("int4_g128_sym"), target("tgi", "t4")}},
      {"tgi-needs-ampere",
       {gptq("int4_g128_sym"), target("tgi", "t4")},
       {gptq("int4_g128_sym"), target("tgi", "a100")}},
      {"tgi-packed-group",
       {compressed("int4_g256_sym"), target("tgi")},
       {gptq("int4_g256_sym"), target("tgi")}},
      {"tgi-marlin-shape",
       {resized(w4(), "o_proj", 512, 192), target("tgi", "", 2)},
       {resized(w4(), "o_proj", 512, 192), target("tgi")}},
      {"tgi-fp8-marlin", {fp8_facts(), target("tgi", "l4")}, {fp8_facts(), target("tgi", "h100")}},
      {"tgi-fp8-block", {native, target("tgi", "a100")}, {native, target("tgi", "h100")}},
      {"trt-int8-as-fp8", {int8(), trt}, {fp8_facts(), trt}},
      {"trt-fp8-tensor",
       {compressed("fp8_e4m3_tensor", "fp8_e4m3_tensor"), trt},
       {fp8_facts(), trt}},
      {"trt-integers", {w4(), trt}, {fp8_facts(), trt}},
      {"trt-fp8-blocks",
       {block("fp8", scheme("fp8_e4m3_b64x64", "fp8_e4m3_g64")), trt},
       {native, trt}},
      {"trt-fp8-dynamic",
       {block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_token")), trt},
       {block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_tensor")), trt}},
      {"trt-inputs", {compressed("nvfp4"), trt}, {compressed("mxfp4"), trt}},
      {"trt-mxfp4-inputs", {compressed("mxfp4", "mxfp4"), trt}, {compressed("mxfp4"), trt}},
      {"trt-class-names", {groups("Linear"), trt}, {groups("re:.*q_proj"), trt}},
      {"trt-capability",
       {modelopt_fp4, target("tensorrt-llm", "h100")},
       {modelopt_fp4, target("tensorrt-llm", "b200")}},
      {"trt-cuda",
       {fp8_facts(), target("tensorrt-llm", "mi300x")},
       {fp8_facts(), target("tensorrt-llm", "l4")}},
      {"trt-latent-kv",
       {with_module(fp8_facts(), "model.layers.0.self_attn.kv_b_proj", true), trt},
       {with_module(fp8_facts(), "model.layers.0.self_attn.kv_b_proj", false), trt}},
  };
}

std::vector<RuleTest> all_tests() {
  std::vector<RuleTest> all;
  for (auto part : {agreement_tests(), config_tests(), shape_tests(), value_tests(), kernel_tests(),
                    engine_tests(), sglang_tests(), server_tests()}) {
    for (RuleTest& test : part) all.push_back(std::move(test));
  }
  return all;
}

bool fires(const std::string& id, const Case& at) {
  const PreflightAnswer answer = preflight(at.facts, at.at);
  return std::ranges::any_of(answer.findings,
                             [&](const PreflightFinding& f) { return f.rule == id; });
}

TEST(PreflightRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  for (const RuleTest& test : all_tests()) {
    EXPECT_TRUE(fires(test.id, test.breaks)) << test.id;
    EXPECT_FALSE(fires(test.id, test.holds)) << test.id;
  }
}

TEST(PreflightRules, EachHasExactlyOneTestAndAnIdOfItsOwn) {
  std::multiset<std::string> tested;
  for (const RuleTest& test : all_tests()) tested.insert(test.id);
  std::multiset<std::string> rows;
  for (const PreflightRule* rule : preflight_rules()) rows.insert(std::string(rule->id));
  EXPECT_EQ(tested, rows);
  for (const std::string& id : rows) EXPECT_EQ(rows.count(id), 1U) << id;
}

// The row of docs/preflight.md that a rule has to have.
std::string row_of(const PreflightRule& rule) {
  std::string engines = rule.engines == "*" ? "all" : std::string(rule.engines);
  for (std::size_t at = engines.find(' '); at != std::string::npos; at = engines.find(' ', at + 2))
    engines.replace(at, 1, ", ");
  std::string_view answer = preflight_answer_name(rule.effect);
  if (rule.effect == PreflightEffect::kNote) answer = "note";
  if (rule.effect == PreflightEffect::kSlow) answer = "slower";
  if (rule.effect == PreflightEffect::kWrong) answer = "computes something else";
  std::string row = "| `" + std::string(rule.id) + "` | " + engines + " | ";
  row += std::string(answer) + " | " + std::string(rule.text) + " | ";
  return row + std::string(rule.source) + " |\n";
}

TEST(PreflightRules, TheDocumentHasExactlyTheirRows) {
  const auto text = read_text(fs::path(QUANTLANE_SOURCE_DIR) / "docs/preflight.md");
  ASSERT_TRUE(text.has_value());
  std::set<std::string> written;
  std::size_t at = text->find("## Rules");
  while ((at = text->find("\n| `", at)) != std::string::npos) {
    const std::size_t end = text->find('\n', ++at);
    written.insert(text->substr(at, end + 1 - at));
  }
  std::set<std::string> rows;
  for (const PreflightRule* rule : preflight_rules()) {
    rows.insert(row_of(*rule));
    EXPECT_EQ(written.count(row_of(*rule)), 1U) << "write into docs/preflight.md:\n"
                                                << row_of(*rule);
  }
  for (const std::string& row : written) EXPECT_EQ(rows.count(row), 1U) << "of no rule: " << row;
}

TEST(PreflightRules, EachNamesItsSourceAndEnginesThatExist) {
  for (const PreflightRule* rule : preflight_rules()) {
    EXPECT_FALSE(rule->source.empty()) << rule->id;
    EXPECT_FALSE(rule->text.empty()) << rule->id;
    const auto asks = [&](const EngineRow& row) { return concerns(*rule, target(row.name)); };
    EXPECT_TRUE(std::ranges::any_of(engines(), asks)) << rule->id;
    std::string_view rest = rule->engines == "*" ? "" : rule->engines;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      EXPECT_TRUE(find_engine(rest.substr(0, end)).has_value()) << rule->id;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

TEST(Preflight, ASoundArtefactLoadsEverywhereItsMethodIsKnown) {
  for (const char* engine : {"vllm", "sglang", "tgi", "tensorrt-llm"}) {
    const PreflightAnswer answer = preflight(fp8_facts(), target(engine, "h100-sxm", 2));
    EXPECT_EQ(answer.worst, PreflightEffect::kNote) << engine;
    EXPECT_TRUE(answer.findings.empty()) << engine << ": " << answer.findings[0].rule;
  }
}

TEST(Preflight, TheAnswerIsTheWorstFinding) {
  const PreflightAnswer slow = preflight(fp8_facts(), target("vllm", "a100"));
  EXPECT_EQ(preflight_answer_name(slow.worst), "loads with a slower kernel");
  EXPECT_TRUE(slow.usable());
  ArtefactFacts facts = fp8_facts();
  linear(facts, "v_proj").scheme.reset();
  const PreflightAnswer refused = preflight(facts, target("vllm", "a100"));
  EXPECT_EQ(preflight_answer_name(refused.worst), "will not load");
  EXPECT_FALSE(refused.usable());
  EXPECT_GE(refused.findings.size(), 2U);
}

// Of joined matrices vLLM checks all but the last, cut over ranks all; SGLang always all.
TEST(Preflight, TheLastOfJoinedMatricesMayEndInAPartOfABlock) {
  const ArtefactFacts last = resized(fp8_block(), "v_proj", 192, 512);
  EXPECT_FALSE(fires("fp8-block-rows", {last, target("vllm")}));
  EXPECT_TRUE(fires("fp8-block-rows", {last, target("sglang")}));
  EXPECT_TRUE(fires("fp8-block-rows", {last, target("vllm", "", 2)}));
}

// The format of the whole configuration stands above that of the group.
TEST(Preflight, SglangTakesPackedIntegersByTheCommonFormat) {
  for (const char* format : {"dense", "int-quantized", "nvfp4-pack-quantized"}) {
    const std::string text = "\"" + std::string(format) + "\"";
    ArtefactFacts facts = with_key(w4(), "config_groups", R"({"a": {"format": "pack-quantized"}})");
    EXPECT_TRUE(fires("sglang-common-format", {with_key(facts, "format", text), target("sglang")}));
    EXPECT_FALSE(fires("sglang-common-format",
                       {with_key(facts, "format", "\"pack-quantized\""), target("sglang")}));
    EXPECT_FALSE(
        fires("sglang-common-format", {with_key(int8(), "format", text), target("sglang")}));
  }
}

// GPTQModel excludes the routers of experts, which this engine keeps plain by itself.
TEST(Preflight, TgiMayIgnoreThatRoutersAreExcluded) {
  const auto excluding = [](std::string module) {
    ArtefactFacts facts = with_module(gptq("int4_g128_sym"), module, false);
    facts.linears.back().kept_plain = true;
    return with_key(facts, "dynamic", R"({"-:.*\\.gate$": {}})");
  };
  EXPECT_FALSE(fires("dynamic-ignored", {excluding("model.layers.0.mlp.gate"), target("tgi")}));
  EXPECT_TRUE(fires("dynamic-ignored", {excluding("model.layers.0.mlp.fc1"), target("tgi")}));
  const ArtefactFacts changed = with_key(excluding("model.layers.0.mlp.gate"), "dynamic",
                                         R"({"-:.*\\.gate$": {}, "+:.*v_proj": {"bits": 8}})");
  EXPECT_TRUE(fires("dynamic-ignored", {changed, target("tgi")}));
}

// A configuration that this program cannot read is no reason to say "loads".
TEST(Preflight, WhatCannotBeReadIsNotSaidToLoad) {
  const PreflightAnswer answer =
      preflight(unreadable(gptq("int4_g128_sym"), false), target("vllm"));
  EXPECT_EQ(preflight_answer_name(answer.worst), "cannot be judged");
  EXPECT_FALSE(answer.usable());
}

TEST(Preflight, ContradictionsAreFoundWithoutAnEngine) {
  const auto found = find_contradictions(kept("fp8", true));
  ASSERT_EQ(found.size(), 1U);  // not once more for each engine
  EXPECT_EQ(found[0].rule, "quantized-but-kept");
  EXPECT_TRUE(find_contradictions(w4()).empty());
}

TEST(Preflight, VersionsCompareNumberByNumber) {
  const auto older = [](std::string have, std::string_view wanted) {
    return version(target("vllm"), std::move(have)).older_than(wanted);
  };
  EXPECT_TRUE(older("0.9.0", "0.9.1"));
  EXPECT_TRUE(older("v0.9.2", "0.10.0"));
  EXPECT_TRUE(older("0.9", "0.9.1"));
  EXPECT_FALSE(older("0.32.0", "0.9.1"));
  EXPECT_FALSE(older("0.9.1.post1", "0.9.1"));
  EXPECT_FALSE(older("", "0.9.1"));  // the newest
}

TEST(Preflight, VersionsBeginWithNumbers) {
  for (const char* version : {"0.9.1", "v0.32.0", "0.11.0rc2", "1.3.0rc27", "0.9.1.post1", "3.3.7",
                              "0.5.6.post2", "0.12.0.dev3+g1a2b3c", "2026-08", "1"}) {
    EXPECT_TRUE(is_engine_version(version)) << version;
  }
  for (const char* version :
       {"abc", "", "v", "1.x", "latest", "0.9.", ".9", "0..9", "-1", "0.9 1", "0.9.1\n", "9abc"}) {
    EXPECT_FALSE(is_engine_version(version)) << version;
  }
}

TEST(Preflight, EnginesAreFoundByTheNamesOfLanesToo) {
  EXPECT_EQ((*find_engine("TensorRT-LLM"))->name, "tensorrt-llm");
  EXPECT_EQ((*find_engine("vLLM"))->engine, Engine::kVllm);
  for (const char* name : {"lmstudio", "lm-studio", "LM Studio"}) {
    EXPECT_EQ((*find_engine(name))->engine, Engine::kLmStudio) << name;
  }
  // What `quantlane deploy --for` is told: all of it, and no engine besides.
  std::set<Engine> asked;
  for (const char* name :
       {"ollama", "lmstudio", "localai", "llama-server", "vllm", "sglang", "tgi", "tensorrt-llm"}) {
    asked.insert((*find_engine(name))->engine);
  }
  EXPECT_EQ(asked.size(), engines().size());
  const auto unknown = find_engine("vlm");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().expected, testing::HasSubstr("llama.cpp"));
}

}  // namespace
}  // namespace quantlane
