# bash completion of upssim, made from its command tree by its tests (-update).
_upssim() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    case "$before" in
    --at|--baud|--boot|--feed|--hurry|--load|--max-clients|--model|--pty|--scenario|--seed|--speed|--tcp|--turnaround|--unit-id|--units|--variant|--via) return ;;
    esac
    local at="" word offered
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$at/$word" in
        esac
    done
    case "$at" in
    "") offered="--help --pty --tcp --units --unit-id --model --via --variant --baud --turnaround --strict-gap --one-request --max-clients --speed --seed --load --hurry --feed --boot --scenario --at --stats" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}
complete -o default -F _upssim upssim
