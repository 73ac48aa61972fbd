package smartups

import (
	"fmt"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// A trial is one of the two tests a unit makes of its battery. One word each starts and aborts it, and one status item keeps its result
// until the next (protocol reference, sections 6.8, 6.9, 8.4 and 8.5).
type trial struct {
	name    string
	command uint16
	word    ups.Point
	runs    func(s *ups.State) bool
	before  func(ev *evidence) uint32 // the word before the write
	// since tells whether the unit shows that one has ended since the command was checked, though the word is the same.
	since func(ev *evidence, s *ups.State) bool
	most  func(ev *evidence) time.Duration
	pace  func(p profile, ran bool, after time.Duration) time.Duration
	say   func(t *trying, f *following, s *ups.State) // how far it is
}

const (
	startTrial = 1 // of 1541 and 1542, sections 7.5 and 7.6
	abortTrial = 2

	trialResults = ups.TPassed | ups.TFailed | ups.TRefused | ups.TAborted
	trialBusy    = ups.TPending | ups.TInProgress
	trialWhy     = ups.TInvalidState | ups.TInternalFault | ups.TCharge | ups.RLoadChange | ups.RInputBad | ups.RLoadTooLow | ups.ROverCharging

	causeTestEnded = 10 // section 6.2: done, or aborted with the state returning
)

// back is the write that ends one that runs.
func (t *trial) back(s *ups.State) (order, error) {
	if s.Flags(t.word)&ups.TPending == 0 && !t.runs(s) {
		return order{}, unsupported("no %s runs", t.name)
	}
	return order{t.command, abortTrial}, nil
}

// testEnded tells whether the last change of the unit's state was the end of a test, and was none when the command was checked. That high
// efficiency has ended would say less: it ends for other reasons, too, and which cause a unit shows then nothing documents.
func testEnded(ev *evidence, s *ups.State) bool {
	cause, ok := s.Raw(ups.StatusCause)
	return ok && cause == causeTestEnded && ev.Cause != causeTestEnded
}

// abortDeed ends one that runs, whoever began it. Bit 1 of 1541 is reserved in AN176, and an SMT1500 with UPS 9.6 answered with an error
// (D6): then the test runs to its end.
func (t *trial) abortDeed() goalDeed {
	return goalDeed{
		write: order{t.command, abortTrial},
		shows: []ups.Point{t.word},
		reached: func(was *seenNote, s *ups.State) (reach, string) {
			word := s.Flags(t.word)
			switch {
			case word&ups.TPending != 0 || t.runs(s):
				return notReached, "the " + t.name + " runs on"
			case was == nil:
				return reached, "no " + t.name + " runs"
			case word&ups.TAborted != 0:
				return reached, fmt.Sprintf("the %s was aborted%s", t.name, inWords(word))
			}
			return reached, fmt.Sprintf("the %s had come to its end%s", t.name, inWords(word))
		},
	}
}

// A trying follows a trial. Its word is sticky: the result of this one is told from the one before by having seen it run, by the word
// being another, or by what else shows that one ended.
type trying struct {
	*trial
	ran  bool
	told int // of what say has told
}

func (t *trying) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	word := s.Flags(t.word)
	var out ups.Outcome
	switch {
	case t.runs(s):
		t.ran = true
		t.say(t, f, s)
		return nil
	case word&ups.TPending != 0:
		f.tell(5, "the "+t.name+" waits to begin")
		return nil
	case (t.ran || word != t.before(f.ev)) && word&trialResults != 0:
		out = t.ended(f, word)
	case t.ran:
		out = f.end(ups.Unknown, "", "the "+t.name+" is over, and the unit tells no result"+inWords(word))
	case after < begins:
		return nil
	case f.missed(begins) && t.since(f.ev, s):
		out = t.ended(f, word)
	case f.judging:
		out = f.end(ups.Unknown, "", "no "+t.name+" runs, and the last result is the one from before")
	case f.missed(begins):
		out = f.end(ups.Unknown, "", "the result is the one from before; whether a "+t.name+" ran was not seen")
	case !f.answered:
		out = f.end(ups.Unknown, "", "no answer came, and no "+t.name+" runs; it is not repeated")
	case word&ups.TRefused != 0:
		out = t.ended(f, word)
	default:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, "the unit said yes and no "+t.name+" began")
	}
	return &out
}

func (t *trying) every(f *following, after time.Duration) time.Duration {
	return t.pace(f.eye.about.profile, t.ran, after)
}

func (t *trying) limit(f *following) time.Duration { return t.most(f.ev) }

func (t *trying) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", fmt.Sprintf("the %s has not ended after %v", t.name, t.limit(f)))
}

// ended is the outcome by the word of one that is over. With modifiers an abort was the unit's own.
func (t *trial) ended(f *following, word uint32) ups.Outcome {
	switch {
	case word&ups.TRefused != 0:
		return f.end(ups.Failed, ups.ReasonUPSRefused, "the unit refused the "+t.name+inWords(word))
	case word&ups.TAborted != 0 && word&trialWhy != 0:
		return f.end(ups.Failed, "", "the unit aborted the "+t.name+inWords(word))
	case word&ups.TAborted != 0 && f.control.cancelled.Load():
		return f.end(ups.Cancelled, ups.ReasonCancelled, "the "+t.name+" was taken back"+inWords(word))
	case word&ups.TAborted != 0 && word&ups.TLocalUI != 0:
		return f.end(ups.Cancelled, "", "the "+t.name+" was aborted at the unit"+inWords(word))
	case word&ups.TAborted != 0:
		return f.end(ups.Failed, "", "the "+t.name+" was aborted"+inWords(word))
	case word&ups.TProtocol == 0:
		return f.end(ups.Unknown, "", "the result is that of another "+t.name+inWords(word))
	case word&ups.TFailed != 0:
		return f.end(ups.Failed, "", "the battery failed the "+t.name+inWords(word))
	}
	return f.end(ups.Done, "", "the battery passed the "+t.name+inWords(word))
}

// inWords is what a word says besides the result: reasons in words, and the word itself (section 6.8 and 6.9).
func inWords(word uint32) string {
	var why []string
	for _, m := range []struct {
		bit  uint32
		what string
	}{
		{ups.TInvalidState, "the state of the unit does not allow it"},
		{ups.TInternalFault, "an internal fault"},
		{ups.TCharge, "the charge is too low"},
		{ups.RLoadChange, "the load changed"},
		{ups.RInputBad, "the input power is not acceptable"},
		{ups.RLoadTooLow, "the load is too low"},
		{ups.ROverCharging, "the battery is being charged beyond its float charge"},
	} {
		if word&m.bit != 0 {
			why = append(why, m.what)
		}
	}
	if len(why) > 0 {
		return fmt.Sprintf(": %s (0x%04X)", strings.Join(why, ", "), word)
	}
	return fmt.Sprintf(" (0x%04X)", word)
}
