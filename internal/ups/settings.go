package ups

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Setting is one that ActionConfigure writes, with what may ever be written to it. What a unit takes of that is the unit's to say, and
// what is known of it stands in its driver.
type Setting struct {
	Point       Point
	Least, Most int64  // of a number, in the point's unit, and of a date, in days since 2000-01-01
	Source      string // of the limits, for people
	Harmless    bool   // nothing the unit does depends on it
}

// Bounds of settings. A text has 16 characters (protocol reference, section 5.3).
const (
	longestText = 16
	longestWait = 32767 // s; 32768 and above gave exception 4 on an SMT with UPS 04.1
	longestStay = 300   // s; above that a reboot is a sleep
	lastDay     = 36524 // 2099-12-31
)

// Settings are what the unit lets users set, as far as it may be ordered. The output frequency (593) is none of them and never will be: on
// some units writing it changes the frequency of the output. The output voltage (592, 644) can be read alone. Load shedding is left out: it
// turns outlets off by itself, one unit refuses all of it, and another had to be mended to take it (protocol reference, section 6.19).
var Settings = settings()

func settings() []Setting {
	out := []Setting{
		{Point: TestInterval, Source: "6.17; 4 and 8 gave exception 4 on SMT 04.1 and SRT 16.5"},
		{Point: UpperTransfer, Least: 100, Most: 300, Source: "9: no table of what units take is public"},
		{Point: LowerTransfer, Least: 60, Most: 240, Source: "9: no table of what units take is public"},
		{Point: Sensitivity, Source: "6.18"},
		{Point: BatteryInstalled, Most: lastDay, Source: "5.3; days since 2000-01-01", Harmless: true},
	}
	for _, p := range []Point{Name, MainName, SOG0Name, SOG1Name, SOG2Name} {
		out = append(out, Setting{Point: p, Source: "4 and 5.3", Harmless: true})
	}
	for _, off := range []Point{MainTurnOffDelay, SOG0TurnOffDelay, SOG1TurnOffDelay, SOG2TurnOffDelay} {
		out = append(out,
			Setting{Point: off, Most: longestWait, Source: "9"},
			Setting{Point: off + 1, Most: longestWait, Source: "9"}, // turn-on
			Setting{Point: off + 2, Least: 4, Most: longestStay, Source: "5.4: typically; above it a reboot is a sleep"},
			Setting{Point: off + 3, Most: longestWait, Source: "9; 0: no minimum"},
		)
	}
	return out
}

// SettingOf returns the row of a point.
func SettingOf(p Point) (Setting, bool) {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Point == p })
	if i < 0 {
		return Setting{}, false
	}
	return Settings[i], true
}

// A SettingValue is what a setting is or is to be.
type SettingValue struct {
	Raw  int64  `json:"raw"`
	Text string `json:"text,omitempty"` // of a point that is a Text, whose Raw is 0
}

// Parse reads the value of a setting as orders carry it. Each value has one form: a number is decimal digits, without a sign, a leading
// zero or an exponent; a choice the name of its bit; a date 2026-03-01; a text 1 to 16 printable characters of ASCII, with no space at
// either end, since units fill up with spaces. A text cannot be cleared: what a unit shows for none differs.
func (s Setting) Parse(value string) (SettingValue, error) {
	switch info := s.Point.Info(); info.Kind {
	case Text:
		return SettingValue{Text: value}, textual(value)
	case Choice:
		for _, n := range Names(s.Point) {
			if n.Name == value {
				return SettingValue{Raw: 1 << n.Number}, nil
			}
		}
		return SettingValue{}, fmt.Errorf("it is %s", s.Form())
	case Date:
		day, err := time.Parse(time.DateOnly, value)
		if err != nil {
			return SettingValue{}, fmt.Errorf("it is %s", s.Form())
		}
		raw := int64(day.Sub(dateEpoch) / (24 * time.Hour))
		return SettingValue{Raw: raw}, s.within(raw)
	}
	raw, err := strconv.ParseUint(value, 10, 31)
	if err != nil || strconv.FormatUint(raw, 10) != value {
		return SettingValue{}, fmt.Errorf("it is %s", s.Form())
	}
	return SettingValue{Raw: int64(raw)}, s.within(int64(raw))
}

func (s Setting) within(raw int64) error {
	switch {
	case raw >= s.Least && raw <= s.Most:
		return nil
	case s.Most == longestStay && raw > s.Most:
		return fmt.Errorf("it is %s; the unit would make a sleep of a reboot that is longer", s.Form())
	}
	return fmt.Errorf("it is %s", s.Form())
}

func textual(value string) error {
	switch {
	case value == "" || len(value) > longestText:
		return fmt.Errorf("it has 1 to %d characters", longestText)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("its characters are printable ASCII")
	case strings.TrimSpace(value) != value:
		return fmt.Errorf("it neither begins nor ends with a space")
	}
	return nil
}

// Form says what values a setting takes, for people.
func (s Setting) Form() string {
	switch info := s.Point.Info(); info.Kind {
	case Text:
		return fmt.Sprintf("1 to %d printable characters of ASCII, no space at either end", longestText)
	case Choice:
		var names []string
		for _, n := range Names(s.Point) {
			names = append(names, n.Name)
		}
		return "one of " + strings.Join(names, ", ")
	case Date:
		return fmt.Sprintf("a date from %s to %s", Day(s.Least).Format(time.DateOnly), Day(s.Most).Format(time.DateOnly))
	default:
		return fmt.Sprintf("a number of %d to %d, in %s", s.Least, s.Most, info.Unit)
	}
}

// Say writes a value for people, and as Parse reads it with the unit of a number behind it. What somebody called a thing is not said, only
// that it has a name: a result may be read by who may not know it.
func (s Setting) Say(v SettingValue) string {
	switch info := s.Point.Info(); info.Kind {
	case Text:
		if v.Text == "" {
			return "empty"
		}
		return fmt.Sprintf("a text of %d characters", len(v.Text))
	case Choice:
		for _, n := range Names(s.Point) {
			if v.Raw == 1<<n.Number {
				return n.Name
			}
		}
		return fmt.Sprintf("0x%04X", v.Raw)
	case Date:
		return Day(v.Raw).Format(time.DateOnly)
	case Flags:
		return fmt.Sprintf("0x%04X", v.Raw)
	default:
		return fmt.Sprintf("%d %s", v.Raw, info.Unit)
	}
}

// SayChange says what a setting was and is: "sog0_turn_on_delay was 0 s, is 30 s".
func (s Setting) SayChange(was, is SettingValue) string {
	return fmt.Sprintf("%s was %s, is %s", s.Point, s.Say(was), s.Say(is))
}

// changeSaid is what SayChange makes, at the beginning of a text.
var changeSaid = regexp.MustCompile(`^([a-z0-9_]+) was ([^,;]{1,60}), is ([^,;]{1,60})(?:;|$)`)

// ReadChange reads what SayChange said at the beginning of a text.
func ReadChange(text string) (setting, was, is string, ok bool) {
	m := changeSaid.FindStringSubmatch(text)
	if m == nil {
		return "", "", "", false
	}
	return m[1], m[2], m[3], true
}

func settingNames() (out []string) {
	for _, s := range Settings {
		out = append(out, s.Point.String())
	}
	return out
}

// ParseSetting reads the parameters of an ActionConfigure.
func ParseSetting(params map[string]string) (Setting, SettingValue, error) {
	p, _ := PointByName(params[ParamSetting])
	s, ok := SettingOf(p)
	if !ok {
		return Setting{}, SettingValue{}, fmt.Errorf("%.40q is no setting", params[ParamSetting])
	}
	v, err := s.Parse(params[ParamValue])
	return s, v, err
}
