#compdef upssim
# zsh completion of upssim, made from its command tree by its tests (-update).
_upssim() {
    case "${words[CURRENT-1]}" in
    --at|--baud|--boot|--feed|--hurry|--load|--max-clients|--model|--pty|--scenario|--seed|--speed|--tcp|--turnaround|--unit-id|--units|--variant|--via) _files; return ;;
    esac
    local at="" word offered
    for word in "${words[@]:1:CURRENT-2}"; do
        case "$at/$word" in
        esac
    done
    case "$at" in
    "") offered="--help --pty --tcp --units --unit-id --model --via --variant --baud --turnaround --strict-gap --one-request --max-clients --speed --seed --load --hurry --feed --boot --scenario --at --stats" ;;
    esac
    compadd -- ${(s: :)offered} || _files
}
_upssim "$@"
