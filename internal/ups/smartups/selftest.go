package smartups

import (
	"context"
	"fmt"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// selfTestDeed starts the unit's own test of its battery. 1541 is marked for every family, and SURTD is read-only (D12).
type selfTestDeed struct{}

func (selfTestDeed) plan(_ context.Context, _ *Control, e *eye, _ map[string]string, ev *evidence) error {
	ev.Addr, ev.Word = testCommand, startTest
	return e.family()
}

func (selfTestDeed) may(_ *evidence, s *ups.State, p profile) error { return locked(s, p) }
func (selfTestDeed) looks(e *eye, _ *evidence) []*read              { return e.status() }
func (selfTestDeed) follow(*evidence) step                          { return &selfTest{} }
func (selfTestDeed) shown(*evidence) []ups.Point                    { return []ups.Point{ups.BatteryTest} }

func (selfTestDeed) back(_ *evidence, s *ups.State) (order, error) {
	if s.Flags(ups.BatteryTest)&(ups.TPending|ups.TInProgress) == 0 {
		return order{}, unsupported("no self-test runs")
	}
	return order{testCommand, abortTest}, nil
}

// A selfTest follows one. Its status word is sticky: the result of this test is told from the one before by having seen it run,
// or by the word being another (protocol reference, sections 6.8 and 8.4).
type selfTest struct {
	ran bool
}

// A test takes about 20 s where it was seen (section 8.4); more is allowed for larger batteries.
const longestTest = 5 * time.Minute

func (t *selfTest) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	word := s.Flags(ups.BatteryTest)
	running := word&ups.TInProgress != 0 || s.Flags(ups.StatusFlags)&ups.UTest != 0
	t.ran = t.ran || running
	var out ups.Outcome
	switch {
	case running:
		f.tell(50, "the self-test runs")
		return nil
	case word&ups.TPending != 0:
		f.tell(10, "the self-test waits to begin")
		return nil
	case t.ran, word != f.ev.Test:
		out = f.tested(word)
	case f.judging:
		out = f.end(ups.Unknown, "", "no self-test runs, and its last result is the one from before")
	case after < begins:
		return nil
	case f.missed(begins):
		out = f.end(ups.Unknown, "", "the result is the one from before; whether a test ran was not seen")
	case word&ups.TRefused != 0:
		out = f.tested(word)
	case !f.answered:
		out = f.end(ups.Unknown, "", "no answer came, and no test runs; it is not repeated")
	default:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and no test began")
	}
	return &out
}

func (t *selfTest) limit(*following) time.Duration { return longestTest }

func (t *selfTest) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", fmt.Sprintf("the self-test has not ended after %v", longestTest))
}

// tested is the outcome by the status word of a test that is over.
func (f *following) tested(word uint32) ups.Outcome {
	said := fmt.Sprintf(" (0x%04X)", word)
	if why := modifiers(word); why != "" {
		said = ": " + why + said
	}
	switch {
	case word&ups.TRefused != 0:
		return f.end(ups.Failed, ups.ReasonUPSRefused, "the unit refused the self-test"+said)
	case word&ups.TAborted != 0 && f.control.cancelled.Load():
		return f.end(ups.Cancelled, ups.ReasonCancelled, "the self-test was taken back"+said)
	case word&ups.TAborted != 0:
		return f.end(ups.Failed, "", "the self-test was aborted"+said)
	case word&ups.TProtocol == 0 && word != 0:
		return f.end(ups.Unknown, "", "the result is that of another test"+said)
	case word&ups.TFailed != 0:
		return f.end(ups.Failed, "", "the battery failed the self-test"+said)
	case word&ups.TPassed != 0:
		return f.end(ups.Done, "", "the battery passed the self-test"+said)
	}
	return f.end(ups.Unknown, "", "the unit tells no result of the self-test"+said)
}

// modifiers are the reasons in a status word, in words (section 6.8).
func modifiers(word uint32) string {
	var out []string
	for _, m := range []struct {
		bit  uint32
		what string
	}{
		{ups.TInvalidState, "the state of the unit does not allow it"},
		{ups.TInternalFault, "an internal fault"},
		{ups.TCharge, "the charge is too low"},
	} {
		if word&m.bit != 0 {
			out = append(out, m.what)
		}
	}
	return strings.Join(out, ", ")
}
