# quantlane_library(name [DEPS lib...] [PRIVATE_DEPS lib...] [HOT]): one static library of every .cpp of
# this folder (and below), one test program of every *_test.cpp, one benchmark program of every
# *_bench.cpp. Files are found by pattern, so a test cannot be forgotten. Tests run in the project's root.
# HOT: Release optimizes with -O3; Debug a little, so that the sanitized tests take half the time.
#
# Sources are compiled several together: parsing headers is half of a build. Files that define a row of a
# table (`const BlockFormat kQ4_0 = …`) call their private functions alike: each is compiled alone.
option(QUANTLANE_UNITY "compile sources together" ON)
function(quantlane_together target count)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${QUANTLANE_UNITY} UNITY_BUILD_BATCH_SIZE ${count})
endfunction()

function(quantlane_library name)
  cmake_parse_arguments(ARG "HOT" "" "DEPS;PRIVATE_DEPS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(benches ${sources})
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench)\\.cpp$")
  if(NOT sources)  # headers only so far
    add_library(quantlane_${name} INTERFACE)
    target_link_libraries(quantlane_${name} INTERFACE ${ARG_DEPS})
    return()
  endif()
  quantlane_isa_flags(${sources})
  foreach(source IN LISTS sources)
    file(STRINGS ${source} row LIMIT_COUNT 1
      REGEX "^(constinit )?const [A-Z][A-Za-z0-9]+ k[A-Z][A-Za-z0-9_]* ?[={]")
    if(row)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
  add_library(quantlane_${name} STATIC ${sources})
  target_include_directories(quantlane_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(quantlane_${name} PUBLIC ${ARG_DEPS} PRIVATE quantlane_warnings ${ARG_PRIVATE_DEPS})
  quantlane_together(quantlane_${name} 4)
  if(ARG_HOT)
    target_compile_options(quantlane_${name} PRIVATE $<$<CONFIG:Release>:-O3> $<$<CONFIG:Debug>:-O1>)
  endif()
  if(QUANTLANE_TESTS AND tests)
    add_executable(quantlane_${name}_tests ${tests})
    quantlane_together(quantlane_${name}_tests 12)
    # Relative, so that compiler caches serve any checkout.
    target_compile_definitions(quantlane_${name}_tests PRIVATE QUANTLANE_SOURCE_DIR=".")
    # Optimizing tests costs more time than it saves.
    target_compile_options(quantlane_${name}_tests PRIVATE $<$<CONFIG:Release>:-O1>)
    target_link_libraries(quantlane_${name}_tests PRIVATE quantlane_${name} quantlane_warnings
      ${ARG_TEST_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND quantlane_${name}_tests WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
  if(QUANTLANE_BENCHMARKS AND benches)
    add_executable(quantlane_${name}_benchmarks ${benches})
    target_link_libraries(quantlane_${name}_benchmarks PRIVATE quantlane_${name} quantlane_warnings
      benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()
