# A source named *_<isa>.cpp is compiled for that instruction set. Such files follow the ISA-object
# rule (docs/howto/add-a-kernel.md): raw pointers only, no STL, no inline project functions.
# -ffp-contract=off: products and sums round as written, so kernels agree across compilers.
# -fno-math-errno: roots of many values are one instruction; nothing reads errno of a function of math.h.
add_compile_options(-ffp-contract=off -fno-math-errno)
function(quantlane_isa_flags)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_avx2\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    elseif(source MATCHES "_avx512\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq")
    elseif(source MATCHES "_avx512bf16\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512bf16")
    elseif(source MATCHES "_vnni\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni")
    endif()
  endforeach()
endfunction()
