package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"upsedge/internal/agent"
	"upsedge/internal/config"
	"upsedge/internal/doctor"
	"upsedge/internal/local"
	"upsedge/internal/ups"
)

type doctorCmd struct {
	Bundle string
	JSON   bool
}

func doctorCommand(cli *common, std stdio) *cobra.Command {
	c := &doctorCmd{}
	cmd := &cobra.Command{
		Use:   "doctor [CHECK ...]",
		Short: "Look for what keeps the agent from working, and say what to do about it.",
		Long: `Look for what keeps the agent from working, and say what to do about it. It
works whether the agent runs or not, as any user (root sees most), changes
nothing and is done within ten seconds. A problem keeps something from working,
a note is worth knowing; what another problem explains is left out. Exit code 0
without a problem, 1 with one, 2 where the configuration cannot be read. Checks:
` + strings.Join(checksInLines(), "\n"),
		Example: `  upsagent doctor
  upsagent doctor port unit
  upsagent doctor --bundle=support.tar.gz`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.Run(cmd.Context(), cli, std, args) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Machine-readable output.")
	cmd.Flags().StringVar(&c.Bundle, "bundle", "", "Write a support bundle to `FILE` instead, which must not be there yet.")
	return cmd
}

// Run examines the box, or writes a support bundle.
func (c *doctorCmd) Run(ctx context.Context, cli *common, std stdio, names []string) error {
	if c.Bundle != "" {
		return c.bundle(ctx, cli, std)
	}
	cfg, err := cli.load()
	up := &agent.Checkup{Path: cli.Config, Config: cfg, Err: err, Version: version, Built: builtAt(), Clock: cli.newClock}
	if no := unknown(agent.CheckNames(), names); len(no) > 0 {
		return misused(fmt.Errorf("there is no check %s", strings.Join(no, ", ")))
	}
	found := up.Examine(ctx, names...)
	if err := c.print(std.out, found); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if bad := problems(found); bad > 0 {
		return errors.New(ups.Count(bad, "problem"))
	}
	return nil
}

// checksInLines are the names of all checks, as many in a line as fit.
func checksInLines() (lines []string) {
	line := ""
	for _, name := range agent.CheckNames() {
		if len(line)+len(name) > 75 {
			lines, line = append(lines, strings.TrimSpace(line)), ""
		}
		line += name + " "
	}
	return append(lines, strings.TrimSpace(line)+".")
}

// unknown are the names that are none of all.
func unknown(all, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(all, n) })
}

func problems(found []doctor.Finding) (n int) {
	for _, f := range found {
		if f.Level == doctor.Problem {
			n++
		}
	}
	return n
}

func (c *doctorCmd) print(w io.Writer, found []doctor.Finding) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	printFindings(w, found)
	return nil
}

// printFindings prints what was found, and what to do about it below.
func printFindings(w io.Writer, found []doctor.Finding) {
	for _, f := range found {
		name := f.Check
		if f.Of != "" {
			name += " " + f.Of
		}
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Level, name, f.What)
		if f.Do != "" {
			fmt.Fprintf(w, "         %s\n", f.Do)
		}
	}
}

// bundle writes a support bundle and says what is in it.
func (c *doctorCmd) bundle(ctx context.Context, cli *common, std stdio) error {
	cfg, err := cli.load()
	if err != nil {
		return err
	}
	data, err := bundleOf(ctx, cfg, std.err)
	if err != nil {
		return err
	}
	table, err := doctor.ReadTable(data)
	if err != nil {
		return err
	}
	if err := writeNew(c.Bundle, data); err != nil {
		return err
	}
	printBundle(std.out, c.Bundle, len(data), table)
	return nil
}

// bundleOf asks the running agent; without one it tells what files and the kernel say.
func bundleOf(ctx context.Context, cfg *config.Config, words io.Writer) ([]byte, error) {
	if cfg.Local.Socket != "" {
		data, err := local.AskBundle(ctx, cfg.Local.Socket)
		if !errors.Is(err, local.ErrNotRunning) {
			return data, err
		}
		fmt.Fprintln(words, "the agent does not run: the bundle has what its files say, and nothing of the units")
	} else {
		fmt.Fprintln(words, "local.socket is empty, so the agent cannot be asked: the bundle has what its files say, and nothing of the units")
	}
	b, err := agent.StoppedBundle(cfg, version, builtAt())
	if err != nil {
		return nil, err
	}
	return b.Data, nil
}

// writeNew makes a file that its owner alone reads. What is there is not replaced: a bundle is named by hand.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
		return err
	}
	return nil
}

func printBundle(w io.Writer, path string, size int, t *doctor.Table) {
	fmt.Fprintf(w, "%s: %d bytes, made %s\n\n", filepath.Clean(path), size, local.When(t.Made))
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "file\tbytes\twhat is in it")
	for _, e := range t.Files {
		fmt.Fprintf(out, "%s\t%d\t%s\n", e.File, e.Bytes, e.What)
	}
	_ = out.Flush()
	for i, l := range t.Left {
		if i == 0 {
			fmt.Fprintln(w, "\nleft out:")
		}
		fmt.Fprintf(w, "  %s\n", l)
	}
	fmt.Fprintln(w, "\nnever in one:", doctor.Never)
	fmt.Fprintln(w, "\nlook through it before you give it to anybody: tar -xzf it into an empty directory")
}
