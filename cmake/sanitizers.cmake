# QUANTLANE_SANITIZE: a comma-separated list given to -fsanitize=, empty for none.
set(QUANTLANE_SANITIZE "" CACHE STRING "sanitizers, for example address,undefined")
if(QUANTLANE_SANITIZE)
  add_compile_options(-fsanitize=${QUANTLANE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUANTLANE_SANITIZE})
endif()
