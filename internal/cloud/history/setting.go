package history

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
)

// logChanged is a setting that somebody changed at the unit (LOG-4). Its parameter is what the agent read before and now.
var logChanged = eventlog.Declare("setting.changed", eventlog.ByReaders, "what")

// settingChanged is the event by which an agent says so (event catalogue, 711).
const settingChanged = 711

func logSetting(ctx context.Context, tx *store.Tx, device string, at, arrived time.Time, what string) error {
	return eventlog.Append(ctx, tx, eventlog.Entry{
		Device: device, At: at, Arrived: arrived, Actor: cloud.LocalRef, Action: logChanged, Params: map[string]string{"what": what},
		Outcome: eventlog.Done, Decided: eventlog.ByAgent,
	})
}
