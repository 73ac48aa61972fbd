package ups

// A Status is the set of states shown to people and to Prometheus (design, section 10, ups_status).
type Status uint32

// The states. Stale, CriticalUnknown and LowBattery cannot be told from one reading: who keeps time and limits adds them.
const (
	Online Status = 1 << iota
	OnBattery
	Bypass
	OutputOff
	Overload
	LowBattery
	ReplaceBattery
	Testing
	Calibrating
	Fault
	Boost
	Trim
	HighEfficiency
	Stale
	CriticalUnknown
)

// StatusNames are the names of the states in the order of their bits.
var StatusNames = [...]string{
	"online", "on_battery", "bypass", "output_off", "overload", "low_battery", "replace_battery", "test", "calibration",
	"fault", "boost", "trim", "high_efficiency", "stale", "critical_unknown",
}

// Status derives the states from the latest values. An unread State has none.
func (s *State) Status() Status {
	var out Status
	set := func(on bool, st Status) {
		if on {
			out |= st
		}
	}
	u, in := s.Flags(StatusFlags), s.Flags(InputStatus)
	set(u&UOnline != 0, Online)
	set(u&UOnBattery != 0, OnBattery)
	set(u&UBypass != 0, Bypass)
	set(u&UOutputOff != 0, OutputOff)
	set(u&UOverload != 0 || s.Flags(PowerError)&POverload != 0, Overload)
	set(s.Flags(BatteryError)&BNeedsReplacement != 0, ReplaceBattery)
	set(u&UTest != 0, Testing)
	set(s.Flags(Calibration)&TInProgress != 0, Calibrating)
	set(u&UFault != 0, Fault)
	set(in&IBoost != 0, Boost)
	set(in&ITrim != 0, Trim)
	set(u&UHighEfficiency != 0, HighEfficiency)
	return out
}

// Names returns the names of the states in s, in the order of StatusNames.
func (s Status) Names() []string {
	var out []string
	for i, n := range StatusNames {
		if s&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}
