package api

import (
	"testing"

	"upsedge/internal/cloud/device"
	"upsedge/internal/cloud/licence"
	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

// licences are those of a registry, whose letters wait in the database.
func licences(t testing.TB, db *store.DB, r *device.Registry) *licence.Service {
	t.Helper()
	q, err := mail.New(db, mail.Config{}, mail.Options{})
	must(t, err)
	s, err := licence.New(licence.Config{Devices: r, Mail: q, URL: "https://cloud.example"})
	must(t, err)
	return s
}
