package alarm

// Day 9556 is the first day of every story.
var batteryStories = []story{
	{"202 follows the end of 201, also by time", `
		0    status U=244        -> raise 101
		1    live runtime=60
		2    live                -> raise 201
		3    live runtime=200
		3.1..3.2 status /0.1
		4    live                -> clear 201 "runtime 200 s"; event 202 "runtime 200 s"`},
	{"203 on line with the runtime at the limit, in two reads; not on battery, and sixty seconds above it to end", `
		0    status
		1    live runtime=120
		2    live runtime=121
		3    live runtime=120
		4    live                -> raise 203 "runtime 120 s, limit 120 s"
		5    live runtime=180
		6    live
		7    live runtime=181
		8    live runtime=180
		9    live runtime=181
		10   live                -> clear 203 "runtime 181 s"
		11   status U=110
		12   status              -> raise 307; raise 309
		13..15 live runtime=60`},
	{"201 is on battery and 203 on line, of the same runtime", `
		0    status U=244        -> raise 101
		1..2 live runtime=60     -> raise 201 @2
		3..4 status U=2          -> clear 101 @4; event 102 @4; clear 201 @4; event 202 @4
		5    live
		6    live                -> raise 203`},
	{"201 of a unit whose first word of the runtime is 0", `
		0    status U=244        -> raise 101
		1    live runtime=0
		2    live                -> raise 201 "runtime 0 s, limit 120 s"`},
	{"208 five minutes above the limit, and three degrees below it to end", `
		0    live temperature=40
		1    live temperature=40.5
		299  live
		300  live temperature=40
		301..600 live temperature=40.5
		601  live                -> raise 208 "battery temperature 40.5 °C"
		602  live temperature=37.5
		603  live
		604  live temperature=37
		605  live temperature=38
		606  live temperature=37
		607  status
		608  status
		609  live                -> clear 208 "battery temperature 37 °C"`},
	{"208 lasts while either says so", `
		0    status B=80
		1    status              -> raise 208
		2    live temperature=41
		3    status B=0
		4..6 status
		7    live
		8..9 live temperature=36 -> clear 208 @9`},
	{"208 needs two polls of a temperature", `
		0    live temperature=41
		400  live                -> raise 208
		401..402 status
		403..404 live temperature=30 -> clear 208 @404
		405  live temperature=50
		900  live temperature=30`},
	{"214 is silent without a clock to trust, comes 180 days before the date, and ends when that is moved", `
		0    live replace=9736
		1..100 live
		100  trusted
		161  live
		162  live                -> raise 214 "replace by 2026-08-28"
		163  live replace=9737
		164  live replace=9736
		165  live replace=9737
		166  live                -> clear 214 "replace by 2026-08-29"`},
	{"214 comes with the day", `
		0    trusted
		0    live replace=9737
		43140 live
		43260 live
		43261 live               -> raise 214`},
	{"214 gives way to 215 and does not stand beside 216", `
		0    trusted
		0    live replace=9700
		1    live                -> raise 214
		2    live replace=9646
		3    live                -> raise 215 "replace by 2026-05-30"; clear 214 "replace by 2026-05-30"
		4    live replace=9647
		5    status
		6    status L=1
		7    live                -> clear 215
		7.5  live                -> raise 214
		8    status L=4
		9    status              -> raise 216
		10   live replace=9800
		11   live                -> clear 214
		12   live replace=9700
		13..14 live`},
	{"215 by the date, ninety days before", `
		0    trusted
		0..1 status
		1    live replace=9647
		2    live                -> raise 214
		3    live replace=9646
		4    live replace=9647
		5    live replace=9646
		6    live                -> raise 215; clear 214
		7    live replace=9800
		8    live replace=9646
		9    live replace=9800
		10   live
		11..12 status            -> clear 215 @12`},
	{"215 by the unit ends by the unit's word and the date", `
		0    trusted
		0    status L=2
		1    status              -> raise 215
		2..3 live replace=9600
		4..5 status L=1
		6    live replace=9800
		7    live                -> clear 215`},
	{"215 and 216: what was raised before a restart the date keeps for an hour, where there is no clock to trust any more", `
		0    trusted
		0    live replace=9556
		1    live                -> raise 215
		2    untrusted
		3    restart
		4..5 status L=1
		6..3603 live
		3604 live
		3605 live                -> clear 215 @4 inferred`},
	{"214 and 216 likewise", `
		0    trusted
		0    live replace=9555
		1    live                -> raise 215; raise 216
		2    untrusted
		3    restart
		4..5 status L=1
		6..30 live
		31   trusted
		66   live
		67   live replace=9700
		68   live                -> clear 215; clear 216
		69   live                -> raise 214; event 219
		70   untrusted
		71   restart
		72..99 live
		3671..3672 live
		3673 live                -> clear 214 @72 inferred`},
	{"216 by the date, the day after it; and with a date in the future it ends", `
		0    trusted
		0..1 status
		1    live replace=9556
		2    live                -> raise 215
		3    live
		86400 live
		86401 live               -> raise 216 "replace by 2026-03-01"
		86402 live replace=9557
		86403 live replace=9558
		86404 live replace=9557
		86405 live replace=9558
		86406..86407 status
		86408 live               -> clear 216 "replace by 2026-03-03"`},
	{"218 the unit says that somebody has seen it: when it begins to", `
		0..1 status L=2          -> raise 215 @1
		2    status L=a
		3    status              -> event 218 ""
		4..5 status
		6    status L=2
		7    status L=a          # one poll without
		8    status
		9..10 status L=1a        -> event 218 @10
		11   restart
		12..13 status
		14..15 status L=5a       -> event 218 @15`},
	{"219 the date of installation is another one", `
		0    identity
		3600 identity installed=9556
		7200 identity installed=9000
		10800 identity installed=9556
		14400 identity           -> event 711 "battery_installed was 2024-08-22, is 2026-03-01"; event 219 ""
		18000 identity
		18001 restart
		18002..18003 identity`},
	{"219 a worn battery is none any more, and its date was moved forward; both ways count once", `
		0    identity
		0    live
		1..2 status B=4          -> raise 206 @2
		3    live replace=12000
		4..5 status B=0          -> clear 206 @5
		6    live replace=11000
		7    restart
		8    live replace=13000  -> event 219
		9    live replace=14000
		10   identity installed=9556
		11   identity            -> event 711`},
	{"219 by the end of 216", `
		0    live
		1..2 status L=4          -> raise 216 @2
		3    live
		4..5 status L=1
		6    live replace=13000  -> clear 216
		7    live                -> event 219`},
	{"220 on line, below full and rising; 221 when it is full", `
		0    status
		1    live charge=100
		2    live charge=99
		3    live charge=99.4
		4    live
		5    live charge=99.5
		6    live charge=99.4
		7    live charge=99.5
		8    live                -> raise 220 "charge 99.5 %"
		9    live charge=100
		10   live charge=99.9
		11   live charge=100
		12   live                -> clear 220 "charge 100 %"; event 221 "charge 100 %"
		13..20 live charge=99.6`},
	{"220 ends on battery without 221; what falls is not charged", `
		0    status
		1    live charge=50
		2    live charge=51
		3    live                -> raise 220
		4    status U=244        -> raise 101
		5    live charge=50
		6    live                -> clear 220 "charge 50 %"
		7    live charge=52
		8..9 status U=2          -> clear 101 @9; event 102 @9
		10   live charge=51
		11   live charge=50
		12   live`},
	{"220 is charging on line, not with the output off", `
		0    status U=10
		1    status              -> raise 307
		2    live charge=50
		3..9 live charge=60`},
	{"222 a day on line below 90 % that does not rise; over when it has risen by 5 %", `
		0    status
		1    live charge=80
		2    live charge=81
		3    live charge=82.5    -> raise 220
		43200 live charge=79
		86402 live
		86403 live
		86404 live               -> raise 222 "charge 79 %"
		86405 restart
		86406 live charge=83.9
		86407 live charge=84
		86408 live charge=83.9
		86409 live charge=84
		86410 live               -> clear 222 "charge 84 %"`},
	{"222 not at 90 %, nor when it rises, nor with an outage in the day", `
		0    status
		1    live charge=90
		90000..90001 live
		90002 live charge=89
		100000 live charge=90.5
		100001 live              -> raise 220
		100002 live charge=80
		150000 live charge=81.5
		200000 live charge=81
		200001 status U=244      -> raise 101
		200002 live              
		200003 live              -> clear 220
		200004..200005 status U=2 -> clear 101 @200005; event 102 @200005
		200006 live
		240000 live
		286000 live`},
	{"222 counts over a restart", `
		0    status
		1    live charge=50
		80000 restart
		80001 status
		80002 live
		166399 live
		166401 live
		166402 live              -> raise 222`},
	{"223 runtime below half of the reference that was taken after a calibration, at the same load and with a full battery", `
		0..1 status
		2    live charge=100 runtime=2000 load=40
		3    status R=42
		4    status              -> raise 508
		5..6 status R=44         -> clear 508 @6; event 509 @6
		7    live charge=50
		8    live charge=100
		9    live
		10   restart
		11   status
		11.1..11.9 live load=43 runtime=500 /0.2
		12   live load=40 runtime=1000
		13   live runtime=999
		14   live runtime=1000
		15   live runtime=999 load=41.9
		16   live                -> raise 223 "runtime 999 s, reference 2000 s at load 40 %"
		17..19 live load=43 runtime=1500
		20..22 live load=40 charge=99
		23   live charge=100 runtime=1200
		24   live runtime=1201
		25   live runtime=1200
		26   live runtime=1201
		27   live                -> clear 223 "runtime 1201 s, reference 2000 s at load 40 %"`},
	{"223 the reference is taken twice in a row of a full battery, on line and under load, after a replacement, too", `
		0..1 status
		1    identity
		2    live charge=100 runtime=9000 load=0.5
		3..4 identity installed=9500 -> event 711 @4; event 219 @4
		5..9 live
		10   live load=40 runtime=0
		11   live runtime=2000
		12   live charge=90
		13   live charge=100
		14   live charge=90
		15   status U=110
		16   status              -> raise 307; raise 309
		17..18 live charge=100
		19..20 status U=2        -> clear 307 @20; event 308 @20; clear 309 @20
		21   live runtime=1000
		22   live runtime=3000
		23..24 live runtime=1499 -> raise 223 @24`},
	{"225 a deep dip in a test that passes, and the next test is normal", `
		0..1 status
		2    live voltage=27.5
		3    status U=84 T=42    -> raise 103
		4    live voltage=21.9
		5    live
		6    status              -> raise 502
		7    status U=2 T=44
		8    status              -> clear 103; clear 502; event 503
		9    live voltage=27.5
		10   live                -> raise 225 "battery voltage from 27.5 V to 21.91 V, limit 22 V"
		11   status U=84 T=42    -> raise 103
		12   live voltage=22.1
		13   live
		14   status              -> raise 502
		15   status U=2 T=44
		16   status              -> clear 103; clear 502; event 503
		17   live
		18   live                -> clear 225`},
	{"225 one low voltage, a test that failed, a calibration, and a test that was not measured say nothing", `
		0..1 status
		2    live voltage=27.5
		3    status U=84 T=42    -> raise 103
		4    live voltage=21
		5    live voltage=24
		6    status              -> raise 502
		7    status U=2 T=44
		8    status              -> clear 103; clear 502; event 503
		9..12 live`},
}
