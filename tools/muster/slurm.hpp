// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// `--on slurm`: the nodes of the Slurm allocation that muster runs in, each reached by an srun of its own.
///
///     for (auto& node : nodes_of_allocation()) hosts.push_back(std::move(node));

#include <muster/hosts.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace tool {

/// *Returns* a host for each node of the allocation. Its places are its processors that Slurm has allocated.
/// *Errors*: usage_error outside of an allocation, or if scontrol does not say which nodes there are.
[[nodiscard]] std::vector<muster::hosts::host_options> nodes_of_allocation();

/// *Returns* the numbers of a list of Slurm's, "4(x2),8": 4, 4, 8. *Errors*: usage_error.
[[nodiscard]] std::vector<std::size_t> slurm_numbers(const std::string& list);

} // namespace tool
