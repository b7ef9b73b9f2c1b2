# SPDX-License-Identifier: MIT
# Install rules and the package that find_package(muster) finds. HTTP is a component of its own export set, so that a
# program that does not ask for it needs no libcurl.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

install(TARGETS muster EXPORT muster_core ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT muster_core NAMESPACE muster:: FILE muster-targets.cmake DESTINATION ${package_dir})
if(TARGET muster_http)
    install(TARGETS muster_http EXPORT muster_http ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT muster_http NAMESPACE muster:: FILE muster-http-targets.cmake DESTINATION ${package_dir})
endif()
if(TARGET muster_command)
    install(TARGETS muster_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1)
    install(FILES ${man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${PROJECT_SOURCE_DIR}/completions/muster.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME muster)
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/muster-config.cmake.in
    ${PROJECT_BINARY_DIR}/muster-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break its users.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/muster-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/muster-config.cmake ${PROJECT_BINARY_DIR}/muster-config-version.cmake
    DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
