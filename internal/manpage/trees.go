package manpage

import (
	"strings"

	"github.com/alecthomas/kong"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Cobra returns the program whose commands stand below root.
func Cobra(root *cobra.Command, section int) Program {
	p := Program{Name: root.Name(), Section: section, Short: root.Short, Long: root.Long, Flags: ofCobra(root.PersistentFlags())}
	_, p.Usage, _ = strings.Cut(root.UseLine(), " ")
	for _, c := range root.Commands() {
		if c.Hidden {
			continue
		}
		p.Commands = append(p.Commands, Command{
			Path: []string{c.Name()}, Usage: c.UseLine(), Short: c.Short, Long: c.Long, Example: c.Example, Flags: ofCobra(c.LocalNonPersistentFlags()),
		})
	}
	return p
}

func ofCobra(set *pflag.FlagSet) (out []Flag) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, help := pflag.UnquoteUsage(f)
		def := f.DefValue
		if def == "false" || def == "0" || def == "0s" || def == "[]" {
			def = ""
		}
		out = append(out, Flag{Name: f.Name, Short: f.Shorthand, Value: value, Help: help, Def: def})
	})
	return out
}

// Kong returns the program that parser understands.
func Kong(parser *kong.Kong, section int, short string) Program {
	root := parser.Model.Node
	p := Program{Name: root.Name, Section: section, Short: short, Long: root.Help, Flags: ofKong(root.Flags)}
	if _, p.Usage, _ = strings.Cut(root.Summary(), " "); len(root.Children) > 0 {
		p.Usage = "<command> [flags]"
	}
	for _, n := range root.Leaves(true) {
		if n == root {
			continue
		}
		path := strings.Fields(n.FullPath())[1:]
		var flags []Flag
		for at := n; at != root; at = at.Parent {
			flags = append(flags, ofKong(at.Flags)...)
		}
		usage := n.FullPath()
		for _, value := range n.Positional {
			usage += " " + value.Summary()
		}
		if len(flags) > 0 {
			usage += " [flags]"
		}
		p.Commands = append(p.Commands, Command{Path: path, Usage: usage, Short: n.Help, Long: n.Help + "\n\n" + n.Detail, Flags: flags})
	}
	return p
}

func ofKong(flags []*kong.Flag) (out []Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		one := Flag{Name: f.Name, Help: f.Help}
		if f.Short != 0 {
			one.Short = string(f.Short)
		}
		if !f.IsBool() && !f.IsCounter() {
			one.Value = strings.ToUpper(f.Name)
			if f.PlaceHolder != "" {
				one.Value = f.PlaceHolder
			}
			one.Def = f.Default
		}
		out = append(out, one)
	}
	return out
}
