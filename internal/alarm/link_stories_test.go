package alarm

var linkStories = []story{
	{"801 after three failed polls and thirty seconds, 803 after two good ones", `
		0    status
		10   miss no-answer
		29   miss garbled
		30   miss no-answer      -> raise 801 "no-answer, no good reading for 30s"
		31..300 miss unreachable
		301  live
		302  miss no-answer
		303  live
		304  live                -> clear 801 @303 ""; event 803 @303 "without communication for 5m3s"`},
	{"801 comes thirty seconds after the last good poll, however seldom a lost unit is asked", `
		0    status
		1    miss no-answer
		2    miss no-answer
		29   elapsed
		31   elapsed
		31   miss no-answer      -> raise 801 "no-answer, no good reading for 31s"
		32   elapsed
		100  status
		101  live                -> clear 801 @100; event 803 @100
		102..104 miss no-answer
		130  elapsed
		131  elapsed             -> raise 801 "no-answer, no good reading for 30s"`},
	{"802 comes by time alone, too", `
		0    status U=244        -> raise 101
		1..3 miss no-answer
		29.9 elapsed
		30   elapsed             -> raise 802 "no-answer, no good reading for 30s"
		31   elapsed`},
	{"801 not by two polls however long, nor by ten in ten seconds", `
		0    status
		40   miss no-answer
		80   miss no-answer
		81   watch
		82..92 miss no-answer
		93   watch`},
	{"801 for a unit that was never reached", `
		0..29 miss unreachable
		30   miss unreachable    -> raise 801 "unreachable, never reached in 30s"
		31   unconfirmed`},
	{"802 in a calibration is a warning, in a self-test it is 801", `
		0    status U=4 R=42     -> raise 103
		1..30 miss no-answer     -> raise 802 as warning @30
		31   status
		32   status              -> clear 802 as warning @31; event 803 @31; raise 508
		33   status U=2 R=44
		34   status              -> clear 103; clear 508; event 509
		35   status U=84         -> raise 103
		36..65 miss no-answer    -> raise 801 @65`},
	{"802 is decided when it is raised", `
		0    status
		1..30 miss no-answer     -> raise 801 @30
		31   watch U=244         -> raise 101
		32   miss no-answer
		33..90 miss no-answer
		91   watch
		92   watch               -> clear 801 @91; event 803 @91`},
	{"804 by five refusals over two minutes, besides 801; ended by two answers", `
		0..119 miss refused /10  -> raise 801 @30
		120  miss refused        -> raise 804 "refused, 13 times"
		130  miss exception
		131  watch               -> clear 804 @130 ""
		132  watch               -> clear 801 @131; event 803 @131`},
	{"804 not by five in a second", `
		0    watch
		1..2 miss refused /0.1
		3    watch
		30..32 miss refused /0.5 `},
	{"805 by three implausible answers, ended by two good ones", `
		0    watch
		1..2 miss implausible
		3    watch
		4..6 miss implausible    -> raise 805 @6
		7    watch
		8    miss no-answer
		9    watch
		10   watch               -> clear 805 @9`},
	{"another unit's answers are no unusable ones", `
		0    watch
		1..9 miss another-unit
		10   watch
		11..50 miss another-unit -> raise 801 @40`},
	{"an exception to one block among good reads is nothing, and spoils no recovery", `
		0    watch
		1    miss exception
		2    watch
		3    miss exception
		4..40 miss no-answer     -> raise 801 @33
		41   watch
		42   miss exception
		43   watch               -> clear 801 @41; event 803 @41`},
	{"exceptions alone are an unusable answer and not a lost unit", `
		0    watch
		1..90 miss exception     -> raise 805 @3
		91   watch
		92   miss exception
		93   watch               -> clear 805 @91`},
}
