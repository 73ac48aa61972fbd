package mail_test

import (
	"strings"
	"testing"

	"upsedge/internal/cloud/mail"
)

func TestT85WhatPeopleTypedIsHarmlessInALetter(t *testing.T) {
	for text, want := range map[string]string{
		"Hall 3, rack-a (left)": "Hall 3, rack-a (left)", "Zürich St. Peter": "Zürich St. Peter", "サーバー室": "サーバー室",
		"https://evil.example/a?b=c": "https evil. example a b c", "call me: a@b.example": "call me a b. example",
		"rack\r\nBcc: x": "rack Bcc x", "rack\u2028next\u202egnp.exe": "rack next gnp. exe", "": "(no name)", "\n": "(no name)", "...": "(no name)", "\xff\x00": "(no name)",
		strings.Repeat("ä", 200): strings.Repeat("ä", 80) + "…",
	} {
		if got := mail.Quote(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
