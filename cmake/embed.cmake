# quantlane_embed(target symbol file...): puts the files into the binary and makes
# `std::span<const EmbeddedFile> symbol()` (core/embedded.h) return them, named relative to the
# project root, sorted.
function(quantlane_embed target symbol)
  set(assembly ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp)
  set(body "#include \"core/embedded.h\"\n")
  set(table "")
  set(index 0)
  list(SORT ARGN)
  foreach(file IN LISTS ARGN)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${file})
    string(APPEND body "asm(\".section .rodata\\n.balign 64\\n.global ${symbol}_${index}_begin\\n"
      "${symbol}_${index}_begin:\\n.incbin \\\"${file}\\\"\\n.global ${symbol}_${index}_end\\n"
      "${symbol}_${index}_end:\\n.byte 0\\n.previous\\n\");\n"
      "extern \"C\" const char ${symbol}_${index}_begin[];\n"
      "extern \"C\" const char ${symbol}_${index}_end[];\n")
    string(APPEND table
      "      {\"${name}\", {${symbol}_${index}_begin, ${symbol}_${index}_end}},\n")
    math(EXPR index "${index} + 1")
  endforeach()
  string(APPEND body "namespace quantlane {\nstd::span<const EmbeddedFile> ${symbol}() {\n"
    "  static const EmbeddedFile files[] = {\n${table}  };\n  return files;\n}\n}\n")
  file(CONFIGURE OUTPUT ${assembly} CONTENT "${body}" @ONLY)
  # Alone: sources compiled together lose what they depend on.
  set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS "${ARGN}" SKIP_UNITY_BUILD_INCLUSION ON)
  target_sources(${target} PRIVATE ${assembly})
endfunction()
