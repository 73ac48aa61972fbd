package agent

import "upsedge/internal/clock"

// A Trial is ground that gives way under an agent, for tests of the whole. What is zero is as in earnest.
type Trial struct {
	Clock  func() (*clock.Clock, error)
	Driver string // of SQLite, as store.Options.Through takes it
}

// On returns the options of an agent that runs on the ground of t.
func (o Options) On(t Trial) Options {
	o.outside.clock, o.outside.driver = t.Clock, t.Driver
	return o
}
