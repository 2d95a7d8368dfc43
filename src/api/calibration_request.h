// What the options of quantize ask of the calibration, and what a lane needs of it.
#pragma once
#include "formats/kv_scheme.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "quantlane/quantize.h"
#include "quantlane/result.h"

namespace quantlane {

// Do the scales of the cache come from text? `kv`: null = no cache.
bool calibrates_kv(const KvScheme* kv);

// kUsage where the options contradict each other or leave out a pass that the lane or the cache
// cannot do without.
Result<void> check_calibration(const QuantizeOptions& options, const Lane& lane,
                               const KvScheme* kv);

// An error for a file of the options that cannot be opened, whether the lane uses it or not.
Result<void> check_calibration_files(const QuantizeOptions& options);

// Of a lane that reads text: the error says what would need no tokenizer.
Result<void> check_calibration_tokenizer(const Checkpoint& checkpoint, const Lane& lane,
                                         const KvScheme* kv);

}  // namespace quantlane
