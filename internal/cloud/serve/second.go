package serve

import (
	"context"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/ingest"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// actionSecond stands in the log of the agent's organisation: whoever has the copy of the key was connected for a moment (T-01).
var actionSecond = eventlog.Declare("agent.second_session", eventlog.ByReaders, "agent")

const secondDetail = "a second connection came with its certificate while the first was alive"

// second is told by the front that two connections have one identity, at most once a minute for each agent. It returns at once.
func (s *Server) second(agent string) {
	s.log.Warn(secondDetail, "agent", agent, "event", ingest.SecondSession)
	select {
	case s.seconds <- agent:
	default: // the log has it
	}
}

// noteSeconds writes down what second was told: as a notice to the operator, and in the organisation's Event Log.
func (s *Server) noteSeconds(ctx context.Context) error {
	for {
		var agent string
		select {
		case <-ctx.Done():
			return nil
		case agent = <-s.seconds:
		}
		err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			if _, err := ingest.Tell(ctx, tx, time.Now(), agent, ingest.SecondSession, "", secondDetail); err != nil {
				return err
			}
			org, err := s.authority.OrgOf(ctx, tx, agent)
			if err != nil {
				return err
			}
			return eventlog.Append(ctx, tx, eventlog.Entry{
				Org: org, Actor: cloud.SystemRef, Role: policy.Nobody, Action: actionSecond, Params: map[string]string{"agent": agent}, Outcome: eventlog.Done,
			})
		})
		if err != nil && ctx.Err() == nil {
			s.log.Error("a second session was not written down", "agent", agent, "err", err)
		}
	}
}
