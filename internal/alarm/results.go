package alarm

import "upsedge/internal/ups"

// A resultWord is a register that keeps the result of a test until the next one (READ-5). What it says is news when the
// whole word changes, or when the test was seen running since; never because it was read again, nor after a restart.
type resultWord struct {
	point   ups.Point
	results []result
}

// A result is what one bit of a resultWord reports.
type result struct {
	bit  uint32
	id   ups.AlarmID // a moment, or an alarm that lasts
	ends ups.AlarmID // the alarm that this result clears; 0: none
}

var resultWords = []resultWord{
	{ups.BatteryTest, []result{
		{bit: ups.TPassed, id: 503, ends: 504},
		{bit: ups.TFailed, id: 504},
		{bit: ups.TRefused, id: 505},
		{bit: ups.TAborted, id: 506},
	}},
	{ups.Calibration, []result{
		{bit: ups.TPassed, id: 509},
		{bit: ups.TFailed, id: 510},
		{bit: ups.TRefused, id: 511},
		{bit: ups.TAborted, id: 512},
	}},
}

// resultPolls is how often in a row a word has to be read the same before it counts (TIMING-1): one damaged word must not
// leave 504 active until the next test.
const resultPolls = 2

// A wordState is what is remembered of a resultWord. known, word and ran are kept over a restart.
type wordState struct {
	known bool   // a word has been seen at all; the first one is remembered and not reported
	word  uint32 // the last one that counted
	ran   bool   // the test was seen running since the last result: the next result is a new one even if it is the same
	next  uint32 // the last one read
	n     int    // how often in a row
	blind bool   // that one was found, not seen: nothing had been read since the program began or communication was lost
}

// count takes over one read and reports whether the word now holds a new result.
func (s *wordState) count(word uint32, blind bool) (news, changed bool) {
	if word&ups.TInProgress != 0 && !s.ran {
		s.ran, changed = true, true
	}
	if s.n == 0 || word != s.next {
		s.next, s.n, s.blind = word, 0, blind
	}
	if s.n < resultPolls {
		s.n++
	}
	running := word&(ups.TPending|ups.TInProgress) != 0
	if s.n < resultPolls || s.known && word == s.word && (running || !s.ran) {
		return false, changed
	}
	news = !running && (s.ran || s.known && word != s.word)
	s.known, s.word = true, word
	if !running {
		s.ran = false
	}
	return news, true
}

// judgeResults reports what is new in the result words of the read.
func (e *Engine) judgeResults(p *plan) {
	x := &e.look
	for _, i := range p.words {
		w, s := &e.set.words[i], &e.words[i]
		raw, ok := x.st.Raw(w.point)
		if !ok {
			continue
		}
		news, changed := s.count(uint32(raw), !e.heard.has(w.point))
		e.dirty = e.dirty || changed
		if w.point == ups.BatteryTest && s.known && !e.mem.marks[markPassed].set {
			e.put(markPassed) // when it last passed nobody knows; 507 counts from here
		}
		for _, r := range w.results {
			e.active.confirm(key{id: r.id})
			if news && s.word&r.bit != 0 {
				e.report(w, r, s.blind)
			}
		}
	}
}

func (e *Engine) report(w *resultWord, r result, blind bool) {
	x := &e.look
	word := x.st.Flags(w.point)
	detail := testSource(word)
	if r.bit&(ups.TRefused|ups.TAborted) != 0 {
		detail = phrase(detail, reasons(word))
	}
	k, raw := key{id: r.id}, x.raw([]ups.Point{w.point})
	e.inferring = blind
	if ups.AlarmByID(r.id).Moment {
		e.moment(k, x.at, detail, raw)
	} else if !e.active.has(r.id) {
		e.raise(k, detail, raw)
	}
	if e.active.has(r.ends) {
		e.clear(key{id: r.ends}, x.at, detail, raw)
	}
	e.inferring = false
}

// reasons says why a test was refused or aborted (protocol reference, sections 6.8 and 6.9). A self-test sets the first three
// only.
func reasons(word uint32) string {
	out := ""
	for _, r := range [...]struct {
		bit  uint32
		name string
	}{
		{ups.TInvalidState, "state"},
		{ups.TInternalFault, "internal fault"},
		{ups.TCharge, "charge"},
		{ups.RLoadChange, "load changed"},
		{ups.RInputBad, "input"},
		{ups.RLoadTooLow, "load too low"},
		{ups.ROverCharging, "over-charge"},
	} {
		if word&r.bit != 0 {
			out = phrase(out, "reason: "+r.name)
		}
	}
	return out
}

// testSource says who started a test (protocol reference, section 6.8).
func testSource(word uint32) string {
	switch {
	case word&ups.TProtocol != 0:
		return "source: command"
	case word&ups.TLocalUI != 0:
		return "source: panel"
	case word&ups.TInternal != 0:
		return "source: internal"
	}
	return ""
}
