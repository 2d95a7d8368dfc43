// Content hashes, for cache keys and manifests (OpenSSL's SHA-256, xxHash's XXH3 behind hash.cpp).
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quantlane {

// Lower-case hex, 64 characters.
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);

// Fast 128-bit content hash, fed in pieces; not for adversaries.
class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(ContentHash&&) noexcept;
  ContentHash& operator=(ContentHash&&) noexcept;
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  // Lower-case hex, 32 characters, of everything added so far.
  [[nodiscard]] std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quantlane
