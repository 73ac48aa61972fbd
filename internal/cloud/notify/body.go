package notify

import (
	"encoding/json"
	"time"

	"upsedge/internal/cloud/device"
)

// The bodies of webhooks. Their fields are documented in docs/notifications.md and stay: fields may be added, none changes its meaning. There
// is no person, no address of mail and none of the site in them (PRIV-9).
type hookBody struct {
	Type    string      `json:"type"` // device.event, device.digest, webhook.test
	Version int         `json:"version"`
	ID      string      `json:"id"` // as in webhook-id: the same over all tries
	Created string      `json:"created_at"`
	Policy  hookNamed   `json:"policy"`
	Device  *hookNamed  `json:"device,omitempty"`
	Event   *hookEvent  `json:"event,omitempty"`
	Digest  *hookDigest `json:"digest,omitempty"`
}

type hookNamed struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type hookEvent struct {
	Code     string `json:"code"`  // id of docs/events.md, or no_communication
	Step     Step   `json:"state"` // raised, cleared, moment
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Outlet   string `json:"outlet,omitempty"`
	Happened string `json:"happened_at"` // of one whose time is not known: received_at
	Certain  bool   `json:"time_certain"`
	Received string `json:"received_at"`
	Late     bool   `json:"late"` // it is told long after it happened
}

type hookDigest struct {
	Events  int64            `json:"events"`
	Worst   string           `json:"worst_severity"`
	Since   string           `json:"since"`
	Until   string           `json:"until"`
	Devices []hookDigestLine `json:"devices"` // at most digestShown, most events first
}

type hookDigestLine struct {
	hookNamed
	Events int64 `json:"events"`
}

// stamp is how bodies give a time: RFC 3339, UTC, milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Service) hook(id, kind string, p *Policy) hookBody {
	return hookBody{Type: kind, Version: 1, ID: id, Created: stamp(s.Now()), Policy: hookNamed{p.ID, p.Name}}
}

func (b hookBody) text() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // texts, numbers and flags: nothing to fail
	}
	return string(text)
}

func (s *Service) eventBody(id string, p *Policy, d *device.Device, e *event) string {
	b := s.hook(id, "device.event", p)
	b.Device = &hookNamed{d.ID, d.Name}
	b.Event = &hookEvent{e.code, e.step, severityWord(e.severity), e.words, e.outlet, stamp(e.at), e.certain, stamp(e.arrived), s.late(e)}
	return b.text()
}

func (s *Service) digestBody(id string, p *Policy, rows []heldRow) string {
	b := s.hook(id, "device.digest", p)
	total, worst, since, until := sum(rows)
	b.Digest = &hookDigest{Events: total, Worst: severityWord(worst), Since: stamp(since), Until: stamp(until), Devices: []hookDigestLine{}}
	for i, h := range rows {
		if i == digestShown {
			break
		}
		b.Digest.Devices = append(b.Digest.Devices, hookDigestLine{hookNamed{h.device, h.name}, h.number})
	}
	return b.text()
}

func (s *Service) testBody(id string, p *Policy) string { return s.hook(id, "webhook.test", p).text() }
