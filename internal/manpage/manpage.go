// Package manpage writes the man page of a program, and its completions for bash, zsh and fish, from the program's own command tree, so
// that they cannot say anything else than --help does. Only tests import it: what it writes is committed below packaging/, and the tests of
// each program hold it current ([Hold]). Man pages follow man-pages(7); nothing in them is a date, so that builds are alike.
package manpage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Program is what there is to tell of one.
type Program struct {
	Name     string
	Section  int    // of the manual: 1 for everybody's programs, 8 for those of administrators
	Short    string // what it is, in half a line
	Long     string
	Usage    string // without the name
	Flags    []Flag // of every command
	Commands []Command
	More     []Section // behind all that, in this order
}

// A Command is one that can be run.
type Command struct {
	Path    []string // its words, without the program's
	Usage   string   // all of it
	Short   string
	Long    string // instead of Short
	Example string
	Flags   []Flag
}

// A Flag is one of the program or of a command.
type Flag struct {
	Name  string // without dashes
	Short string
	Value string // what its value is called; empty: it takes none
	Help  string
	Def   string // empty: none worth telling
}

// A Section is a heading with plain text: lines that begin with a space stand as they are.
type Section struct{ Title, Text string }

// Page returns the man page.
func (p Program) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Made from the command tree of %s by its tests (-update); changes belong there.\n", p.Name)
	fmt.Fprintf(&b, ".TH %s %d \"\" upsedge\n.SH NAME\n%s \\- %s\n", strings.ToUpper(p.Name), p.Section, p.Name, roff(strings.TrimSuffix(p.Short, ".")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s\n.SH DESCRIPTION\n", p.Name, roff(p.Usage))
	text(&b, p.Long)
	b.WriteString(".SH OPTIONS\n")
	flags(&b, p.Flags)
	if len(p.Commands) > 0 {
		b.WriteString(".SH COMMANDS\n")
	}
	for _, c := range p.Commands {
		fmt.Fprintf(&b, ".SS %s\n", roff(c.Usage))
		text(&b, cmp.Or(c.Long, c.Short))
		flags(&b, c.Flags)
		if c.Example != "" {
			b.WriteString(".PP\nExamples:\n")
			text(&b, " "+strings.TrimLeft(c.Example, " "))
		}
	}
	for _, s := range p.More {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(s.Title))
		text(&b, s.Text)
	}
	return b.String()
}

func flags(b *strings.Builder, flags []Flag) {
	for _, f := range flags {
		b.WriteString(".TP\n")
		if f.Short != "" {
			fmt.Fprintf(b, "\\fB\\-%s\\fR, ", roff(f.Short))
		}
		fmt.Fprintf(b, "\\fB\\-\\-%s\\fR", roff(f.Name))
		if f.Value != "" {
			fmt.Fprintf(b, "=\\fI%s\\fR", roff(f.Value))
		}
		b.WriteByte('\n')
		help := f.Help
		if f.Def != "" {
			help += " Default: " + f.Def + "."
		}
		b.WriteString(line(help) + "\n")
	}
}

// text writes paragraphs; lines that begin with a space are shown as they are.
func text(b *strings.Builder, s string) {
	shown := false
	show := func(on bool) {
		if on && !shown {
			b.WriteString(".PP\n.nf\n")
		} else if !on && shown {
			b.WriteString(".fi\n.PP\n")
		}
		shown = on
	}
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, l := range lines {
		switch {
		case strings.TrimSpace(l) == "":
			if shown && i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				b.WriteString("\\&\n")
			} else if !shown {
				b.WriteString(".PP\n")
			}
		case strings.HasPrefix(l, " "):
			show(true)
			b.WriteString(line(strings.TrimRight(l, " ")) + "\n")
		default:
			show(false)
			b.WriteString(line(l) + "\n")
		}
	}
	show(false)
}

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "’", "'", "–", `\(en`, "…", "...", "°", `\(de`, "·", `\(pc`, "×", `\(mu`, "≤", `\(<=`, "≥", `\(>=`)

// roff returns s so that it is printed and not obeyed.
func roff(s string) string { return escapes.Replace(s) }

func line(s string) string {
	s = roff(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}

// node is one place in the command line: what may come next there.
type node struct {
	path  []string
	words []string  // subcommands
	help  []Command // theirs
	flags []Flag
}

// nodes returns every place, the program itself first.
func (p Program) nodes() []node {
	root := node{flags: p.Flags}
	all := map[string]*node{"": &root}
	var order []string
	at := func(path []string) *node {
		key := strings.Join(path, " ")
		if all[key] == nil {
			all[key] = &node{path: path, flags: p.Flags}
			order = append(order, key)
		}
		return all[key]
	}
	for _, c := range p.Commands {
		for i := range c.Path {
			n := at(c.Path[:i])
			if !slices.Contains(n.words, c.Path[i]) {
				n.words = append(n.words, c.Path[i])
				said := Command{Path: c.Path[:i+1]}
				if i+1 == len(c.Path) {
					said.Short = c.Short
				}
				n.help = append(n.help, said)
			}
		}
		n := at(c.Path)
		n.flags = append(slices.Clone(c.Flags), p.Flags...)
	}
	out := []node{root}
	for _, key := range order {
		out = append(out, *all[key])
	}
	return out
}

func (n node) offered() string {
	words := slices.Clone(n.words)
	for _, f := range n.flags {
		words = append(words, "--"+f.Name)
	}
	return strings.Join(words, " ")
}
