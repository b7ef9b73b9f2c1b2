# SPDX-License-Identifier: MIT
# Compile through ccache where there is one. Precompiled headers are cached only if ccache is told that their
# dates and macros may be taken lightly, which the way they are used here allows.
find_program(MUSTER_CCACHE ccache DOC "Empty: compile without ccache")
mark_as_advanced(MUSTER_CCACHE)
if(MUSTER_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${MUSTER_CCACHE})
endif()
