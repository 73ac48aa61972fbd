package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/ups/capture"
	"upsedge/internal/ups/smartups"
)

// A recording is a capture that is being written. While it grows it says nothing of the model, which is not known before the
// end: then the file is replaced by one that does.
type recording struct {
	*capture.Recorder
	path   string
	file   *os.File
	header capture.Header
}

// record begins a capture of what u says. The file must not exist.
func record(path string, u config.Unit, keepNames bool) (*recording, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, usageError{fmt.Errorf("--record: %s exists already", path)}
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--record: %w", err)}
	}
	r := &recording{path: path, file: f, header: capture.Header{
		From: source(u), Link: linkOf(u), Slave: strconv.Itoa(int(u.UnitID)), Names: "redacted",
		Program: "upsagent " + version, Made: time.Now().UTC().Format("2006-01-02"),
	}}
	o := capture.Options{TCP: u.TCP != nil}
	if keepNames {
		r.header.Names = "kept"
	} else {
		o.Private = []capture.Span{}
		for _, s := range smartups.Personal() {
			o.Private = append(o.Private, capture.Span{Addr: s[0], Count: s[1]})
		}
	}
	r.Recorder = capture.NewRecorder(f, r.header, o)
	return r, nil
}

// source tells a unit from a simulated one: a pseudo terminal and an address of this machine are no UPS.
func source(u config.Unit) string {
	if u.Serial != nil {
		if port, err := filepath.EvalSymlinks(u.Serial.Device); err == nil && strings.HasPrefix(port, "/dev/pts/") {
			return capture.FromSimulated
		}
		return capture.FromUnit
	}
	host, _, _ := net.SplitHostPort(u.TCP.Address)
	if a, err := netip.ParseAddr(host); host == "localhost" || err == nil && a.IsLoopback() {
		return capture.FromSimulated
	}
	return capture.FromUnit
}

func linkOf(u config.Unit) string {
	switch {
	case u.Serial != nil:
		return fmt.Sprintf("serial %d %s", u.Serial.Baud, u.Serial.Parity)
	case u.TCP.Card:
		return "tcp card"
	}
	return "tcp unit"
}

// end completes the file, with what the unit said of itself, and returns how many requests it has.
func (r *recording) end(id ups.Identity) (requests int, err error) {
	if err := errors.Join(r.Close(), r.file.Sync(), r.file.Close()); err != nil {
		return 0, fmt.Errorf("--record: %w", err)
	}
	f, err := os.Open(r.path)
	if err != nil {
		return 0, fmt.Errorf("--record: %w", err)
	}
	defer f.Close()
	c, err := capture.Parse(f)
	if err != nil {
		return 0, fmt.Errorf("--record: %w", err)
	}
	for _, e := range c.Entries {
		if e.Request != nil {
			requests++
		}
	}
	c.Header.Model, c.Header.SKU, c.Header.Firmware = id.Model, id.SKU, id.Firmware
	return requests, r.replace(c)
}

func (r *recording) replace(c *capture.Capture) error {
	next := r.path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err == nil {
		err = errors.Join(c.Write(f), f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(next, r.path)
	}
	if err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	return nil
}

// say tells what is in the file.
func (r *recording) say(w io.Writer, requests int) {
	names := "The serial number and the names that somebody gave are masked."
	if r.header.Names == "kept" {
		names = "It has the serial number and the names that somebody gave."
	}
	fmt.Fprintf(w, "%s recorded in %s. %s\n", ups.Count(requests, "request"), r.path, names)
}
