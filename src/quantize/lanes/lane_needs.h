// What quantizing to a lane needs beside the weights.
#pragma once
#include "quantize/lanes/lane.h"

namespace quantlane {

// The lane weighs errors by importance, or wants_input_scales().
bool wants_statistics(const Lane& lane);
// Are its inputs rounded under scales that only calibration gives?
bool wants_input_scales(const Lane& lane);
// It makes up for errors in later columns.
bool wants_feedback(const Lane& lane);
// It runs the model over the calibration text itself: for error feedback or transforms that search.
bool wants_pass(const Lane& lane);
// Its transforms turn the inputs of Linears: importances that were collected before say nothing of
// them.
bool turns_inputs(const Lane& lane);

}  // namespace quantlane
