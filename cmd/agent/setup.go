package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"upsedge/internal/config"
)

// setupCmd is the way from a box to readings: find the units, write the configuration, enrol, start the service, look. By questions at a
// terminal, or by flags without a question.
//
// Each step leaves its work whole or not at all and finds out what is done already, so that it can be stopped anywhere, by a power cut
// too, and be run again: the configuration is replaced once, by a rename; an enrolment has its own way to go on; starting a service that
// runs does nothing.
type setupCmd struct {
	Find    probeCmd // where to look: its flags are those of probe
	Names   []string
	Cloud   string
	Token   string
	CA      string
	Allow   string
	FedBy   string
	Yes     bool
	NoStart bool
	JSON    bool

	service serviceManager
	// step is told of each step before it is made; tests end the run there. Nil: nobody asks.
	step func(name string)
}

func setupCommand(cli *common, std stdio) *cobra.Command {
	c := &setupCmd{service: systemd()}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Find the units, write the configuration, start the service and show what it reads.",
		Long: `Find the units, write the configuration, start the service and show what it
reads. At a terminal it asks; with --yes it asks nothing and does what the
flags say. What is configured already stays, and a second run with the same
flags changes nothing. It can be stopped at any point and be run again.`,
		Example: `  upsagent setup
  upsagent setup --yes --serial /dev/ttyUSB0 --name rack-a
  upsagent setup --yes --tcp 192.0.2.20 --allow reboot --fed-by ups-1:main
  upsagent setup --yes --cloud https://cloud.example:8443 --token - < token`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context(), cli, std) },
	}
	f := cmd.Flags()
	f.Var(&c.Find.Serial, "serial", "Serial port to look at; may be repeated. Without a name, or without --serial and --tcp: every serial port of this box.")
	f.StringArrayVar(&c.Find.TCP, "tcp", nil, "`HOST`, host:port or a network such as 192.0.2.0/24 to look at; may be repeated.")
	f.StringArrayVar(&c.Find.UnitID, "unit-id", []string{"1"}, "Modbus slave addresses `N[-M]` to try: 1, 1,5 or 1-20.")
	f.IntVar(&c.Find.Baud, "baud", 9600, "Baud rate `N` of the serial ports.")
	f.StringVar(&c.Find.Parity, "parity", "none", "`PARITY` of the serial ports: none, even, odd.")
	f.StringArrayVar(&c.Names, "name", nil, "`NAME` of the unit; of several: SERIALNUMBER=NAME or PLACE=NAME, repeated. Without: the name on its display, or ups-1, ups-2 ...")
	f.StringVar(&c.Cloud, "cloud", "", "`URL` of the cloud to enrol with: https://cloud.example:8443.")
	f.StringVar(&c.Token, "token", "", "Token `T` for it, from the owner of the site; - reads it from standard input, where no list of processes shows it.")
	f.StringVar(&c.CA, "ca", "", "`FILE` with the authorities (PEM) by which to know the cloud, where neither the token nor the system does.")
	f.StringVar(&c.Allow, "allow", "", "`GROUPS` of orders from afar that this box obeys, with commas: diagnostics, alarms, settings, reboot, outlets, firmware; or none.")
	f.StringVar(&c.FedBy, "fed-by", "", "`UNIT:GROUP` that feeds this box: rack-a:main or rack-a:sog0; or none. See orders.fed_by.")
	f.BoolVar(&c.Yes, "yes", false, "Ask nothing: do what the flags say.")
	f.BoolVar(&c.NoStart, "no-start", false, "Write the configuration and leave the service alone.")
	f.BoolVar(&c.JSON, "json", false, "Machine-readable output; asks nothing.")
	return cmd
}

// A setup is one run of it.
type setup struct {
	*setupCmd
	cli   *common
	std   stdio
	words io.Writer // what is told on the way
	ask   *dialog   // nil: nothing is asked
	began time.Time

	cfg    *config.Config // as the file says it now; of no file, what an empty one means
	units  []found
	change config.Change
	anew   bool       // the service has been told already and does not read the units
	enrol  *enrolment // nil: none is wanted
	done   setupReport
}

// errStopped is the end of a run that somebody has stopped.
var errStopped = errors.New("stopped")

// Run sets this box up.
func (c *setupCmd) Run(ctx context.Context, cli *common, std stdio) error {
	s := &setup{setupCmd: c, cli: cli, std: std, words: std.err, began: time.Now()}
	if c.step == nil {
		c.step = func(string) {}
	}
	if err := s.begin(); err != nil {
		return err
	}
	if s.ask != nil {
		ctx, end := context.WithCancel(ctx)
		defer end()
		return s.stopped(ctx, s.byQuestions(ctx))
	}
	return s.stopped(ctx, s.byFlags(ctx))
}

// begin checks what can be checked before anything is asked of anybody.
func (s *setup) begin() error {
	if err := s.load(); err != nil {
		return err
	}
	if err := s.checkFlags(); err != nil {
		return usageError{err}
	}
	if s.cli.Config == s.service.config && os.Geteuid() != 0 {
		return errors.New("setup writes " + s.cli.Config + " and starts the service: run it as root (sudo upsagent setup)")
	}
	if err := config.CheckApply(s.cli.Config, config.Change{}); err != nil {
		return err
	}
	switch in, ok := s.std.in.(*os.File); {
	case s.Yes || s.JSON:
		return nil
	case !ok || !term.IsTerminal(int(in.Fd())) || onTerminal(s.std.err) == io.Discard:
		return usageError{errors.New("setup asks its questions at a terminal; without one say --yes, and by flags what to do")}
	default:
		s.ask = newDialog(in, s.std.err)
		return nil
	}
}

// load reads the configuration; that there is none is no mistake here.
func (s *setup) load() error {
	cfg, err := config.Load(s.cli.Config)
	if errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Parse(s.cli.Config, nil)
	}
	if err != nil {
		return usageError{asRoot(err)}
	}
	s.cfg = cfg
	return nil
}

// stopped says of a run that was stopped what it leaves behind.
func (s *setup) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil && !errors.Is(err, errStopped) || err == nil {
		return err
	}
	left := "nothing was written"
	if s.done.Changed {
		left = s.cli.Config + " is written"
	}
	return fmt.Errorf("stopped: %s. Run it again, and it goes on from here", left)
}

// byFlags does what the flags say. Where the cloud cannot be reached the service is started all the same: what is read here is worth having,
// and the next run enrols.
func (s *setup) byFlags(ctx context.Context) error {
	if err := s.find(ctx); err != nil {
		return err
	}
	if err := s.decideByFlags(); err != nil {
		return usageError{err}
	}
	if err := s.write(); err != nil {
		return err
	}
	enrolled := s.enrolNow(ctx)
	started := s.start(ctx)
	if started == nil {
		started = s.await(ctx)
	}
	if ctx.Err() != nil {
		return errStopped
	}
	s.showOnce()
	s.examine(ctx)
	return errors.Join(s.end(), enrolled, started)
}

// byQuestions does the same in dialogue.
func (s *setup) byQuestions(ctx context.Context) error {
	s.greet()
	if err := s.findAndAsk(ctx); err != nil {
		return err
	}
	if err := s.decideByQuestions(ctx); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	enrolled := s.enrolUntil(ctx)
	if errors.Is(enrolled, errStopped) {
		return enrolled
	}
	started := s.startUntil(ctx)
	if errors.Is(started, errStopped) {
		return started
	}
	s.live(ctx)
	s.examine(context.WithoutCancel(ctx)) // Ctrl-C ends the watching, and the rest is over in seconds
	return errors.Join(s.end(), enrolled, started)
}

// write writes what was decided, in one step.
func (s *setup) write() error {
	s.step("write")
	changed, err := config.Apply(s.cli.Config, s.change)
	if err != nil {
		return err
	}
	s.step("written")
	s.done.Changed, s.change = changed, config.Change{}
	if changed {
		s.say("Written: %s", s.cli.Config)
	} else {
		s.say("Unchanged, it says so already: %s", s.cli.Config)
	}
	return s.load()
}

// say tells something on the way. On a terminal it is folded to what every one has; in a pipe a sentence is a line.
func (s *setup) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if onTerminal(s.words) == io.Discard {
		fmt.Fprintln(s.words, text)
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.TrimLeft(line, " ")
		indent := len(line) - len(words)
		fmt.Fprintf(s.words, "%s%s\n", line[:indent], folded(words, indent))
	}
}
