# SPDX-License-Identifier: MIT
# Installs the build into a fresh prefix, builds the consumer against it and runs what it built.
function(step)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(NOTICE "${output}")
        message(FATAL_ERROR "failed (${status}): ${command}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
step(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER}
    "-DCMAKE_CXX_FLAGS=${FLAGS}" -D CMAKE_PREFIX_PATH=${WORK}/prefix -D EXPECT_http=${HTTP} -D EXPECT_process_pool=${PROCESS_POOL}
    -D EXPECT_hosts=ON -D EXPECT_postgres=${POSTGRES})
file(STRINGS ${WORK}/build/CMakeCache.txt found REGEX "^muster_DIR:")
if(NOT found MATCHES "=${WORK}/prefix/")
    message(FATAL_ERROR "the consumer found another muster: ${found}")
endif()
step(${CMAKE_COMMAND} --build ${WORK}/build)
step(${WORK}/build/consumer)
if(NOT output STREQUAL "the answer is 42\n")
    message(FATAL_ERROR "the consumer printed: ${output}")
endif()
# A program has no more of the library than it may call. What it has is listed in docs/inside/performance.md.
step(${WORK}/build/small)
if(NOT output STREQUAL "1 and 2\n")
    message(FATAL_ERROR "the small program printed: ${output}")
endif()
file(SIZE ${WORK}/build/small bytes)
if(MOST_BYTES AND bytes GREATER MOST_BYTES)
    message(FATAL_ERROR "the small program has ${bytes} bytes, more than ${MOST_BYTES}: see what it gets by -Wl,-Map")
endif()
if(HTTP)
    step(${WORK}/build/consumer_http)
endif()
if(PROCESS_POOL)
    step(${WORK}/build/consumer_process_pool)
endif()

step(${WORK}/build/consumer_hosts)
if(POSTGRES)
    step(${WORK}/build/consumer_postgres)
endif()

# A version that this one does not promise to serve is refused.
file(WRITE ${WORK}/refused/CMakeLists.txt
    "cmake_minimum_required(VERSION 3.25)\nproject(refused LANGUAGES CXX)\nfind_package(muster 0.2 REQUIRED)\n")
execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK}/refused -B ${WORK}/refused/build -G ${GENERATOR}
        -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_PREFIX_PATH=${WORK}/prefix
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0 OR NOT output MATCHES "version: ${VERSION}")
    message(NOTICE "${output}")
    message(FATAL_ERROR "a request for another version was not refused as expected")
endif()
