package smartups

import (
	"context"
	"fmt"
	"time"

	"upsedge/internal/ups"
)

// settingDeed is configure.device: one setting is written, and read back.
type settingDeed struct{}

// A settingNote is what evidence keeps of a setting.
type settingNote struct {
	Point ups.Point        `json:"point"`
	Old   ups.SettingValue `json:"old"`
	New   ups.SettingValue `json:"new"`
	Words []uint16         `json:"words"` // the whole item, as it is written
}

func (settingDeed) plan(ctx context.Context, c *Control, e *eye, params map[string]string, ev *evidence) error {
	if err := e.family(); err != nil {
		return err
	}
	s, v, err := ups.ParseSetting(params)
	if err != nil {
		return unsupported("%v", err)
	}
	r := registerOf(s.Point)
	if err := e.has(r); err != nil {
		return err
	}
	was, err := e.setting(ctx, r)
	if err != nil {
		return err
	}
	if err := e.fits(ctx, s, v); err != nil {
		return err
	}
	n := &settingNote{Point: s.Point, Old: was, New: v}
	if n.Words, err = r.settingWords(v); err != nil {
		return unsupported("%v", err)
	}
	if ev.Addr, ev.Setting = r.addr, n; was == v {
		ev.Already = fmt.Sprintf("%s is %s", s.Point, s.Say(v))
	}
	return nil
}

// registerOf returns the item that holds a point.
func registerOf(p ups.Point) *register {
	for i := range registers {
		if registers[i].point == p {
			return &registers[i]
		}
	}
	return nil
}

// has returns why a unit has no such item: by the columns of part 990-9840B and by 590, nil where they say that it has.
func (e *eye) has(r *register) error {
	p := e.about.profile
	if r.fam != 0 && r.fam&p.family == 0 {
		return unsupported("units of its family have no %s (990-9840B)", r.point)
	}
	if g := r.point.Info().Group; g != ups.NoGroup && p.groups&(1<<(g-ups.MainGroup)) == 0 {
		return unsupported("it has no outlet group %s (590 = 0x%04X)", g, p.groups)
	}
	return nil
}

// item are the reads of one item.
func (e *eye) item(r *register) []*read {
	pl := newPlanner(e.d.timing(), e.about.profile)
	pl.holes = false
	return pl.reads(r.tier, []*register{r})
}

// setting reads what a setting is now.
func (e *eye) setting(ctx context.Context, r *register) (ups.SettingValue, error) {
	s, err := e.look(ctx, e.item(r))
	if exception(err) != 0 {
		return ups.SettingValue{}, unsupported("its %s cannot be read (exception %d)", r.point, exception(err))
	}
	if err != nil {
		return ups.SettingValue{}, unreachable(err)
	}
	v, ok := valueOf(s, r.point)
	if !ok {
		return v, unsupported("it shows no value for %s", r.point)
	}
	return v, nil
}

// valueOf returns what a setting was read as, and whether there is a value. A text has always one: a name nobody gave and one the unit
// cannot keep look alike, and the unit refuses to have the second written.
func valueOf(s *ups.State, p ups.Point) (ups.SettingValue, bool) {
	if p.Info().Kind == ups.Text {
		return ups.SettingValue{Text: s.Text(p)}, true
	}
	raw, ok := s.Raw(p)
	if !ok {
		return ups.SettingValue{}, false
	}
	return ups.SettingValue{Raw: raw}, true
}

// settingWords are the registers that hold a value.
func (r *register) settingWords(v ups.SettingValue) ([]uint16, error) {
	if r.numeric() {
		return r.encode(v.Raw)
	}
	return r.encodeText(v.Text)
}

// Transfer points, by the nominal output voltage. Which values a model takes is not public; what was seen lies 6 to 17 % above it and 8 to
// 17 % below it (protocol reference, section 9). Within wider bounds the unit decides, with exception 4; beyond them a typing error would
// put the load on mains it cannot bear, or on the battery for ever.
const (
	upperLeast, upperMost = 103, 120 // %
	lowerLeast, lowerMost = 65, 97
)

// nominal is the voltage of a bit of Output.VoltageACSetting_BF (section 6.15), in V.
var nominal = map[uint32]int64{
	1 << 0: 100, 1 << 1: 120, 1 << 2: 200, 1 << 3: 208, 1 << 4: 220, 1 << 5: 230, 1 << 6: 240, 1 << 11: 110,
	1 << 13: 120, 1 << 14: 120, 1 << 15: 120, 1 << 16: 100, 1 << 18: 115, 1 << 19: 125,
}

// fits returns why a value is none for this unit, as far as its other settings tell.
func (e *eye) fits(ctx context.Context, s ups.Setting, v ups.SettingValue) error {
	if s.Point != ups.UpperTransfer && s.Point != ups.LowerTransfer {
		return nil
	}
	volts, err := e.volts(ctx)
	if err != nil {
		return err
	}
	least, most, other := upperLeast*volts, upperMost*volts, ups.LowerTransfer
	if s.Point == ups.LowerTransfer {
		least, most, other = lowerLeast*volts, lowerMost*volts, ups.UpperTransfer
	}
	if v.Raw*100 < least || v.Raw*100 > most {
		return unsupported("%s of %d V is not plausible at %d V nominal: %d to %d V", s.Point, v.Raw, volts, (least+99)/100, most/100)
	}
	o, err := e.setting(ctx, registerOf(other))
	if err != nil {
		return err
	}
	if upper, lower := max(v.Raw, o.Raw), min(v.Raw, o.Raw); upper == lower || (upper == v.Raw) != (s.Point == ups.UpperTransfer) {
		return unsupported("%s of %d V: the other transfer point is %d V", s.Point, v.Raw, o.Raw)
	}
	return nil
}

// volts is the nominal output voltage. 644 has every value and is there on newer firmware alone.
func (e *eye) volts(ctx context.Context) (int64, error) {
	for _, p := range []ups.Point{ups.OutputVoltageSettingWide, ups.OutputVoltageSetting} {
		s, err := e.look(ctx, e.item(registerOf(p)))
		if err != nil && exception(err) == 0 {
			return 0, unreachable(err)
		}
		if err == nil && nominal[s.Flags(p)] != 0 {
			return nominal[s.Flags(p)], nil
		}
	}
	return 0, unsupported("its nominal output voltage is not known, and transfer points are judged by it")
}

// may: what the unit does by a setting is not changed while it is doing it, nor while anything else is amiss; a date and a name can be.
func (settingDeed) may(ev *evidence, s *ups.State, p profile) error {
	if row, _ := ups.SettingOf(ev.Setting.Point); row.Harmless || ev.Already != "" {
		return nil
	}
	return locked(s, p)
}

func (settingDeed) looks(e *eye, ev *evidence) []*read {
	return append(e.status(), e.item(registerOf(ev.Setting.Point))...)
}

func (settingDeed) follow(*evidence) step          { return &configuring{} }
func (settingDeed) shown(ev *evidence) []ups.Point { return []ups.Point{ev.Setting.Point} }

func (settingDeed) back(*evidence, *ups.State) (order, error) {
	return order{}, unsupported("a setting that was written is not taken back; order the value it had")
}

// Configuring reads a setting back. A setting shows in the item itself, so its end is known wherever the item can be read.
type configuring struct{}

func (c *configuring) see(f *following, s *ups.State, after time.Duration) *ups.Outcome {
	n := f.ev.Setting
	row, _ := ups.SettingOf(n.Point)
	is, ok := valueOf(s, n.Point)
	f.tell(50, fmt.Sprintf("written; %s is read back", n.Point))
	var out ups.Outcome
	switch {
	case ok && is == n.New:
		out = f.end(ups.Done, "", row.SayChange(n.Old, n.New))
	case after < begins:
		return nil
	case !ok:
		out = f.end(ups.Unknown, "", fmt.Sprintf("%s was %s and shows no value any more", n.Point, row.Say(n.Old)))
	case is != n.Old && f.judging:
		out = f.end(ups.Unknown, "", fmt.Sprintf("%s was %s, was to be %s and is %s: somebody else has written it, or the unit made that of it",
			n.Point, row.Say(n.Old), row.Say(n.New), row.Say(is)))
	case f.judging:
		out = f.end(ups.Failed, "", fmt.Sprintf("%s is %s as before: nothing was written, or the unit did not accept it", n.Point, row.Say(is)))
	case !f.answered:
		out = f.end(ups.Failed, "", fmt.Sprintf("no answer came, and %s is %s: it was not set, and is not written again", n.Point, row.Say(is)))
	default:
		out = f.end(ups.Failed, ups.ReasonUPSRefused, fmt.Sprintf("not accepted: the unit said yes, and %s was %s, is %s", n.Point, row.Say(n.Old), row.Say(is)))
	}
	return &out
}

func (c *configuring) limit(*following) time.Duration { return begins + slack }

func (c *configuring) over(f *following) ups.Outcome {
	return f.end(ups.Unknown, "", "it could not be read back")
}

// TierOf returns with which tier a point is read.
func TierOf(p ups.Point) ups.Tier {
	if r := registerOf(p); r != nil {
		return r.tier
	}
	return ups.TierIdentity
}
