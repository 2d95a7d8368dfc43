// What every fallible function of quantlane returns: a value or an Error that says what to do next.
#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>

namespace quantlane {

enum class ErrorCode : std::uint8_t {
  kUsage,            // a word of the request: unknown lane or device, a number out of range
  kInvalidArgument,  // the request makes no sense with these inputs
  kNotFound,         // a file, tensor, key or name does not exist
  kCorrupt,          // bytes contradict their own format
  kUnsupported,      // valid, but not something this version handles
  kIo,               // the operating system refused (permission, disk full, …)
  kResourceLimit,    // does not fit the memory or size limit
  kCancelled,        // Ctrl-C or SIGTERM; finished work is kept
  kInfeasible,       // no lane can satisfy the request on the target
  kInternal,         // a defect of quantlane
};

// One failure. `attempted` is always set; the rest as far as it is known.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string attempted;                // "reading the safetensors header"
  std::string file;                     // path
  std::string tensor;                   // tensor, key or field name
  std::optional<std::uint64_t> offset;  // byte offset in `file`
  std::string expected;
  std::string found;
  std::string hint;  // the next thing to try

  Error&& in(std::string path) && { return file = std::move(path), std::move(*this); }
  Error&& of(std::string name) && { return tensor = std::move(name), std::move(*this); }
  Error&& at(std::uint64_t byte) && { return offset = byte, std::move(*this); }
  Error&& expects(std::string what) && { return expected = std::move(what), std::move(*this); }
  Error&& got(std::string what) && { return found = std::move(what), std::move(*this); }
  Error&& advise(std::string what) && { return hint = std::move(what), std::move(*this); }

  // One line for each known part, ready for stderr; no trailing newline.
  [[nodiscard]] std::string message() const;
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline Error make_error(ErrorCode code, std::string attempted) {
  Error error;
  error.code = code;
  error.attempted = std::move(attempted);
  return error;
}
[[nodiscard]] inline Error usage_error(std::string attempted) {
  return make_error(ErrorCode::kUsage, std::move(attempted));
}
[[nodiscard]] inline Error invalid(std::string attempted) {
  return make_error(ErrorCode::kInvalidArgument, std::move(attempted));
}
[[nodiscard]] inline Error not_found(std::string attempted) {
  return make_error(ErrorCode::kNotFound, std::move(attempted));
}
[[nodiscard]] inline Error corrupt(std::string attempted) {
  return make_error(ErrorCode::kCorrupt, std::move(attempted));
}
[[nodiscard]] inline Error unsupported(std::string attempted) {
  return make_error(ErrorCode::kUnsupported, std::move(attempted));
}
[[nodiscard]] inline Error io_error(std::string attempted) {
  return make_error(ErrorCode::kIo, std::move(attempted));
}

// `return fail(corrupt("reading the header").in(path).expects("8 bytes").got("3"));`
[[nodiscard]] inline std::unexpected<Error> fail(Error&& error) {
  return std::unexpected<Error>(std::move(error));
}

}  // namespace quantlane
