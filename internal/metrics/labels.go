package metrics

import (
	"strconv"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Results are the values of the label result of upsagent_modbus_requests_total: what became of a request.
var Results = [...]string{
	"ok",
	"timeout",   // nothing came back
	"frame",     // what came back is not the answer
	"exception", // the unit refused
	"link",      // the port or connection failed
}

// reasons are the values of the label reason of upsagent_spool_dropped_total: why a record was given up. Of the reasons of a
// gap record those that have numbers of a lane to count, and that this version has.
var reasons = [...]wire.GapReason{wire.GapDamage, wire.GapErasure, wire.GapQuota, wire.GapStorage}

// unknownCause is the cause of a transfer whose number the protocol reference does not know.
const unknownCause = "unknown"

// Cause returns the value of the label cause for the raw StatusCause of a unit.
func Cause(raw int64) string {
	if raw < 0 || raw >= int64(len(causes)) {
		return unknownCause
	}
	return causes[raw]
}

// causes are the values of the label cause of ups_transfers_total, by the number of the cause (protocol reference,
// section 6.2), which has no holes.
var causes = func() []string {
	var out []string
	for _, n := range ups.Names(ups.StatusCause) {
		out = append(out, n.Name)
	}
	return append(out, unknownCause)
}()

// testResults are the values of the label result of ups_self_test_result (protocol reference, section 6.8).
var testResults = [...]struct {
	bit  uint32
	name string
}{
	{ups.TPending, "pending"},
	{ups.TInProgress, "in_progress"},
	{ups.TPassed, "passed"},
	{ups.TFailed, "failed"},
	{ups.TRefused, "refused"},
	{ups.TAborted, "aborted"},
}

func alarmLabel(id ups.AlarmID) string { return strconv.Itoa(int(id)) }
