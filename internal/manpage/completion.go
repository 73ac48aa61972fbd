package manpage

import (
	"fmt"
	"slices"
	"strings"
)

// valued are all flags that take a value, as the shell's case has them.
func (p Program) valued() string {
	var names []string
	for _, n := range p.nodes() {
		for _, f := range n.flags {
			if name := "--" + f.Name; f.Value != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "--"
	}
	return strings.Join(names, "|")
}

// walk is what bash and zsh share: which place of the command line this is, from the words before, and what may come there.
func (p Program) walk(words, first string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    local at=\"\" word offered\n    for word in \"${%s[@]:%s}\"; do\n        case \"$at/$word\" in\n", words, first)
	var places, offers []string
	for _, n := range p.nodes() {
		at := strings.Join(n.path, " ")
		if len(n.path) > 0 {
			before := strings.Join(n.path[:len(n.path)-1], " ")
			places = append(places, fmt.Sprintf("        \"%s/%s\") at=\"%s\" ;;\n", before, n.path[len(n.path)-1], at))
		}
		offers = append(offers, fmt.Sprintf("    \"%s\") offered=\"%s\" ;;\n", at, n.offered()))
	}
	b.WriteString(strings.Join(places, ""))
	b.WriteString("        esac\n    done\n    case \"$at\" in\n")
	b.WriteString(strings.Join(offers, ""))
	b.WriteString("    esac\n")
	return b.String()
}

// Bash returns the completion for bash. Where a value is due, and where nothing fits, it leaves the word to the names of files.
func (p Program) Bash() string {
	return fmt.Sprintf(`# bash completion of %[1]s, made from its command tree by its tests (-update).
_%[1]s() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    case "$before" in
    %[2]s) return ;;
    esac
%[3]s    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}
complete -o default -F _%[1]s %[1]s
`, p.Name, p.valued(), p.walk("COMP_WORDS", "1:COMP_CWORD-1"))
}

// Zsh returns the completion for zsh.
func (p Program) Zsh() string {
	return fmt.Sprintf(`#compdef %[1]s
# zsh completion of %[1]s, made from its command tree by its tests (-update).
_%[1]s() {
    case "${words[CURRENT-1]}" in
    %[2]s) _files; return ;;
    esac
%[3]s    compadd -- ${(s: :)offered} || _files
}
_%[1]s "$@"
`, p.Name, p.valued(), p.walk("words", "1:CURRENT-2"))
}

// Fish returns the completion for fish.
func (p Program) Fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion of %s, made from its command tree by its tests (-update).\n", p.Name)
	for _, n := range p.nodes() {
		when := "__fish_use_subcommand"
		if len(n.path) > 0 {
			var conditions []string
			for _, word := range n.path {
				conditions = append(conditions, "__fish_seen_subcommand_from "+word)
			}
			when = strings.Join(conditions, "; and ")
		}
		narrow := when
		if len(n.path) > 0 && len(n.words) > 0 {
			narrow += "; and not __fish_seen_subcommand_from " + strings.Join(n.words, " ")
		}
		for i, word := range n.words {
			fmt.Fprintf(&b, "complete -c %s -f -n '%s' -a %s -d %s\n", p.Name, narrow, word, quoted(n.help[i].Short))
		}
		if len(n.path) == 0 {
			for _, f := range n.flags {
				b.WriteString(p.fishFlag("", f))
			}
			continue
		}
		for _, f := range n.flags[:len(n.flags)-len(p.Flags)] {
			b.WriteString(p.fishFlag(when, f))
		}
	}
	return b.String()
}

func (p Program) fishFlag(when string, f Flag) string {
	out := "complete -c " + p.Name
	if when != "" {
		out += " -n '" + when + "'"
	}
	out += " -l " + f.Name
	if f.Short != "" {
		out += " -s " + f.Short
	}
	if f.Value != "" {
		out += " -r"
	}
	return out + " -d " + quoted(f.Help) + "\n"
}

func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", " ").Replace(s) + "'"
}
