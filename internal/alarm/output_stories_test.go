package alarm

var outputStories = []story{
	{"302 follows the end of 301", `
		0    status P=1          -> raise 301
		1..20 live
		20..40 status P=0        -> clear 301 @30; event 302 @30`},
	{"303 a minute above 80 %, real or apparent; and a minute below 75 % to end", `
		0    live load=80
		1    live load=80.5
		60   live load=80
		61..119 live apparent=81
		120  live
		121  live                -> raise 303 "limit 80 %, load 80 %, apparent load 81 %"
		122  live apparent=60 load=74
		180  live load=75
		181..240 live load=74
		241  live                -> clear 303 "load 74 %, apparent load 60 %"`},
	{"303 needs two polls", `
		0    live load=90
		70   live load=50
		80   live load=90
		150  live                -> raise 303
		151  live load=50
		220  live load=90
		221  live load=50
		290  live                -> clear 303`},
	{"307 the output is off; 308 it is on again", `
		0    watch U=10 C=12
		0.2  watch               -> raise 307 "ProtocolCommand"
		0.4  watch U=2 C=11
		0.6  watch U=10
		0.8  watch U=2
		1    watch               -> clear 307 "LocalUICommand"; event 308 "LocalUICommand"
		1.2  watch U=10
		1.4  watch U=2`},
	{"READ-2 310 only on line; its end is the bit's", `
		0    live turnoff=60
		0.2  watch U=244         -> raise 101
		0.4..3 watch /0.2
		3.2  watch U=202
		3.4  watch               -> clear 101 "AcceptableInput"; event 102 "AcceptableInput"; raise 310 "in 60 s"
		3.6  watch U=244         -> raise 101
		3.8  watch U=2
		4    watch               -> clear 101; event 102; clear 310`},
	{"312 and 313: on bypass by command or by a fault, of which 314 is the end once", `
		0    identity sku=SRT1000XLA
		1    watch U=408 C=12
		1.2  watch               -> raise 312 "ProtocolCommand"
		2    watch U=2
		2.2  watch U=408
		2.4  watch U=2
		2.6  watch               -> clear 312 "ProtocolCommand"; event 314 "ProtocolCommand"
		3    watch U=8 C=15
		3.2  watch               -> raise 313 "PowerSystemError"
		4    watch U=2
		4.2  watch U=8
		4.4  watch U=2
		4.6  watch               -> clear 313; event 314
		5..6 watch U=408         -> raise 312 @6
		7..8 watch U=8           -> raise 313 @8
		9    watch U=2
		10   watch               -> clear 312; clear 313; event 314`},
	{"312 and 313 need two polls", `
		0    watch
		1    watch U=408
		2    watch U=2
		3    watch U=8
		4    watch U=2`},
	{"315 a bypass input that is not acceptable for ten seconds; one that is not there says nothing", `
		0    identity sku=SURTD5000RMXLT3U
		1..20 live BI=0
		21   live BI=4
		30.9 live BI=1
		31..40 live BI=4
		41   live                -> raise 315 ""
		42   live BI=1
		43   live BI=4
		44   live BI=1
		45   live                -> clear 315
		46   live BI=4
		60   live BI=1
		61   live BI=4
		71   live                -> raise 315`},
	{"315 of a unit that has no bypass input after all", `
		0    live BI=4
		10   live                -> raise 315
		11..20 live BI=0
		21   restart
		22   live
		23   live                -> clear 315 @22 inferred`},
	{"READ-10 313, 315 not in an SMT", `
		0    identity sku=SMT1500RM2UC
		1..60 live BI=4
		61..63 watch U=8`},
	{"READ-10 312 and 317 not in a SURTD, 423 not in an SRT", `
		0    identity sku=SURTD5000RMXLT3U
		1..3 watch U=8408
		4    identity sku=SRT1000XLA
		5..8 status U=4002`},
	{"318 by a cause and ended by another", `
		0    watch
		1    watch U=8 C=19
		2    watch               -> raise 313; raise 318
		3    watch U=2 C=8
		4    watch               -> clear 313; event 314
		5    watch U=2002 C=20
		6    watch               -> clear 318`},
	{"318 READ-8 ends with any other cause where the right one can have been missed", `
		0    watch U=2
		1    watch U=2002 C=19
		2    watch               -> raise 318
		3    restart
		4..5 watch
		6    restart
		7    watch C=8
		8    watch               -> clear 318 @7 inferred`},
	{"320 by its cause, twice", `
		0    status
		1    watch U=10 C=21
		2    watch               -> raise 307; raise 320
		3    status
		4    status              -> clear 320`},
	{"321 the load is gone at once, and nobody switched anything", `
		0    status
		1    live load=30 apparent=35
		2    live load=0.5 apparent=0.5
		4.9  live
		5    live                -> raise 321 "load 0.5 %, apparent load 0.5 %"
		6    live apparent=2
		7    live apparent=2.5
		8    live apparent=2
		9    live apparent=2.5
		10   live                -> clear 321`},
	{"321 not when it was small, fell slowly, was switched off or runs on battery", `
		0    status
		1    live load=9 apparent=10
		2..10 live load=0 apparent=0
		11   live load=11
		12..72 live load=5
		73..90 live load=0
		91   live load=50
		92   live load=0
		93   status O=2
		94..99 live
		100  status O=1
		101  live load=50        
		102  status U=244        -> raise 101
		103..110 live load=0`},
	{"321 needs two polls", `
		0    status
		1    live load=30 apparent=1
		2    live load=0 apparent=0
		3    live apparent=5
		4    live load=30
		5    live load=0 apparent=0
		20   live apparent=5
		21   live load=30
		22   live load=0 apparent=0
		25   live                -> raise 321`},
	{"422 a fault without detail; 206 is one", `
		0    status U=22
		1    status B=4
		2    status              -> raise 206
		3    status B=0
		4    status              -> clear 206; raise 422
		5    status G=1
		6    status              -> raise 401; clear 422`},
	{"423 an alert, unless something explains it", `
		0    identity sku=SMT1500RM2UC
		1    status U=4002 L=2
		2    status              -> raise 215
		3..9 status
		10   status U=2
		11   status U=4002
		12   status L=0
		13   live
		14   status
		15   live                -> clear 215
		16   status
		17   status              -> raise 423
		18   status G=100
		19   status              -> raise 407
		20   status              -> clear 423`},
}
