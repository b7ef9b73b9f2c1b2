# SPDX-License-Identifier: MIT
# Completion of the muster command for bash. Options are asked of the command itself, so they are always its own.

_muster() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]}
    COMPREPLY=()

    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run fetch hosts agent queue worker demo help --help --version" -- "$current")
        return
    fi
    case $command in
    help)
        mapfile -t COMPREPLY < <(compgen -W "run fetch hosts agent queue worker demo" -- "$current")
        return
        ;;
    run | fetch | hosts | queue | worker | demo) ;;
    *) return ;;
    esac

    # Behind ::: there are inputs, whatever they look like.
    local i
    for ((i = 2; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} == ::: ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
        fi
    done
    case $before in
    --allow)
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
        return
        ;;
    --user)
        if [[ $command == worker ]]; then
            mapfile -t COMPREPLY < <(compgen -u -- "$current")
        fi
        return
        ;;
    -o | --output | --output-dir | --results | --wd | --workdir)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    -f | -a | --file | --arg-file | --on-file | --transferfile | --tf | --return | --trc | --stdin-from | --jsonl | --joblog | --failed | --data-file | --cacert | -E | --cert | --key | --config | -c | --cookie-jar | --netrc-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --attach | --worker-tag | --tags | --slots | --lease | --schema | --queue-limit | --payload-limit | --on | --launcher | --agent | --env | --hosts-min | --silence | --block | --max-output | --nice | --max-load | --load | --min-memory | --memfree | --ledger | -n | -N | --max-args | --max-replace-args | -C | --colsep | --header | -I | --shell | -j | -P | --limit | --jobs | --max-procs | --parallel-max | --delimiter | --timeout | -m | --max-time | --deadline | --retries | --rate | --max-failures | --halt | --halt-on-error | --delay | --tagstring | --retry | --linger | --stall-timeout | --spool-limit | --max-size | --max-filesize | --grace) return ;;
    -X | --method | --request | -H | --header | -d | --data | --data-binary | -u | -A | --user-agent | --http) return ;;
    --connect-timeout | --max-redirects | --max-redirs | -x | --proxy | --noproxy | --name | --per-host | --per-host-rate | --limit-rate | --proto | --pin | --pinnedpubkey | --log-mode) return ;;
    esac
    if [[ $current == -* ]]; then
        local options
        options=$("$program" "$command" --help 2>/dev/null |
            sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr ',' '\n' | sed 's/{false}$//')
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == worker ]]; then
        return
    elif [[ $command == queue ]]; then
        mapfile -t COMPREPLY < <(compgen -W "init demo" -- "$current")
    elif [[ $command == run ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$current"; compgen -f -- "$current")
    fi
}
complete -o filenames -F _muster muster
