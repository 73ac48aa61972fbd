package alarm

import (
	"fmt"
	"strings"
)

// floodStories: the panel test (513) goes on and off, every line of a story four seconds.
func floodStories() []story {
	cycle := func(b *strings.Builder, n, from int, raise, clear string) (at int) {
		for i := range n {
			at = from + 4*i
			fmt.Fprintf(b, "%d status K=1\n%d status -> %s\n%d status K=0\n%d status -> %s\n", at, at+1, raise, at+2, at+3, clear)
		}
		return at + 4
	}
	var b strings.Builder
	at := cycle(&b, 10, 0, "raise 513", "clear 513")
	cycle(&b, 1, at, `raise 834 "513 came more than 10 times in 10m0s"`, "")
	cycle(&b, 100, at+4, "", "")
	fmt.Fprintf(&b, "470 status\n641 status -> event 834 \"513 came 101 times in 10m0s\"\n")
	b.WriteString("1300 status K=2\n1301 status -> raise 514\n") // another id is none of this
	b.WriteString("1400..1401 status K=3\n")
	b.WriteString("1402 restart\n1403..1404 status K=2\n")                          // gone before a minute was over: nobody was told
	b.WriteString("1500..1501 status K=3\n1560 status\n1561 status -> raise 513\n") // it stays
	b.WriteString("2003 status -> event 834 \"513 came 2 times in 10m0s\"\n")
	b.WriteString("3000..3001 status K=2 -> clear 513 @3001\n")
	b.WriteString("5100 status\n5101 status -> clear 834\n")
	b.WriteString("5102..5103 status K=3 -> raise 513 @5103\n")

	var c strings.Builder
	for i := range 15 {
		at := 4 * i
		fmt.Fprintf(&c, "%d status G=2\n%d status -> raise 402\n%d status G=0\n%d status -> clear 402\n", at, at+1, at+2, at+3)
	}
	var d strings.Builder
	cycle(&d, 10, 0, "raise 513", "clear 513")
	cycle(&d, 10, 640, "raise 513", "clear 513")
	return []story{
		{"TIMING-4 834 what comes more than ten times in ten minutes is counted, until it has been quiet for an hour", b.String()},
		{"TIMING-4 a critical id is never held back", c.String()},
		{"TIMING-4 834 not for ten times in each ten minutes", d.String()},
	}
}
