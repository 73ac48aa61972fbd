package alarm

import (
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// withoutStatus is how long an outage without a bad input is doubted when the calibration word is never read.
const withoutStatus = 10 * time.Second

var (
	onStatus      = points(ups.StatusFlags)
	onCause       = points(ups.StatusCause)
	onCalibration = points(ups.Calibration)
	onErrors      = points(ups.GeneralError)
	onInput       = points(ups.InputStatus)
)

const all = ^uint32(0)

func withoutStatusFor(*Limits) time.Duration { return withoutStatus }
func inputFor(*Limits) time.Duration         { return 2 * time.Second } // event catalogue, section 2, footnote 1
func badInputFor(l *Limits) time.Duration    { return l.BadInputFor }

// inputRules are the alarms of input power and transfers: event catalogue, section 2. Rules are judged in their order, so a
// row may refer to alarms above it as they are now.
var inputRules = []rule{
	{
		// READ-1, TIMING-1. With a bad input it is an outage on the first poll, whatever test may run. Without one it is an
		// outage only if no calibration runs, and a watch does not tell: it may come between the start of a calibration and
		// the read that shows it. So such a change waits for a read that contains the calibration word (a second at the
		// default rates, less in a burst), and for a second one while 103 is active: status and calibration word are two items
		// and change at two moments (protocol reference, section 3.5), also at the end. Where that word is never read, 10 s.
		id: 101,
		raise: []test{
			{on: onStatus, is: mainsGone, polls: 1},
			{on: onCalibration, is: func(x *look) bool { return batteryWithoutTest(x) && !x.active.has(103) }, polls: 1},
			{on: onCalibration, is: batteryWithoutTest, polls: 2},
			{on: onStatus, is: batteryWithoutTest, polls: 2, hold: withoutStatusFor},
		},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UOnBattery), polls: 2}},
		then:   102,
		thenIf: bit(ups.StatusFlags, ups.UOnline),
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause, ups.Calibration},
		detail: (*look).causeName,
		ended:  (*look).causeName,
	},
	{
		id: 103, // READ-1
		raise: []test{
			{on: onStatus, is: batteryForTest, polls: 1},
			{on: onCalibration, is: batteryForTest, polls: 1},
		},
		clear: []test{
			{on: onStatus, is: noBit(ups.StatusFlags, ups.UTest), polls: 2},
			{on: onCalibration, is: noBit(ups.Calibration, ups.TInProgress), polls: 2},
		},
		yieldTo: 101,
		raw:     []ups.Point{ups.StatusFlags, ups.Calibration},
		detail:  testReason,
	},
	inputRule(104, ups.IVoltageHigh, ups.CauseHighVoltage),
	inputRule(105, ups.IVoltageLow, ups.CauseLowVoltage),
	inputRule(106, ups.IDistorted, ups.CauseDistorted),
	causeMoment(107, transferBy(ups.CauseRapidChange)),
	inputRule(108, ups.IFrequencyHigh, ups.CauseHighFrequency),
	inputRule(109, ups.IFrequencyLow, ups.CauseLowFrequency),
	inputRule(110, ups.INotLocked, ups.CauseNotLocked),
	inputRule(111, ups.IPhaseDelta, ups.CausePhaseDelta),
	inputRule(112, ups.INeutral, ups.CauseNeutral),
	{
		id:     113,
		raise:  []test{{on: onStatus, is: func(x *look) bool { return x.u(ups.UInputBad) && !x.u(ups.UOnBattery) }, polls: 2, hold: badInputFor}},
		clear:  []test{{on: onStatus, is: noBit(ups.StatusFlags, ups.UInputBad), polls: 2}},
		raw:    []ups.Point{ups.StatusFlags},
		detail: inputVoltage,
	},
	inputRule(114, ups.IBoost, noCause),
	inputRule(115, ups.ITrim, noCause),
	bitRule(116, ups.StatusFlags, ups.UMainsBad).of(ups.SRT),
	causeMoment(117, causedBy(ups.CausePlugRating)),
	{
		id:     118,
		raise:  []test{{on: onStatus, is: transfersOften, polls: 1}}, // each was confirmed when it was raised
		clear:  []test{{on: onStatus, is: noTransfers, polls: 2}},
		raw:    []ups.Point{ups.StatusFlags, ups.StatusCause},
		detail: func(x *look) string { return fmt.Sprintf("3 transfers in %s", round(x.since(markOutage1).age(x.now))) },
		byTime: true,
	},
	{
		id:      119,
		raise:   []test{{on: onStatus, is: longOnBattery, polls: 1}},
		while:   101,
		elapses: true,
		raw:     []ups.Point{ups.StatusFlags, ups.Runtime, ups.Charge},
		detail:  func(x *look) string { return fmt.Sprintf("on battery for %s", round(x.since(markOutage3).age(x.now))) },
		byTime:  true,
	},
	causeMoment(120, causedBy(ups.CauseATS)),
	causeMoment(123, causedBy(ups.CauseAutomaticRestart)),
}

// inputRule is a row of the input status word, which the vendor gives for logging: the bit for two polls and 2 s, or the named
// cause at a transfer (footnote 1). A unit that gives no such word could not say that it is over.
func inputRule(id ups.AlarmID, mask uint32, cause int64) rule {
	r := rule{
		id:     id,
		raise:  []test{{on: onInput, is: bit(ups.InputStatus, mask), polls: 2, hold: inputFor}},
		clear:  []test{{on: onInput, is: noBit(ups.InputStatus, mask), polls: 2}},
		raw:    []ups.Point{ups.InputStatus},
		detail: inputVoltage,
	}
	if cause == noCause {
		return r
	}
	byCause := transferBy(cause)
	byCause.is = func(x *look) bool {
		_, known := x.st.Raw(ups.InputStatus)
		return known && x.moved == cause
	}
	r.raise = append(r.raise, byCause)
	r.raw = append(r.raw, ups.StatusFlags, ups.StatusCause)
	r.detail = func(x *look) string {
		if x.moved == cause {
			return phrase(x.causeName(), inputVoltage(x))
		}
		return inputVoltage(x)
	}
	return r
}

// testReason says which test it is. The words that tell are read less often than the status word: it may come before both.
func testReason(x *look) string {
	const begins = ups.TPending | ups.TInProgress
	cause, _ := x.st.Raw(ups.StatusCause)
	switch {
	case x.bits(ups.Calibration, begins):
		return "runtime calibration"
	case x.bits(ups.BatteryTest, begins), cause == ups.CauseAutomaticTest: // by a timer or at the start; calibrations have none
		return "self-test"
	}
	return "self-test or runtime calibration"
}

// transfersOften: the last three transfers were within a day.
func transfersOften(x *look) bool {
	return x.since(markOutage1).within(x.limits.Day, x.now) && !noTransfers(x)
}

// noTransfers: there was none for a day.
func noTransfers(x *look) bool {
	m := x.since(markOutage3)
	return !m.set || m.over(x.limits.Day, x.now)
}

// longOnBattery: 101 is active for longer than the owner's time.
func longOnBattery(x *look) bool {
	m := x.since(markOutage3)
	return x.active.has(101) && m.set && m.age(x.now) > x.limits.LongOnBattery
}

func inputVoltage(x *look) string { return x.value("input voltage", ups.InputVoltage) }

// mainsGone: on battery, and the input is really bad, which a test alone does not set (READ-1).
func mainsGone(x *look) bool { return x.u(ups.UOnBattery) && x.u(ups.UInputBad) }

// batteryWithoutTest: on battery, and neither a self-test nor a calibration that has been read says why (READ-1).
func batteryWithoutTest(x *look) bool {
	return x.u(ups.UOnBattery) && !x.u(ups.UTest) && !x.bits(ups.Calibration, ups.TInProgress)
}

// batteryForTest: on battery for a test, the input is good, and no outage goes on: 101 ends only with the battery.
func batteryForTest(x *look) bool {
	return x.u(ups.UOnBattery) && !x.u(ups.UInputBad) && !x.active.has(101) &&
		(x.u(ups.UTest) || x.bits(ups.Calibration, ups.TInProgress))
}

// seconds writes a time as "2 min" or "90 s" would be read: in seconds.
func seconds(what string, d time.Duration) string { return fmt.Sprintf("%s %.4g s", what, d.Seconds()) }
