package alarm

import (
	"fmt"
	"slices"

	"upsedge/internal/ups"
)

// inputBits are the alarms of the input status word: bit, and the cause that raises them at a transfer (0: none).
var inputBits = []struct {
	id    ups.AlarmID
	bit   uint32
	cause int
}{
	{104, 1 << 3, 1},
	{105, 1 << 2, 2},
	{106, 1 << 4, 3},
	{108, 1 << 8, 5},
	{109, 1 << 7, 6},
	{110, 1 << 9, 7},
	{111, 1 << 10, 22},
	{112, 1 << 11, 23},
	{114, 1 << 5, 0},
	{115, 1 << 6, 0},
}

// causeMoments are the moments that a cause makes at a transition, and that need a second poll.
var causeMoments = []struct {
	id    ups.AlarmID
	cause int
}{{117, 28}, {120, 24}, {123, 18}, {224, 13}, {319, 30}, {424, 17}}

func wordStories() (out []story) {
	for _, b := range inputBits {
		out = append(out, story{fmt.Sprintf("footnote 1 TIMING-2 %d by the input word: two polls and two seconds", b.id), fmt.Sprintf(`
			0    live
			1    live I=%[1]x
			2    live
			2.5  live I=1
			3    live I=%[1]x
			4.9  live
			5    live                -> raise %[2]d "input voltage 230 V"
			6    live I=1
			6.2  watch
			6.5  live I=%[1]x
			7    live I=1
			7.5  live                -> clear %[2]d ""
			8    live I=%[1]x
			20   live I=1            # two seconds, one poll
			21   live I=%[1]x
			23   live                -> raise %[2]d
			24..25 live I=1          -> clear %[2]d @25`, b.bit, b.id)})
		if b.cause == 0 {
			continue
		}
		name := ups.Names(ups.StatusCause)[b.cause].Name
		out = append(out, story{fmt.Sprintf("footnote 1 %d by its cause at a transfer, at once", b.id), fmt.Sprintf(`
			0    live
			0.1  status
			0.2  watch U=244 C=%[1]d -> raise 101 "%[3]s"; raise %[2]d "%[3]s, input voltage 230 V"
			0.5  live
			1    live                -> clear %[2]d
			1.2  watch U=245         # a change that is no transfer
			1.4  watch`, b.cause, b.id, name)})
	}
	for _, c := range causeMoments {
		out = append(out, story{fmt.Sprintf("TIMING-1 TIMING-3 %d by a transition of its cause, twice", c.id), fmt.Sprintf(`
			0    watch
			0.2  watch C=%[1]d       # the state has not changed
			0.4  watch
			0.6  watch U=2002
			0.8  watch               -> event %[2]d "%[3]s"
			1    watch
			1.2  watch U=2003        # the bit that toggles is a change of state
			1.4  watch               -> event %[2]d
			1.6  watch U=2
			1.8  watch C=8           # seen once
			2    watch C=%[1]d
			2.2  watch U=2002
			2.4  live
			2.6  watch               -> event %[2]d
			2.8  restart
			3    watch U=2           # before it nobody looked
			3.2  watch`, c.cause, c.id, ups.Names(ups.StatusCause)[c.cause].Name)})
	}
	return out
}

var inputStories = []story{
	{"104 a unit that never gives the input word could not say that it is over", `
		0    watch
		1    watch U=244 C=1     -> raise 101`},
	{"107 at a transfer of its cause, at once; not again while it lasts, nor for a change that is no transfer", `
		0    watch
		1    watch U=244 C=4     -> raise 101 "RapidChangeOfInputVoltage"; event 107 "RapidChangeOfInputVoltage"
		2    watch U=245
		3    watch U=2           -> event 107
		4    watch C=8           -> clear 101; event 102`},
	{"113 a bad input that is not on battery for 30 s", `
		0    live
		1    watch U=42
		30   watch
		30.5 watch U=2
		31..60 watch U=42
		61   watch               -> raise 113 "input voltage 230 V"
		62   watch U=2
		63   watch U=42
		64   watch U=244         -> raise 101
		90   watch
		91   watch U=2
		92   watch               -> clear 101; event 102; clear 113`},
	{"113 needs two polls", `
		0    live
		1    watch U=42
		40   watch U=2
		41   watch U=42
		71   watch               -> raise 113`},
	{"READ-10 116, 301, 312, 316 of an SRT are nothing in an SMT, and are counted; in a unit of no known family they are taken as they are", `
		0    identity sku=SMT1500RM2UC
		1..20 watch U=380002
		21   identity sku=SRT1000XLA
		22   watch               -> raise 116; raise 301; raise 316`},
	{"118 three transfers in a day; over by a day without", `
		0    watch
		10   watch U=244         -> raise 101
		11..12 watch U=2         -> clear 101 @12; event 102 @12
		43200 watch U=244        -> raise 101
		43201..43202 watch U=2   -> clear 101 @43202; event 102 @43202
		86411 watch U=244        -> raise 101
		86412..86413 watch U=2   -> clear 101 @86413; event 102 @86413
		86420 restart
		86421 watch
		129600 watch U=244       -> raise 101 "AcceptableInput"; raise 118 "3 transfers in 23h59m52s"
		129601..129602 watch U=2 -> clear 101 @129602; event 102 @129602
		172800 watch U=244       -> raise 101
		172801..172802 watch U=2 -> clear 101 @172802; event 102 @172802
		259199 watch
		259200 watch
		259201 watch             -> clear 118 ""`},
	{"118 counts over a restart, and the time the agent was away only with a clock to trust", `
		0    watch
		10   watch U=244         -> raise 101
		11..12 watch U=2         -> clear 101 @12; event 102 @12
		20   watch U=244         -> raise 101
		21..22 watch U=2         -> clear 101 @22; event 102 @22
		23   restart
		90000 watch
		90010 watch U=244        -> raise 101; raise 118
		90011 restart
		90012 watch
		90013..90014 watch U=2   -> clear 101 @90014; event 102 @90014`},
	{"118 does not count what was more than a day ago, the absence included where the clock is to be trusted", `
		0    trusted
		0    watch
		10   watch U=244         -> raise 101
		11..12 watch U=2         -> clear 101 @12; event 102 @12
		20   watch U=244         -> raise 101
		21..22 watch U=2         -> clear 101 @22; event 102 @22
		23   restart
		90000 watch
		90010 watch U=244        -> raise 101`},
	{"119 on battery for ten minutes, and ends with 101", `
		0    watch U=244         -> raise 101
		600  watch
		600.2 watch              -> raise 119 "on battery for 10m0s"
		601  watch U=2
		602  watch               -> clear 101; event 102; clear 119`},
	{"119 also while nobody hears the unit, unconfirmed; and once over a restart", `
		0    watch U=244         -> raise 101
		1..29 miss no-answer
		30   miss no-answer      -> raise 802
		600  elapsed
		601  elapsed             -> raise 119 unconfirmed "on battery for 10m1s"
		602  elapsed
		603  restart
		604  elapsed
		700  watch
		701  watch               -> clear 802 @700; event 803 @700
		702  watch U=2
		703  watch               -> clear 101; event 102; clear 119 inferred`},
	{"119 between two polls is not in doubt", `
		0    watch U=244         -> raise 101
		599  watch
		601  elapsed             -> raise 119
		602  confirmed`},
	{"READ-9 121 and 122 after ten minutes in which the mode was stable; what it is at first is not told", `
		0    watch
		0.2  watch
		1    watch U=2002
		500  watch U=2
		501  watch U=2002
		1100 watch
		1101 watch               -> event 121 ""
		1102 watch U=2
		1103..1200 watch
		1201 watch U=2002
		1202 watch U=2
		1801 watch
		1802 watch               -> event 122
		1803 watch U=2002
		1804 restart
		1805..2000 watch
		2404 watch
		2405 watch               -> event 121 inferred
		2406 restart
		2407..2408 watch`},
	{"121 needs a second poll after ten minutes of silence", `
		0..1 watch
		2    watch U=2002
		3    watch U=2
		700  watch`},
}

func inAllStories() []story { return slices.Concat(wordStories(), inputStories) }
