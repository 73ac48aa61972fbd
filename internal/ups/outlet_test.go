package ups

import "testing"

func TestEveryNamedBitOfAnOutletGroupIsAState(t *testing.T) {
	states := map[uint32]string{}
	for _, s := range OutletStates {
		if states[s.Bit] != "" || s.Name == "" {
			t.Errorf("state %q has the bit of %q", s.Name, states[s.Bit])
		}
		states[s.Bit] = s.Name
	}
	for _, n := range Names(MainOutlet) {
		if states[1<<n.Number] == "" {
			t.Errorf("bit %d, %s, is no state", n.Number, n.Name)
		}
		delete(states, 1<<n.Number)
	}
	if len(states) > 0 {
		t.Errorf("states of reserved bits: %v", states)
	}
}
