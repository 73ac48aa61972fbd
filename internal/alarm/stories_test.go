package alarm

import (
	"testing"
	"time"
)

// A story is played by play.
type story struct{ name, text string }

var generalStories = []story{
	{"READ-1 TIMING-1 an outage is raised by the first watch that shows it, TIMING-2 and ends with the second that does not", `
		0    status
		0.2  watch U=244 C=3     -> raise 101 "DistortedInput"
		0.4  watch
		0.6  live runtime=3000
		0.8  watch U=2 C=8
		0.9  live
		1.0  watch               -> clear 101 "AcceptableInput"; event 102 "AcceptableInput"
		1.2  watch`},
	{"TIMING-2 one poll without the battery bit is not the end of an outage, and a missed poll is no vote", `
		0    status U=244        -> raise 101
		0.2  watch U=2
		0.4  watch U=244
		0.6  watch U=2
		0.8  miss no-answer
		1.0  watch               -> clear 101; event 102`},
	{"102 is not said when the outage ends with the output off", `
		0    status U=244        -> raise 101
		0.2  watch U=150
		0.4  watch               -> clear 101; raise 307; raise 309
		9    watch U=2
		10   watch               -> clear 307; event 308; clear 309`},
	{"an outage before anything else was ever read needs no other block", `
		0    watch U=244 C=2     -> raise 101 "LowInputVoltage"`},
	{"an unknown cause keeps its number", `
		0    watch U=244 C=31    -> raise 101 "cause 31"`},
	{"READ-1 a self-test is 103 and no outage", `
		0    status
		0.2  watch U=84 C=9      -> raise 103 "self-test"
		1    status T=42
		2    status T=42         -> raise 502 "source: command"
		20   status T=44 U=2
		20.2 watch               -> clear 103
		21   status              -> clear 502 ""; event 503 "source: command"`},
	{"READ-1 mains lost during a self-test: 103 gives way to 101 at once", `
		0    watch U=84          -> raise 103
		0.2  watch U=c4 C=3      -> raise 101; clear 103
		0.4  watch U=244
		1    watch U=2
		1.2  watch               -> clear 101; event 102`},
	{"READ-1 a test that begins in an outage does not hide it", `
		0    watch U=244         -> raise 101
		0.2  watch U=84
		0.4  watch`},
	{"READ-1 a calibration that begins between a watch and the next status read is not an outage", `
		0    status R=0
		0.2  watch U=4 C=12
		0.4  watch
		1    status R=42         -> raise 103 "runtime calibration"
		1.2  watch
		60   status              -> raise 508
		61   watch U=2
		62   status R=44
		63   status              -> clear 103 ""; clear 508 ""; event 509 "source: command"`},
	{"READ-1 on battery without a bad input and without a calibration is an outage as soon as a read says so", `
		0    status
		0.2  watch U=4 C=15
		0.4  watch
		1    status              -> raise 101 "PowerSystemError"`},
	{"READ-1 and after ten seconds where nothing reads the calibration word", `
		0..1  watch /0.2
		1.2..30 watch U=4 C=15 /0.2 -> raise 101 @11.2`},
	{"READ-1 and after ten seconds two reads are enough, and one is not", `
		0    watch
		1    watch U=4 C=15
		11   watch               -> raise 101
		12   watch U=2
		13   watch               -> clear 101; event 102`},
	{"READ-1 a calibration that is seen in its own word only", `
		0    status
		0.5  watch U=4
		1    calibration R=42    -> raise 103 "runtime calibration"`},
	{"READ-1 the end of a calibration, seen in the calibration word first, is not an outage", `
		0    status U=4 R=42     -> raise 103
		60   status R=44
		60.2 watch U=2
		61   status              -> clear 103; event 509`},
	{"READ-1 mains lost in a calibration without a bad input bit need a second read", `
		0    status U=4 R=42     -> raise 103
		60   status R=2020
		61   status              -> raise 101; clear 103; event 512`},
	{"READ-2 on battery a pending turn-off is no shutdown", `
		0    status U=244 S=1    -> raise 101
		1..9 status`},
	{"READ-2 READ-3 TIMING-1 a commanded shutdown on line is one, at once, and no low battery", `
		0    live
		1    status U=2202 S=2   -> raise 311 "commanded, runtime 3600 s, charge 100 %"
		2    live runtime=3600
		60   status U=110 S=0
		61   status              -> raise 307 "AcceptableInput"; raise 309 ""; clear 311 ""`},
	{"READ-3 a commanded shutdown on battery with a full battery is no low battery", `
		0    live
		1    status U=244        -> raise 101
		2    live turnoff=60
		3    status S=3          -> raise 311 "commanded, runtime 3600 s, charge 100 %"
		4    live
		5    status`},
	{"READ-3 a group's countdown counts where the group exists", `
		0    identity groups=2
		1    status U=244 O0=1   -> raise 101
		2    live turnoff=0
		3    status S=3          -> raise 311 "battery or commanded, runtime 3600 s, charge 100 %"
		4    status S=0
		5    status              -> clear 311
		6    live turnoff0=30
		7    status S=3          -> raise 311 "commanded, runtime 3600 s, charge 100 %"`},
	{"311 by an empty battery", `
		0    status U=244        -> raise 101
		1    live runtime=100 charge=5
		2    status S=3          -> raise 311 "battery, runtime 100 s, charge 5 %"`},
	{"311 on battery before any measurement", `
		0    status U=244 S=3    -> raise 101; raise 311`},
	{"READ-3 8.6 a shutdown that contradicts a quiet status word needs a second read", `
		0    status
		1    status S=2
		2    status S=0
		3    status S=2
		3.2  watch
		4    status              -> raise 311
		5    status S=0
		6    status              -> clear 311`},
	{"READ-4 a battery error is one in its own word, and the same bit of another word is something else", `
		0    status B=4
		1    status              -> raise 206
		2    status B=0 G=4
		3    status              -> clear 206; raise 403
		4    status G=0 P=4
		5    status              -> raise 305; clear 403`},
	{"READ-5 a result from before the first start is remembered and not told", `
		0    status T=48
		1    status
		2    status`},
	{"READ-5 a result is told once, also over a restart", `
		0..1 status T=0
		2    status T=104
		3    status              -> event 503 "source: internal"
		4..6 status
		7    restart
		8..9 status`},
	{"READ-5 a new result that equals the old one is seen through the test running", `
		0..1 status T=44
		2    status T=42
		3    status              -> raise 502
		4    restart
		5    status T=44
		6    status              -> clear 502 @5 inferred; event 503 inferred`},
	{"READ-5 even if it was seen running once only", `
		0..1 status T=44
		2    status T=42
		3    status T=44
		4    status              -> event 503`},
	{"READ-5 and over a restart", `
		0..1 status T=44
		2    status T=42
		3    restart
		4    status T=44
		5    status              -> event 503 inferred`},
	{"READ-5 an old result beside a test that waits or runs is not told", `
		0..1 status T=44
		2..3 status T=49         -> raise 501 @3
		4    status T=4a
		5    status              -> clear 501; raise 502`},
	{"READ-5 READ-8 a failed test from before a restart is confirmed when the word is read", `
		0    unconfirmed
		0..1 status T=44
		2..3 status T=48         -> raise 504 @3
		4    restart
		5    watch
		6    unconfirmed
		7    status
		8    confirmed`},
	{"READ-5 a test that runs at the first start is told, and its result", `
		0    status T=82
		1    status              -> raise 502 "source: panel"
		2    status T=84
		3    status              -> clear 502 ""; event 503 "source: panel"`},
	{"READ-5 504 stays until the next 503; a second failure, a refusal and a restart of the unit change nothing", `
		0..1 status T=44
		2    status T=48
		3    status              -> raise 504 "source: command"
		4..5 status T=42         -> raise 502 @5
		6..7 status T=48         -> clear 502 @7
		8..9 status T=310        -> event 505 @9
		10..11 status T=0
		12   restart
		13..14 status T=48
		15   status T=42
		16   status T=44
		17   status              -> event 503 "source: command"; clear 504 "source: command"`},
	{"READ-5 TIMING-1 a damaged word is not a failed test", `
		0..1 status T=44
		2    status T=48
		3..4 status T=44`},
	{"READ-6 status words: 0x2002 is on line, 0x00200002 an overload, swapped words are no state and end nothing", `
		0    status U=244        -> raise 101
		1..3 watch U=20000       -> raise 805 @3
		4    watch U=2002
		5    watch               -> clear 805 @4; clear 101; event 102
		6    watch U=200002      -> raise 301`},
	{"READ-7 a status word of 0, of all ones or with two modes is a failed read", `
		0    status U=244        -> raise 101
		1    watch U=0
		2    watch U=ffffffff
		3    watch U=6           -> raise 805 "implausible, 3 times"
		30   watch U=absent      -> raise 802 "implausible, no good reading for 30s"`},
	{"READ-8 alarms of a lost unit are kept, unconfirmed, and cleared with the time of the first good poll", `
		0    status U=244 S=3    -> raise 101; raise 311
		0    confirmed
		1..29 miss no-answer
		30   miss no-answer      -> raise 802
		31   unconfirmed
		40   watch U=2
		41   miss garbled
		42   live
		43   watch               -> clear 802 @42 ""; event 803 @42 "without communication for 42s"
		44   unconfirmed
		45   watch               -> clear 101 @42 inferred; event 102 @42 inferred
		46   status S=0
		47   status              -> clear 311 @42 inferred
		48   confirmed`},
	{"READ-8 an alarm that is still there is confirmed and clears with its own time", `
		0    status U=244        -> raise 101
		1..30 miss no-answer     -> raise 802 @30
		31   watch
		32   watch               -> clear 802 @31; event 803 @31
		33   confirmed
		34   watch U=2
		35   watch               -> clear 101; event 102`},
	{"TIMING-3 a change of the cause alone is nothing", `
		0    status
		1    watch C=1
		2    watch C=21
		3    status C=13
		4    watch U=244         -> raise 101
		5    watch C=2
		6    watch C=18`},
	{"201 needs two reads with the runtime, and sixty seconds above the limit to end", `
		0    status U=244        -> raise 101
		0.5  live runtime=121
		1    live runtime=120
		1.2  watch
		1.4  status
		1.5  live runtime=119    -> raise 201 "runtime 119 s, limit 120 s"
		2    live runtime=150
		2.5  status
		3    live runtime=180
		3.5  status
		4    live
		5    live runtime=181
		6    live runtime=180
		7    live runtime=181
		8    live                -> clear 201 "runtime 181 s"; event 202 "runtime 181 s"`},
	{"8.6 one runtime of 0 is no low battery", `
		0    status U=244        -> raise 101
		1    live runtime=0
		2    live runtime=3000
		3    live runtime=0
		4    live runtime=3000`},
	{"201 is none on line, in a test or where the runtime is not known", `
		0..3 live runtime=0
		4    watch U=84          -> raise 103
		5..8 live
		9    watch U=244         -> raise 101; clear 103
		10..12 live runtime=absent`},
	{"201 ends with 101", `
		0    status U=244        -> raise 101
		1    live runtime=60
		2    live                -> raise 201
		3    watch U=2
		4    watch               -> clear 101; event 102; clear 201; event 202`},
	{"201 by a group's own limit; not by a group that is not there", `
		0    identity groups=3
		1    status U=244 O1=4001 -> raise 101
		2    status
		3    status O0=4001
		4    status              -> raise 201 "limit 120 s, runtime of group sog0 low"; raise 611 sog0 ""
		5    live
		6    live
		7    status O0=1
		8    status              -> clear 201; event 202; clear 611 sog0`},
	{"201 by a group before the list of groups was read", `
		0    status U=244 O0=4000 -> raise 101
		1..5 status
		6    status O0=4001
		7    status              -> raise 201; raise 611 sog0`},
	{"TIMING-1 301 by a bit at once, and ended by ten seconds without", `
		0    status
		1    watch U=200002      -> raise 301 "OverloadState"
		2    watch U=2
		3..4 live
		5..30 status             -> clear 301 @15; event 302 @15`},
	{"301 by the power system error", `
		0    live load=110
		1    status P=1          -> raise 301 "OutputOverload, load 110 %, apparent load 35 %"
		2    status P=0
		3..20 status /1
		21   live load=90
		22   live
		31   live                -> clear 301 "load 90 %, apparent load 35 %"; event 302 "load 90 %, apparent load 35 %"`},
	{"301 by ten seconds of load, real or apparent; a gap begins anew", `
		0..9 live load=101 /0.5
		9.5  live load=100
		10..19.5 live apparent=120 /0.5
		20   live                -> raise 301 "limit 100 % for 10s, load 100 %, apparent load 120 %"`},
	{"301 by two loads ten seconds apart; ended by two reads of each, ten seconds apart", `
		0..1 status
		1    live load=101
		11   live                -> raise 301
		12   live load=100
		13   status
		22   live
		23   status              -> clear 301; event 302`},
	{"301 lasts while the status word says so, and ten seconds longer", `
		0..1 live
		1    watch U=200002      -> raise 301
		2..3 status U=200002
		10..20 live
		21   status U=2
		25   watch
		26..29 live
		30   watch U=200002
		31   watch U=2
		35   live
		36   status
		40.9 watch
		41   watch               -> clear 301; event 302`},
	{"301 lasts while the power system error does", `
		0..1 live
		1    status P=1          -> raise 301
		2..20 live
		20   status P=0
		21..29 live
		29   status
		30   status              -> clear 301; event 302`},
	{"301 ends without the load block where that is never read", `
		0    status P=1          -> raise 301
		1..90 status P=0         -> clear 301 @60; event 302 @60`},
	{"READ-8 an alarm is not raised again after a restart, and cleared with the first good poll if it is gone", `
		0    status U=244        -> raise 101
		1    live runtime=60
		2    live                -> raise 201
		3    restart
		3    unconfirmed
		4    live
		5    watch
		6    live
		7    confirmed
		8    restart
		9    live
		10   watch U=2
		11   watch               -> clear 101 @9 inferred; event 102 @9 inferred; clear 201 @9 inferred; event 202 @9 inferred`},
	{"READ-1 a calibration goes on over a restart", `
		0    status U=4 R=42     -> raise 103
		1    restart
		2..3 watch /0.2
		4..5 status                -> raise 508 @5
		6    restart
		7..37 miss no-answer     -> raise 802 as warning @37`},
	{"communication lost over a restart, and nobody knows the time", `
		0    watch
		1..30 miss no-answer     -> raise 801 @30
		31   restart
		32..99 miss no-answer
		100  watch
		101  watch               -> clear 801 @100 ""; event 803 @100 ""`},
	{"communication lost over a restart", `
		0    trusted
		0    watch
		1..30 miss no-answer     -> raise 801 @30
		31   restart
		32..99 miss no-answer
		100  watch
		101  watch               -> clear 801 @100 ""; event 803 @100 "without communication for 1m40s"`},
	{"events carry the serial number once it is known", `
		0    watch U=244         -> raise 101
		1    identity serial=AS1234567890
		2    watch U=2
		3    watch               -> clear 101; event 102`},
}

func TestStories(t *testing.T) {
	for _, s := range allStories() {
		t.Run(s.name, func(t *testing.T) { play(t, Limits{}, s.text) })
	}
}

func TestLimitsAreTheOwners(t *testing.T) {
	play(t, Limits{LowBatteryRuntime: 10 * time.Minute, OverloadFor: 2 * time.Second, LostAfter: 5 * time.Second}, `
		0    status U=244    -> raise 101
		1    live runtime=600
		2    live            -> raise 201 "runtime 600 s, limit 600 s"
		3    live load=101
		5    live            -> raise 301
		6..10 miss no-answer -> raise 802 @10`)
}
