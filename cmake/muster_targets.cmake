# SPDX-License-Identifier: MIT
# The settings that all targets of muster share: the language, the warnings, the folder of the programs.

set(MUSTER_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(MUSTER_WERROR)
    list(APPEND MUSTER_WARNINGS -Werror)
endif()

function(muster_language target)
    target_compile_features(${target} PUBLIC cxx_std_20)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
    target_compile_options(${target} PRIVATE ${MUSTER_WARNINGS})
endfunction()

function(muster_library target)
    muster_language(${target})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX POSITION_INDEPENDENT_CODE ON)
    # The code is position-independent, because users link the library into shared objects, too. A function of it is never
    # replaced by one of the same name elsewhere, so g++ may inline it, as clang always does.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        target_compile_options(${target} PRIVATE -fno-semantic-interposition)
    endif()
    # Each function is in a section of its own, so that a program which is linked with --gc-sections gets no more of the
    # library than it may call.
    target_compile_options(${target} PRIVATE -ffunction-sections -fdata-sections)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src)
endfunction()

# A program of the project's own (a tool, an example, a test): links muster, and muster::http, muster::process_pool,
# muster::hosts, muster::postgres, Boost or OpenSSL if one of its sources includes the header that needs it. Sets <target>_skipped in the caller when it needs one of
# them and there is none.
function(muster_program target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
    set(${target}_skipped FALSE PARENT_SCOPE)
    # An include, the target that it needs, and what that is called.
    set(needs
        "muster/http\\.hpp" muster_http "muster::http"
        "muster/process_pool\\.hpp" muster_process_pool "muster::process_pool"
        "muster/hosts(\\.hpp|/)" muster_hosts "muster::hosts"
        "muster/postgres(\\.hpp|/)" muster_postgres "muster::postgres"
        "muster/asio\\.hpp" Boost::headers "Boost 1.81 or later"
        "boost/asio/ssl\\.hpp" OpenSSL::SSL "OpenSSL")
    while(needs)
        list(POP_FRONT needs header library called)
        muster_includes(uses_it "${header}" ${arg_SOURCES})
        if(NOT uses_it)
            continue()
        endif()
        if(library STREQUAL "OpenSSL::SSL")
            find_package(OpenSSL QUIET)
        endif()
        if(NOT TARGET ${library})
            message(STATUS "muster: ${target} needs ${called} and is left out")
            set(${target}_skipped TRUE PARENT_SCOPE)
            return()
        endif()
        list(APPEND arg_LIBRARIES ${library})
    endwhile()
    add_executable(${target} ${arg_SOURCES})
    muster_language(${target})
    target_link_libraries(${target} PRIVATE muster ${arg_LIBRARIES})
endfunction()

# Sets `result` to whether one of the files has an #include that matches.
function(muster_includes result regex)
    set(found FALSE)
    foreach(file IN LISTS ARGN)
        file(STRINGS ${file} lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]${regex}[>\"]")
        if(lines)
            set(found TRUE)
        endif()
        # An #include that comes or goes must be noticed without somebody running cmake by hand.
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    endforeach()
    set(${result} ${found} PARENT_SCOPE)
endfunction()
