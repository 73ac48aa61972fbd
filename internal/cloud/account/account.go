package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// Prefixes of ids.
const (
	idAccount      = "a_"
	idActor        = "u_"
	idOrganisation = "o_"
	idIdentity     = "s_"
	idCode         = "c_"
	idInvitation   = "i_"
)

// An Account is who somebody is.
type Account struct {
	ID       string // a_…, never used again
	Actor    string // u_…, what logs and orders carry
	Name     string
	Email    string
	Org      Organisation
	Operator bool
	Factor   bool // a second factor is set up
	Created  time.Time

	identity string
}

// An Organisation is a customer: accounts, agents and devices belong to one.
type Organisation struct {
	ID      string // o_…
	Name    string
	Created time.Time
}

const selectAccount = `SELECT a.id, a.actor, a.name, i.email, o.id, o.name, o.created_at, a.operator, i.totp_secret <> '', a.created_at, a.identity
	FROM accounts a JOIN identities i ON i.id = a.identity JOIN organisations o ON o.id = a.org WHERE a.closed_at IS NULL AND `

// one returns the account that a condition of one argument meets, nil for none.
func one(ctx context.Context, tx *store.Tx, where string, arg any) (*Account, error) {
	a, err := scanAccount(tx.QueryRow(ctx, selectAccount+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return a, err
}

// ByID returns an account that is open, nil where there is none.
func ByID(ctx context.Context, tx *store.Tx, id string) (*Account, error) {
	return one(ctx, tx, `a.id = $1`, id)
}

// ByActor returns the open account of an opaque reference, nil where there is none.
func ByActor(ctx context.Context, tx *store.Tx, ref string) (*Account, error) {
	return one(ctx, tx, `a.actor = $1`, ref)
}

// ByAddress returns the open account whose verified address compares equal, nil where there is none.
func ByAddress(ctx context.Context, tx *store.Tx, at Address) (*Account, error) {
	return one(ctx, tx, `i.email_key = $1`, at.Key)
}

func scanAccount(row interface{ Scan(...any) error }) (*Account, error) {
	var a Account
	var founded, created, operator int64
	err := row.Scan(&a.ID, &a.Actor, &a.Name, &a.Email, &a.Org.ID, &a.Org.Name, &founded, &operator, &a.Factor, &created, &a.identity)
	if err != nil {
		return nil, err
	}
	a.Org.Created, a.Created, a.Operator = time.UnixMilli(founded), time.UnixMilli(created), operator != 0
	return &a, nil
}

func byIdentity(ctx context.Context, tx *store.Tx, identity string) (*Account, error) {
	return one(ctx, tx, `a.identity = $1`, identity)
}

// Get returns the account of an actor, or NOT_FOUND when it is no account or is closed.
func (s *Service) Get(ctx context.Context, tx *store.Tx, who cloud.Actor) (*Account, error) {
	a, err := one(ctx, tx, `a.id = $1`, who.Account)
	if err == nil && a == nil {
		err = cloud.Refuse(policy.NotFound, "there is no such account")
	}
	return a, err
}

// Rename changes the name of the actor's account.
func (s *Service) Rename(ctx context.Context, tx *store.Tx, who cloud.Actor, name string) (*Account, error) {
	name, err := parseName("name", name)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE accounts SET name = $1 WHERE id = $2 AND closed_at IS NULL`, name, who.Account); err != nil {
		return nil, err
	}
	if err := s.note(ctx, tx, who, accountRenamed, nil); err != nil {
		return nil, err
	}
	return s.Get(ctx, tx, who)
}

// create makes identity, organisation and account of a person whose address is verified.
func (s *Service) create(ctx context.Context, tx *store.Tx, at Address, password, name, organisation string, operator bool) (*Account, error) {
	now := s.now().UnixMilli()
	org, identity := cloud.NewID(idOrganisation), cloud.NewID(idIdentity)
	if _, err := tx.Exec(ctx, `INSERT INTO identities (id, email, email_key, password, verified_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		identity, at.Mail, at.Key, password, now, now); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3)`, org, organisation, now); err != nil {
		return nil, err
	}
	flag := 0
	if operator {
		flag = 1
	}
	if _, err := tx.Exec(ctx, `INSERT INTO accounts (id, identity, actor, org, name, operator, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		cloud.NewID(idAccount), identity, cloud.NewID(idActor), org, name, flag, now); err != nil {
		return nil, err
	}
	return byIdentity(ctx, tx, identity)
}

// identityOf returns the id of the identity of an address, "" for none.
func identityOf(ctx context.Context, tx *store.Tx, key string) (id string, err error) {
	err = tx.QueryRow(ctx, `SELECT id FROM identities WHERE email_key = $1`, key).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// Person is what CreateOperator and SignUp are told of somebody.
type Person struct {
	Email, Password, Name string
	Organisation          string // "": the person's name
}

// parse checks everything that was typed; the password becomes its one form.
func (p *Person) parse() (Address, error) {
	at, err := ParseAddress(p.Email)
	if err != nil {
		return at, err
	}
	if p.Name, err = parseName("name", p.Name); err != nil {
		return at, err
	}
	if p.Organisation == "" {
		p.Organisation = p.Name
	}
	if p.Organisation, err = parseName("organisation", p.Organisation); err != nil {
		return at, err
	}
	p.Password = plainPassword(p.Password)
	return at, checkPassword("password", p.Password, p.Email, p.Name, p.Organisation)
}

// CreateOperator makes the account of who runs the cloud, its address taken as verified: who has the database needs no code. It returns
// CONFLICT when the address has an account.
func (s *Service) CreateOperator(ctx context.Context, p Person) (a *Account, err error) {
	at, err := p.parse()
	if err != nil {
		return nil, err
	}
	sealed, err := s.hasher.make(ctx, p.Password)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		known, err := identityOf(ctx, tx, at.Key)
		if err != nil {
			return err
		}
		if known != "" {
			return cloud.Refuse(policy.Conflict, "that address has an account")
		}
		if a, err = s.create(ctx, tx, at, sealed, p.Name, p.Organisation, true); err != nil {
			return err
		}
		return s.note(ctx, tx, of(a, cloud.System("")), accountSignedUp, nil)
	})
	return a, err
}

// of is the actor of an account in a request that nobody was signed in for.
func of(a *Account, request cloud.Actor) cloud.Actor {
	return cloud.Actor{Ref: a.Actor, Account: a.ID, Org: a.Org.ID, HasFactor: a.Factor, Address: request.Address, Request: request.Request}
}
