package smartups

import (
	"upsedge/internal/ups"
)

// personal are the texts that say whose unit it is: its serial number, and what somebody called it and its outlets.
var personal = map[ups.Point]bool{
	ups.Serial: true, ups.Name: true, ups.MainName: true, ups.SOG0Name: true, ups.SOG1Name: true, ups.SOG2Name: true,
}

// fourthName is where the pattern would place the name of SOG[3] (protocol reference, section 5.3).
var fourthName = span{636, 8}

// Personal returns address and count of every item that holds the serial number or a name somebody gave.
func Personal() [][2]uint16 {
	out := [][2]uint16{{fourthName.addr, fourthName.count}}
	for _, r := range registers {
		if personal[r.point] {
			out = append(out, [2]uint16{r.addr, r.words})
		}
	}
	return out
}
