# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for kennel(1). Flags come from the program's own help, so that they cannot fall behind it.

_kennel_words() {
    kennel "$@" 2>/dev/null
}

_kennel_containers() {
    # compgen expands its words: nothing but what names and ids are made of may reach it
    _kennel_words "$@" ps -a | awk 'NR > 1 { for (i = 1; i <= 2; i++) if ($i ~ /^[A-Za-z0-9_.-]+$/) print $i }' | sort -u
}

_kennel_flags() {
    _kennel_words "$1" --help | awk '
        /^Flags/ { flags = 1; next }
        flags {
            for (i = 1; i <= NF && $i ~ /^-/; i++) {
                sub(/,$/, "", $i)
                print $i
            }
        }'
}

# Whether a flag takes a value: what comes next is then no container and no command. The help shows the value behind
# the flag's long name, in the first 36 columns.
_kennel_takes_value() {
    _kennel_words "$1" --help | cut -c 1-36 | grep -qE -e "(^|[ ,])$2(,.*)? +(--[a-z-]+ )?[^ -]"
}

_kennel() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local verb='' socket=() operands=0 i
    COMPREPLY=()

    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ -z $verb ]]; then
            case ${COMP_WORDS[i]} in
            --socket)
                socket=(--socket "${COMP_WORDS[++i]}")
                ;;
            -*) ;;
            *) verb=${COMP_WORDS[i]} ;;
            esac
        elif [[ ${COMP_WORDS[i]} != -* ]]; then
            operands=$((operands + 1))
        fi
    done

    case $previous in
    --socket | --env-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --rootfs)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --format)
        mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$current")
        return
        ;;
    --network)
        mapfile -t COMPREPLY < <(compgen -W 'none bridge host' -- "$current")
        return
        ;;
    --exec-policy)
        mapfile -t COMPREPLY < <(compgen -W 'report image-only' -- "$current")
        return
        ;;
    --sort)
        mapfile -t COMPREPLY < <(compgen -W 'name cpu memory pids net io disk throttled psi' -- "$current")
        return
        ;;
    --device-read-bps | --device-write-bps | --device-read-iops | --device-write-iops)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    -m | --memory | --memory-swap | --memory-high | --cpus | --cpu-weight | --cpuset-cpus | --pids-limit | --io-weight | \
        --disk | --disk-inodes | --net-rate)
        mapfile -t COMPREPLY < <(compgen -W 'none' -- "$current")
        return
        ;;
    --cap-add | --cap-drop)
        mapfile -t COMPREPLY < <(compgen -W 'system' -- "$current")
        return
        ;;
    --security-opt)
        mapfile -t COMPREPLY < <(compgen -W 'seccomp= seccomp=unconfined apparmor= apparmor=unconfined label=disable label=level: label=type:' -- "$current")
        return
        ;;
    --control)
        mapfile -t COMPREPLY < <(compgen -W "$(printf '%s=required %s=best-effort ' \
            {apparmor,selinux,label,seccomp,devices,storage,pids}{,})" -- "$current")
        return
        ;;
    --watch)
        mapfile -t COMPREPLY < <(compgen -W "$(printf '%s ' \
            {{foreign,deleted}-program,foreign-script,preload,refused-call,{hidden,foreign}-process}={off,report,kill-process,freeze,kill} \
            {fork-storm,cpu,listener,connection,disguise}={off,report,kill-process,freeze,kill})" -- "$current")
        return
        ;;
    -s | --signal)
        mapfile -t COMPREPLY < <(compgen -W 'TERM INT HUP QUIT KILL USR1 USR2 STOP CONT' -- "$current")
        return
        ;;
    esac

    if [[ -z $verb ]]; then
        local verbs
        verbs=$(_kennel_words help | awk '/^Verbs/ { v = 1; next } /^$/ { v = 0 } v { print $1 }')
        mapfile -t COMPREPLY < <(compgen -W "help $verbs --socket --version --help" -- "$current")
        return
    fi
    if [[ $previous == -* && $previous != -- ]] && _kennel_takes_value "$verb" "$previous"; then
        return
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_kennel_flags "$verb") --help" -- "$current")
        return
    fi
    case $verb in
    run | ps | info | version) ;;
    exec | logs | top | verify | events | rogues)
        if ((operands == 0)); then
            mapfile -t COMPREPLY < <(compgen -W "$(_kennel_containers "${socket[@]}")" -- "$current")
        fi
        ;;
    help) ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "$(_kennel_containers "${socket[@]}")" -- "$current")
        ;;
    esac
}

complete -o default -F _kennel kennel
