package job

import (
	"context"
	"strconv"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
)

// Of a job its organisation's log has beginning, stop and end; each device's log has the order, with the job's id beside it.
var (
	logBegin  = eventlog.Declare("job.begin", eventlog.ByReaders, "job", "action", "devices", "refused")
	logCancel = eventlog.Declare("job.cancel", eventlog.ByReaders, "job", "action", "why")
	logAbort  = eventlog.Declare("job.abort", eventlog.ByReaders, "job", "action", "why")
	logEnded  = eventlog.Declare("job.end", eventlog.ByReaders, "job", "action", "done", "refused", "failed", "cancelled", "expired", "unknown")
)

func (j *Job) entry(actor cloud.Actor, action, outcome string, at time.Time, params map[string]string) eventlog.Entry {
	params["job"], params["action"] = j.ID, string(j.Action)
	return eventlog.Entry{Org: j.Actor.Org, At: at, Actor: actor.Ref, Action: action, Params: params, Outcome: outcome, Request: actor.Request}
}

func logStart(ctx context.Context, tx *store.Tx, j *Job, refused int) error {
	return eventlog.Append(ctx, tx, j.entry(j.Actor, logBegin, eventlog.Accepted, j.RequestedAt, map[string]string{
		"devices": strconv.Itoa(j.Devices), "refused": strconv.Itoa(refused),
	}))
}

func logStop(ctx context.Context, tx *store.Tx, j *Job, by cloud.Actor, at time.Time) error {
	action := logCancel
	if j.State == Aborted {
		action = logAbort
	}
	return eventlog.Append(ctx, tx, j.entry(by, action, eventlog.Done, at, map[string]string{"why": j.Detail}))
}

// logEnd says how many devices came to which end.
func logEnd(ctx context.Context, tx *store.Tx, s *stand, at time.Time) error {
	params := map[string]string{}
	for _, state := range []string{eventlog.Done, eventlog.Refused, eventlog.Failed, eventlog.Cancelled, eventlog.Expired, eventlog.Unknown} {
		params[state] = strconv.Itoa(s.ended[state])
	}
	outcome := map[string]string{Completed: eventlog.Done, Cancelled: eventlog.Cancelled, Aborted: eventlog.Failed}[s.job.State]
	return eventlog.Append(ctx, tx, s.job.entry(cloud.System(s.job.Actor.Request), logEnded, outcome, at, params))
}
