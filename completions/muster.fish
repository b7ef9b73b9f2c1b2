# SPDX-License-Identifier: MIT
# Completion of the muster command for fish. Options are asked of the command itself, so they are always its own.

function __muster_options
    set -l words (commandline -opc)
    $words[1] $argv[1] --help 2>/dev/null | sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr ',' '\n'
end

function __muster_has_inputs
    string match -q -- ':::*' (commandline -opc)
end

complete -c muster -n __fish_use_subcommand -f -a 'run fetch hosts agent queue worker demo help' -d command
complete -c muster -n '__fish_seen_subcommand_from help' -f -a 'run fetch hosts agent queue worker demo'
for command in run fetch hosts queue worker demo
    complete -c muster -n "__fish_seen_subcommand_from $command; and not __muster_has_inputs; and string match -q -- '-*' (commandline -ct)" -f -a "(__muster_options $command)"
end
