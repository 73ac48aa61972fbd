package ups

// An OutletState is one state of an outlet group as it is shown to people and to Prometheus (ups_outlet_group_state). Several
// can hold at once: a group that is on can wait for its off-delay.
type OutletState struct {
	Name string
	Bit  uint32 // in the group's Outlet point
}

// OutletStates are all of them, from the bits of OutletStatus_BF that have a meaning (protocol reference, section 6.3).
var OutletStates = [...]OutletState{
	{"on", OStateOn},
	{"off", OStateOff},
	{"rebooting", 1 << 2},
	{"shutting_down", 1 << 3},
	{"sleeping", 1 << 4},
	{"pending_load_shed", 1 << 7},
	{"pending_on_delay", 1 << 8},
	{"pending_off_delay", 1 << 9},
	{"pending_on_ac_presence", 1 << 10},
	{"pending_on_min_runtime", 1 << 11},
	{"group_process_1", 1 << 12},
	{"group_process_2", 1 << 13},
	{"low_runtime", OLowRuntime},
}
