// Propagation of Result and checks of programmer errors.
#pragma once
#include "quantlane/result.h"

namespace quantlane::internal {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define QUANTLANE_CONCAT_INNER_(a, b) a##b
#define QUANTLANE_CONCAT_(a, b) QUANTLANE_CONCAT_INNER_(a, b)
#define QUANTLANE_TRY_(temporary, declaration, ...)                     \
  auto temporary = (__VA_ARGS__);                                       \
  if (!temporary) return std::unexpected(std::move(temporary).error()); \
  declaration = std::move(*temporary)
// QUANTLANE_TRY(auto bytes, file.read(…)); returns the error to the caller, else binds the value.
#define QUANTLANE_TRY(declaration, ...) \
  QUANTLANE_TRY_(QUANTLANE_CONCAT_(try_result_, __COUNTER__), declaration, __VA_ARGS__)
// The same for Result<void>.
#define QUANTLANE_TRY_VOID(...)                              \
  do {                                                       \
    if (auto try_result = (__VA_ARGS__); !try_result)        \
      return std::unexpected(std::move(try_result).error()); \
  } while (false)

// A condition that file contents and requests cannot break; a failure is a defect and aborts.
#define QUANTLANE_CHECK(condition)                                                         \
  do {                                                                                     \
    if (!(condition)) ::quantlane::internal::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
#ifdef NDEBUG
#define QUANTLANE_DCHECK(condition) static_cast<void>(0)
#else
#define QUANTLANE_DCHECK(condition) QUANTLANE_CHECK(condition)
#endif
