# Warnings are errors, with both compilers.
add_library(quantlane_warnings INTERFACE)
target_compile_options(quantlane_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports moved-from std::expected and std::variant members as maybe-uninitialised at -O2.
  target_compile_options(quantlane_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
