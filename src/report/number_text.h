// Numbers for people: few digits, units, never wider than promised.
#pragma once
#include <cstdint>
#include <string>

#include "quantlane/evaluate.h"

namespace quantlane {

// All of them write "n/a" for what is not finite.

// Decimal units as disks and model hubs use them: "105 MB", "1.23 GB"; at most 7 characters.
std::string size_text(double bytes);
// "1890", "141", "14.1", "1.41", "0.141"; from 100 000 on "123k", "12.3M"; at most 7
// characters, 8 below 0.
std::string rate_text(double per_second);
// "134.5 M", "8.03 B", "950": a count of parameters.
std::string parameters_text(double count);
// `value` with `decimals` decimals, or with an exponent where it would need more than 6 digits
// before the point or show no digit: "1.0027", "3.1e-09".
std::string decimal_text(double value, int decimals);
// "0.0303±0.0010": the estimate and the larger arm of its 95 % interval; at most 19 columns.
std::string interval_text(const Interval& interval);
// Groups of three digits: "10 240".
std::string count_text(std::int64_t count);

}  // namespace quantlane
