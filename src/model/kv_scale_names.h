// How writers name the scales of the key-value cache.
#pragma once
#include <array>
#include <string_view>

namespace quantlane {

// What follows the name of the attention ("model.layers.0.self_attn"). The longest first, as one
// ends with another; of several in one file the last in this order counts.
struct KvScaleName {
  std::string_view ending;
  bool key;  // of keys; else of values
};
inline constexpr std::array kKvScaleNames = {
    KvScaleName{".k_proj.output_scale", true},  // Quark and old compressed-tensors
    KvScaleName{".v_proj.output_scale", false},
    KvScaleName{".k_proj.k_scale", true},  // ModelOpt
    KvScaleName{".v_proj.v_scale", false},
    KvScaleName{".k_scale", true},  // compressed-tensors
    KvScaleName{".v_scale", false}};

}  // namespace quantlane
