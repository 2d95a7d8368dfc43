# Warnings are errors, with both compilers.
add_library(quantlane_warnings INTERFACE)
target_compile_options(quantlane_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of gcc 12 at -O2 and above: moved-from std::expected and std::variant members
  # (maybe-uninitialized), `"text" + std::string` (restrict, GCC bug 105651).
  target_compile_options(quantlane_warnings INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12's stable_sort uses the deprecated get_temporary_buffer; CHECK(!"reason") converts.
  target_compile_options(quantlane_warnings INTERFACE
    -Wno-deprecated-declarations -Wno-string-conversion)
endif()
