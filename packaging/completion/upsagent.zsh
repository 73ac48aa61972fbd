#compdef upsagent
# zsh completion of upsagent, made from its command tree by its tests (-update).
_upsagent() {
    case "${words[CURRENT-1]}" in
    --allow|--baud|--bundle|--ca|--cloud|--config|--fed-by|--name|--parity|--pid|--record|--serial|--tcp|--token|--unit-id) _files; return ;;
    esac
    local at="" word offered
    for word in "${words[@]:1:CURRENT-2}"; do
        case "$at/$word" in
        "/setup") at="setup" ;;
        "/run") at="run" ;;
        "/check") at="check" ;;
        "/probe") at="probe" ;;
        "/read") at="read" ;;
        "/status") at="status" ;;
        "/order") at="order" ;;
        "/enroll") at="enroll" ;;
        "/reload") at="reload" ;;
        "/block") at="block" ;;
        "/doctor") at="doctor" ;;
        "/version") at="version" ;;
        esac
    done
    case "$at" in
    "") offered="setup run check probe read status order enroll reload block doctor version --config --help" ;;
    "setup") offered="--allow --baud --ca --cloud --fed-by --json --name --no-start --parity --serial --tcp --token --unit-id --yes --config --help" ;;
    "run") offered="--config --help" ;;
    "check") offered="--configured --json --config --help" ;;
    "probe") offered="--baud --json --parity --serial --tcp --unit-id --write --config --help" ;;
    "read") offered="--json --keep-names --record --watch --config --help" ;;
    "status") offered="--json --config --help" ;;
    "order") offered="--json --yes --config --help" ;;
    "enroll") offered="--ca --cloud --force --token --config --help" ;;
    "reload") offered="--pid --config --help" ;;
    "block") offered="--config --help" ;;
    "doctor") offered="--bundle --json --config --help" ;;
    "version") offered="--config --help" ;;
    esac
    compadd -- ${(s: :)offered} || _files
}
_upsagent "$@"
