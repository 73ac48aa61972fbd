package alarm

import (
	"fmt"

	"upsedge/internal/ups"
)

var testStories = []story{
	{"505 and 506 with their reasons; 511 and 512 with more", `
		0..1 status
		2    status T=310
		3    status              -> event 505 "source: internal, reason: state"
		4    status T=c60
		5    status              -> event 506 "source: command, reason: internal fault, reason: charge"
		6    status R=f090
		7    status              -> event 511 "source: panel, reason: load changed, reason: input, reason: load too low, reason: over-charge"
		8    status R=1060
		9    status              -> event 512 "source: command, reason: load changed"
		10   status R=48
		11   status              -> event 510 "source: command"
		12   status R=44
		13   status              -> event 509 "source: command"
		14   restart
		15..16 status`},
	{"READ-5 a refusal seen once is none", `
		0..1 status
		2    status T=310 R=310
		3    status T=0 R=0`},
	{"507 none passed for thirty days, at an interval of a week or two", `
		0    settings interval=10
		1..2 status
		2592001 status
		2592002 status
		2592003 status           -> raise 507 "none passed for 30 days"
		2592004 status T=42
		2592005 status           -> raise 502
		2592006 status T=44
		2592007 status           -> clear 502; event 503
		2592008 status
		2592009 status           -> clear 507 ""`},
	{"507 twice the interval where that is more; none is set, none is missed; what passed counts, over restarts", `
		0    settings interval=1
		1..2 status
		9000000..9000001 status
		9000002 settings interval=2
		9000003..9000004 status
		9000005 settings interval=20
		9000006 status
		9000007 status           -> raise 507 "none passed for 104 days"
		9000008 restart
		9000009 settings
		9000010..9000011 status
		9000012 settings interval=1
		9000013..9000014 status  -> clear 507 @9000014`},
}

// edgeStories are those of every group.
func edgeStories() (out []story) {
	for i, g := range ups.Groups {
		out = append(out, story{fmt.Sprintf("601 602 %s", g), fmt.Sprintf(`
			0    identity groups=1f
			1..2 status %[1]s=1
			3..4 status %[1]s=2   -> event 602 %[2]s @4
			5..6 status %[1]s=1   -> event 601 %[2]s @6`, groupWords[i], g)})
	}
	return out
}

var outletStories = []story{
	{"601 and 602 when a group turns on or off, each group for itself; not what it is at first", `
		0    identity groups=3 O=1 O0=2
		1..2 status
		3    status O0=1
		4    status O0=2
		5    status O0=1
		6    status              -> event 601 sog0 ""
		7    status O=2
		8    status              -> event 602 main ""
		9    status O=0
		10..11 status
		12   status O=2
		13..14 status
		15   status O=1 O0=2
		16   status              -> event 601 main; event 602 sog0
		17   restart
		17.5 identity
		18..19 status
		20..21 status O1=1
		22..23 status O1=2`},
	{"601 and 602 found after a restart are inferred", `
		0    identity groups=1
		1..2 status
		3    restart
		4    status O=2
		5    status              -> event 602 main inferred
		6..7 status O=1          -> event 601 main @7`},
	{"an event of a group carries its name", `
		0    identity groups=2 name0=Servers O0=1
		1..2 status
		3..4 status O0=2         -> event 602 sog0 @4`},
}

var identityStories = []story{
	{"714 another unit answers, until the registered one is back; its words are news for nobody", `
		0    identity serial=A1
		1    status T=44
		2    status
		3    status U=244        -> raise 101
		4    identity serial=B2  -> raise 714 ""
		4.5  unconfirmed
		5    status U=2 T=48
		6    status              -> clear 101 @4 inferred; event 102 @4 inferred
		7    confirmed
		8    restart
		9    identity
		10..11 status
		12   identity serial=A1  -> clear 714 ""
		13..14 status T=44`},
	{"714 a unit that is taken out and added again is registered anew", `
		0    identity serial=A1
		1    identity serial=B2  -> raise 714
		2    release
		3    identity            -> clear 714
		4    identity serial=A1  -> raise 714`},
	{"806 a map that is not known, twice; over with two good reads, whatever comes between", `
		0    miss unsupported
		1    miss no-answer
		2    miss unsupported    -> raise 806 "unsupported, 2 times"
		3    miss refused
		4    watch
		5    miss no-answer
		6    watch               -> clear 806 @4
		7    miss unsupported
		8    watch
		9    miss unsupported`},
}
