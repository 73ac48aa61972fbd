package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/account"
	"upsedge/internal/cloud/authority"
	"upsedge/internal/cloud/bundle"
	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/history"
	"upsedge/internal/cloud/invitation"
	"upsedge/internal/cloud/job"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/notify"
	"upsedge/internal/cloud/order"
	"upsedge/internal/cloud/store"
)

// Config is what the interface needs. DB and Authenticate are required.
type Config struct {
	DB *store.DB
	// Authenticate says who asks. Its error is a *cloud.Error with UNAUTHENTICATED where nobody is signed in.
	Authenticate func(r *http.Request) (cloud.Actor, error)
	Accounts     *account.Service
	Orders       *order.Book // for the routes of orders
	Jobs         *job.Desk   // for those of jobs
	Agents       *authority.Authority
	Devices      *device.Registry // for the routes of devices
	Heads        *eventlog.Signer // for those of the Event Log
	Notify       *notify.Service  // for the routes of notification policies
	Invitations  *invitation.Service
	Licences     *licence.Service
	Bundles      *bundle.Service // for the routes of support bundles
	Log          *slog.Logger    // nil discards
	Now          func() time.Time
	Streams      context.Context                                    // ends feeds and exports, which would keep a server from stopping; nil: nothing does
	Observe      func(route string, status int, took time.Duration) // for metrics; nil: nobody asks
}

// An API serves the HTTP interface. Use New. It is safe for concurrent use.
type API struct {
	cfg      Config
	log      *slog.Logger
	document []byte // openapi.json
	routes   []route
	reader   *history.Reader

	writeWithin time.Duration
	bodyWithin  time.Duration // of a support bundle
	bundles     chan struct{} // one for each that comes
}

// New returns an API. An error is a mistake of the program: a route or a fragment that does not fit.
func New(cfg Config) (*API, error) {
	if cfg.DB == nil || cfg.Authenticate == nil {
		return nil, errors.New("api: no database, or nobody to say who asks")
	}
	a := &API{cfg: cfg, log: cfg.Log, writeWithin: writeWithin, bodyWithin: bodyWithin, bundles: make(chan struct{}, bundlesAtOnce)}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.cfg.Now == nil {
		a.cfg.Now = time.Now
	}
	if a.cfg.Streams == nil {
		a.cfg.Streams = context.Background()
	}
	a.reader = history.NewReader(cfg.DB, a.cfg.Now)
	var err error
	if a.document, err = mergeDocument(); err != nil {
		return nil, err
	}
	a.routes = a.table()
	for _, r := range a.routes {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// table has every route.
func (a *API) table() (all []route) {
	for _, some := range [][]route{
		a.documentRoutes(), a.accountRoutes(), a.agentRoutes(), a.deviceRoutes(), a.logRoutes(), a.historyRoutes(), a.orderRoutes(), a.jobRoutes(),
		a.invitationRoutes(), a.licenceRoutes(), a.shareRoutes(), a.notifyRoutes(), a.bundleRoutes(),
	} {
		all = append(all, some...)
	}
	return all
}

// Handler returns what answers requests for /api/.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes {
		mux.Handle(r.method+" "+r.pattern, a.serve(r))
	}
	mux.Handle("/", a.serve(route{pattern: "none", read: func(q *Request) (Answer, error) { return Answer{}, errNoRoute }, public: "it is nothing"}))
	return a.outermost(mux)
}
