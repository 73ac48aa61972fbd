package agent

import (
	"fmt"
	"slices"

	"upsedge/internal/ups"
)

// lasts refuses what this box would not come back from: an order to turn off, until somebody turns it on, the outlet group that it hangs on
// (orders.fed_by), or the main group, behind which the others hang (protocol reference, section 7.3). Reboots and to=shutdown bring it back.
func (s *site) lasts(unit string, c ups.Command) error {
	if c.Action != ups.ActionOutlet || c.Params[ups.ParamTo] != ups.ToOff || !s.hangs(unit, c) {
		return nil
	}
	return &ups.Refusal{
		Reason: ups.ReasonSafetyLock,
		Detail: fmt.Sprintf("this box hangs on group %s of the unit (orders.fed_by), and nobody could turn it on again from afar; to=shutdown and a reboot come back", s.fedBy.Load().Group),
	}
}

// hangs tells whether this box hangs on an outlet that a command turns off, as far as the site has said.
func (s *site) hangs(unit string, c ups.Command) bool {
	by := s.fedBy.Load()
	if by == nil || by.Group == ups.NoGroup || by.Unit != unit {
		return false
	}
	if c.Action == ups.ActionReboot {
		return true
	}
	groups, err := ups.ParseGroups(c.Params[ups.ParamGroup])
	return err == nil && (slices.Contains(groups, by.Group) || slices.Contains(groups, ups.MainGroup))
}
