package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

func TestValuesForPeople(t *testing.T) {
	for _, row := range []struct {
		point   ups.Point
		raw     int64
		divisor uint16
		want    string
	}{
		{ups.Charge, 51200, 512, "100.000"},
		{ups.Charge, 51199, 512, "99.998"},
		{ups.BatteryTemperature, -64, 128, "-0.500"},
		{ups.Runtime, 2912, 1, "2912"},
		{ups.InputVoltage, ups.Absent, 64, "-"},
		{ups.StatusFlags, 0, 1, "0"},
		{ups.StatusFlags, 1<<2 | 1<<6 | 1<<11, 1, "StateOnBattery+InputBad+bit11"},
		{ups.StatusCause, 2, 1, "LowInputVoltage"},
		{ups.StatusCause, 99, 1, "99"},
		{ups.Efficiency, -4, 128, "OnBattery"},
		{ups.Efficiency, 12288, 128, "96.000"},
		{ups.ReplaceBy, 10318, 1, "2028-04-01"},
		{ups.MainTurnOff, 0, 1, "0"},
		{ups.Sensitivity, 2, 1, "Reduced"},
		{ups.Point(9999), 7, 2, "3.5"},
	} {
		if got := FormatValue(row.point, row.raw, row.divisor); got != row.want {
			t.Errorf("%v %d/%d is %q, want %q", row.point, row.raw, row.divisor, got, row.want)
		}
	}
}

func TestPrintsTheHeaderOfABlockThatCannotBeReadYet(t *testing.T) {
	_, msgs := traceMessages(t, NewEncoder(), 2)
	p, _ := new(Schemas).Decode(msgs[1])
	var b bytes.Buffer
	if err := p.Print(&b); err != nil || !strings.Contains(b.String(), "seq     2\n") || !strings.Contains(b.String(), "not trusted") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestRowsWithoutATrustedClockCarrySecondsSinceTheBoot(t *testing.T) {
	if got := rowTime(7_302_005, Stamp{}); got != "7302.005" {
		t.Errorf("got %q", got)
	}
	at := Stamp{Mono: 7302 * time.Second, Wall: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	if got := rowTime(7_301_995, at); got != "2026-02-28T23:59:59.995Z" {
		t.Errorf("got %q", got)
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errors.New("pipe closed")
	}
	return len(b), nil
}

func TestPrintTellsThatItsOutputIsGone(t *testing.T) {
	_, msgs := traceMessages(t, NewEncoder(), 1)
	p, err := new(Schemas).Decode(msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 300, 500, 5000} {
		if p.Print(&brokenWriter{room}) == nil {
			t.Errorf("no error after %d bytes", room)
		}
	}
}
