# Warnings are errors, with both compilers.
add_library(quantlane_warnings INTERFACE)
target_compile_options(quantlane_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports moved-from std::expected and std::variant members as maybe-uninitialised at -O2.
  target_compile_options(quantlane_warnings INTERFACE -Wno-maybe-uninitialized)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12's stable_sort uses the deprecated get_temporary_buffer; CHECK(!"reason") converts.
  target_compile_options(quantlane_warnings INTERFACE
    -Wno-deprecated-declarations -Wno-string-conversion)
endif()
