// Values per second of the decoders: 64 rows of 4096 values, in a cache.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "kernels/dequant/dequant_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::int64_t kValues = 64 * 4096;

void decode_blocks(benchmark::State& state, const DequantRow& row, const BlockFormat& format) {
  Rng rng(1);
  const std::int64_t count = kValues / format.block_values;
  std::vector<std::byte> blocks(static_cast<std::size_t>(count * format.block_bytes));
  // Small bytes: no infinities, which some processors handle slowly.
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(rng.next() & 0x3FU);
  std::vector<float> values(kValues);
  const BlockDecode decode = block_decode_with(row, format);
  for (auto _ : state) {
    decode(blocks.data(), count, values.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kValues);
}

void decode_tensor(benchmark::State& state, const DequantRow& row, const char* spelling) {
  QuantTensor tensor;
  tensor.scheme = Scheme::parse(spelling).value();
  tensor.rows = 64;
  tensor.cols = kValues / 64;
  tensor.codes.assign(kValues, 3);
  tensor.scales.assign(static_cast<std::size_t>(64 * tensor.scheme.groups_per_row(tensor.cols)),
                       0.5F);
  std::vector<float> values(kValues);
  for (auto _ : state) {
    decode_rows_with(row, tensor, 0, 64, values.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kValues);
}

const bool kRegistered = [] {
  for (const DequantRow& row : dequant_rows()) {
    if (row.isa > cpu_info().best) continue;
    const std::string isa(isa_name(row.isa));
    for (const FastBlockFormat& fast : fast_block_formats()) {
      const BlockFormat& format = *block_format_by_name(fast.name);
      benchmark::RegisterBenchmark(
          ("decode/" + std::string(fast.name) + "/" + isa).c_str(),
          [&row, &format](benchmark::State& state) { decode_blocks(state, row, format); });
    }
    for (const char* spelling : {"int8_channel_sym", "int4_g128_sym", "fp8_e4m3_channel"}) {
      benchmark::RegisterBenchmark(
          ("decode/" + std::string(spelling) + "/" + isa).c_str(),
          [&row, spelling](benchmark::State& state) { decode_tensor(state, row, spelling); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
