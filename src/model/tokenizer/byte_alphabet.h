// The printable alphabet in which byte-level BPE vocabularies spell bytes (GPT-2).
#pragma once
#include <string>
#include <string_view>

namespace quantlane {

// The letter (UTF-8, at most two bytes) that stands for `byte`.
std::string_view byte_letter(unsigned char byte);
// The bytes that `piece` spells; letters outside the alphabet stand for their own UTF-8 bytes.
void append_spelled_bytes(std::string_view piece, std::string& bytes);

}  // namespace quantlane
