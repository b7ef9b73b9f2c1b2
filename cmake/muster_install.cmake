# SPDX-License-Identifier: MIT
# Install rules and the package that find_package(muster) finds. HTTP, process pools, hosts and queues are components with
# export sets of their own, so that a program that does not ask for them needs neither libcurl nor nlohmann_json nor libpq.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

install(TARGETS muster EXPORT muster_core ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT muster_core NAMESPACE muster:: FILE muster-targets.cmake DESTINATION ${package_dir})
foreach(part IN ITEMS http process_pool hosts postgres)
    if(TARGET muster_${part})
        install(TARGETS muster_${part} EXPORT muster_${part} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
        install(EXPORT muster_${part} NAMESPACE muster:: FILE muster-${part}-targets.cmake DESTINATION ${package_dir})
    endif()
endforeach()
if(TARGET muster_command)
    install(TARGETS muster_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(TARGETS muster_fetch RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/muster)
    if(TARGET muster_agent)
        install(TARGETS muster_agent RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/muster)
    endif()
    if(TARGET muster_queue)
        install(TARGETS muster_queue RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/muster)
    endif()
    file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1)
    install(FILES ${man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${PROJECT_SOURCE_DIR}/completions/muster.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME muster)
    install(FILES ${PROJECT_SOURCE_DIR}/completions/_muster DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES ${PROJECT_SOURCE_DIR}/completions/muster.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

# All that is installed, and nothing else: what to build before `cmake --install`.
add_custom_target(muster_installed)
foreach(target IN ITEMS muster muster_http muster_process_pool muster_hosts muster_postgres muster_command)
    if(TARGET ${target})
        add_dependencies(muster_installed ${target})
    endif()
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/muster-config.cmake.in
    ${PROJECT_BINARY_DIR}/muster-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/muster-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/muster-config.cmake ${PROJECT_BINARY_DIR}/muster-config-version.cmake
    DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
