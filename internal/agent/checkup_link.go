package agent

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"upsedge/internal/doctor"
	"upsedge/internal/enroll"
	"upsedge/internal/uplink"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

const (
	// renewed certificates have been by then (from 55 of their 90 days on); one that has not will be told of as alarm 823.
	renewedBy = 25 * 24 * time.Hour
	linkTries = 6 * time.Second
	// longWait is how long a record waits at most while all is well: a flush, an acknowledgement, and a session that had to be made anew.
	longWait = 10 * time.Minute
	// tooLate is a wall clock that is certainly wrong: this program is not in use for so long.
	tooLate = 10 * 365 * 24 * time.Hour
)

func (c *checkup) lookAtClock() []doctor.Finding {
	if c.clockAt == nil {
		return []doctor.Finding{{Level: doctor.Note, What: "the clocks of this box cannot be read"}}
	}
	const set = "timedatectl says what is set; sudo timedatectl set-ntp true has it set by a time server"
	now, st := c.clockAt.Wall(), c.clockAt.Status()
	floor := c.clockAt.Floor()
	switch {
	case now.Before(floor.Add(-24*time.Hour)) && c.status != nil && c.status.Clock.Trusted:
		return []doctor.Finding{{Level: doctor.Note, What: fmt.Sprintf("the clock of the box says %s; the agent knows the time all the same, by the cloud", date(now)), Do: set}}
	case now.Before(floor.Add(-24 * time.Hour)):
		return []doctor.Finding{{
			Level: doctor.Problem, What: fmt.Sprintf("the clock of the box says %s, and it is %s at least: a box without a battery for its clock begins so", date(now), date(floor)), Do: set,
		}}
	case now.After(floor.Add(tooLate)):
		return []doctor.Finding{{Level: doctor.Problem, What: fmt.Sprintf("the clock of the box says %s, years after this program was made", date(now)), Do: set}}
	}
	if c.status != nil && c.status.Clock.Trusted {
		return []doctor.Finding{{Level: doctor.OK, What: "the agent knows the time" + off(c.status.Clock.Error)}}
	}
	if c.status != nil && st.State != wire.ClockUnset {
		return []doctor.Finding{{
			Level: doctor.Note, What: "the kernel says that the clock is set, and the agent may not ask it: records carry no time of day",
			Do: "systemd-timesyncd in place of another time service; or the drop-in of docs/gateways.md, which lets the service ask",
		}}
	}
	if st.State != wire.ClockUnset {
		e := st.Error.Seconds()
		return []doctor.Finding{{Level: doctor.OK, What: "a time service sets it" + off(&e)}}
	}
	f := doctor.Finding{Level: doctor.Note, What: "no time service says that it has set the clock: records carry no time of day until one does", Do: set}
	if names := c.root.TimeServices(); len(names) > 0 {
		f.What = names + " runs and has not set the clock yet: records carry no time of day until it has"
		f.Do = "is a time server in reach (UDP port 123)? timedatectl timesync-status, or chronyc tracking; chrony needs the line rtcsync"
	}
	return []doctor.Finding{f}
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func off(seconds *float64) string {
	if seconds == nil || *seconds <= 0 {
		return ""
	}
	return fmt.Sprintf(", at most %v off", time.Duration(*seconds*float64(time.Second)).Round(time.Millisecond))
}

// anew is what makes a new certificate.
const anew = "a new token from the owner of the site, then: sudo upsagent enroll --force --cloud URL --token -"

func (c *checkup) lookAtCertificates() []doctor.Finding {
	up := c.cfg.Uplink
	if up == nil || !secure(up) {
		return []doctor.Finding{{Level: doctor.OK, What: "none is needed"}}
	}
	now, _ := c.time()
	var out []doctor.Finding
	_, err := brokerTLS(up)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []doctor.Finding{{Level: doctor.Note, What: "this user may not read the files of the certificate", Do: "sudo upsagent doctor"}}
	case errors.Is(err, fs.ErrNotExist):
		return []doctor.Finding{{Level: doctor.Problem, What: err.Error(), Do: anew}}
	case err != nil:
		return []doctor.Finding{{Level: doctor.Problem, What: err.Error(), Do: "mend the file or its mode (0600, of " + c.who.Name + ")"}}
	}
	for _, file := range []string{up.CertFile, up.KeyFile, up.CAFile} {
		if at, err := c.who.Blocked(file); file != "" && err == nil && at != "" {
			out = append(out, doctor.Finding{Level: doctor.Problem, What: fmt.Sprintf("user %s, who runs the agent, may not read %s", c.who.Name, file), Do: fmt.Sprintf("sudo chown %s: %s", c.who.Name, at)})
			break
		}
	}
	if up.CertFile != "" {
		out = append(out, c.lookAtOwn(up.CertFile, now)...)
	}
	out = append(out, lookAtAuthorities(up.CAFile, now)...)
	if out == nil {
		out = append(out, doctor.Finding{Level: doctor.OK, What: "key and authorities are in order"})
	}
	return out
}

// lookAtOwn judges the agent's own certificate.
func (c *checkup) lookAtOwn(file string, now time.Time) []doctor.Finding {
	if _, _, err := certificateID(file); err != nil {
		return []doctor.Finding{{Level: doctor.Problem, What: err.Error(), Do: anew}}
	}
	cert, err := uplink.ReadCertificate(file)
	if err != nil {
		return []doctor.Finding{{Level: doctor.Problem, What: err.Error(), Do: anew}}
	}
	_, err = enroll.Present(c.cfg.StateDir, file)
	ours, days := err == nil, int(cert.NotAfter.Sub(now).Hours()/24)
	switch {
	case now.After(cert.NotAfter) && ours && now.Before(cert.NotAfter.Add(30*24*time.Hour)):
		return []doctor.Finding{{Level: doctor.Problem, What: "the agent's certificate ended " + date(cert.NotAfter), Do: "while the agent runs and the cloud can be reached it is renewed for 30 days more; after that: " + anew}}
	case now.After(cert.NotAfter) && ours:
		return []doctor.Finding{{Level: doctor.Problem, What: "the agent's certificate ended " + date(cert.NotAfter), Do: anew}}
	case now.After(cert.NotAfter):
		return []doctor.Finding{{Level: doctor.Problem, What: "the agent's certificate ended " + date(cert.NotAfter), Do: "a new one from whom it came, in " + file}}
	case cert.NotAfter.Sub(now) < renewedBy && ours:
		return []doctor.Finding{{Level: doctor.Note, What: "the agent's certificate ends in " + ups.Count(days, "day") + " and was not renewed yet", Do: "the agent tries while it runs; the check of the cloud says what is in its way: sudo upsagent doctor cloud"}}
	case cert.NotAfter.Sub(now) < renewedBy:
		return []doctor.Finding{{Level: doctor.Note, What: "the agent's certificate ends in " + ups.Count(days, "day") + ", and no cloud renews it", Do: "a new one from whom it came, in " + file + "; it is used without a restart"}}
	}
	return []doctor.Finding{{Level: doctor.OK, What: fmt.Sprintf("agent %s, until %s", cert.Subject.CommonName, date(cert.NotAfter))}}
}

// lookAtAuthorities judges by whom the broker is known.
func lookAtAuthorities(file string, now time.Time) []doctor.Finding {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // told already
	}
	var latest time.Time
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if cert, err := x509.ParseCertificate(b.Bytes); err == nil && cert.NotAfter.After(latest) {
			latest = cert.NotAfter
		}
	}
	if now.After(latest) {
		return []doctor.Finding{{Level: doctor.Problem, What: fmt.Sprintf("every authority in %s has ended, the last %s", file, date(latest)), Do: "the present ones from whoever runs the broker, in that file"}}
	}
	return nil
}

func (c *checkup) lookAtBroker(ctx context.Context) []doctor.Finding {
	c.ask(ctx)
	up := c.cfg.Uplink
	if up == nil {
		return []doctor.Finding{{Level: doctor.OK, What: "none is configured: nothing leaves this box"}}
	}
	broker, err := url.Parse(up.Broker)
	if err != nil {
		return nil // the configuration says so
	}
	f := doctor.Finding{Level: doctor.OK, Of: broker.Host, At: doctor.HostAt(broker.Hostname())}
	if c.status != nil && c.status.Broker.Connected {
		f.What = "the agent is connected"
		return []doctor.Finding{f}
	}
	var files *uplink.Credentials
	if secure(up) {
		if files, err = brokerTLS(up); err != nil {
			return []doctor.Finding{{Level: doctor.Note, Of: broker.Host, At: doctor.HostAt(broker.Hostname()), What: "it was not tried: the files of the certificate cannot be used", Do: "see certificate"}}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, linkTries)
	defer cancel()
	failed, err := uplink.Try(ctx, uplink.Config{Broker: broker, Insecure: up.Insecure, TLS: files, Time: c.time})
	switch {
	case err == nil && c.status != nil && c.status.Broker.Failure != "":
		f.Level, f.What, f.Do = doctor.Problem, c.status.Broker.Failure, refusedDo
	case err == nil && c.status != nil:
		f.Level, f.What, f.Do = doctor.Note, "it can be reached, and the agent is not connected yet", "ask again in a minute: it waits longer after each attempt that failed"
	case err == nil:
		f.What = "it can be reached, and takes our certificate so far"
	default:
		f.Level = doctor.Problem
		f.What, f.Do = brokerAdvice(failed, err)
	}
	return []doctor.Finding{f}
}

const refusedDo = "was this box removed in the cloud, or its certificate taken back? If so: " + anew

// brokerAdvice says what a failure to reach the broker means.
func brokerAdvice(f uplink.Failure, err error) (what, do string) {
	what = err.Error()
	if f.Words != "" {
		what = f.Words + " (" + err.Error() + ")"
	}
	var dates x509.CertificateInvalidError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "the broker does not answer (" + err.Error() + ")", "is the address right, and does a firewall let TCP to its port out?"
	case f.Trouble == uplink.Rejected:
		return what, refusedDo
	case errors.As(err, &dates):
		return what, "compare the date of this box with the certificate's: timedatectl; if the box is right, whoever runs the broker renews it"
	case f.Trouble == uplink.Distrusted:
		return what, "is uplink.broker the name that its certificate has, and uplink.tls.ca_file the authority of this broker?"
	}
	return what, "is uplink.broker right (host and port), and does the broker run? A firewall may be in between"
}

func (c *checkup) lookAtCloud(ctx context.Context) []doctor.Finding {
	c.ask(ctx)
	at := c.cloudURL()
	if at == nil {
		return []doctor.Finding{{Level: doctor.OK, What: "this box is enrolled with none"}}
	}
	f := doctor.Finding{Level: doctor.OK, Of: at.Host, At: doctor.HostAt(at.Hostname()), What: "it can be reached, and knows this box"}
	client, err := enroll.NewClient(c.cfg.StateDir, c.cfg.Uplink.CertFile, c.time)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, linkTries)
		defer cancel()
		err = client.Known(ctx)
	}
	var no *enroll.RefusedError
	switch {
	case errors.As(err, &no) && (no.Status == 401 || no.Status == 403 || no.Status == 404):
		f.Level, f.What, f.Do = doctor.Problem, "it does not know this box any more: "+no.Detail, anew
	case err != nil:
		f.Level, f.What = doctor.Problem, err.Error()
		f.Do = "does a firewall let TCP to its port out? Measurements go over the broker and may arrive all the same; the certificate is renewed here"
	}
	return []doctor.Finding{f}
}

func (c *checkup) lookAtSpool() []doctor.Finding {
	if c.status == nil {
		return []doctor.Finding{{Level: doctor.OK, What: fmt.Sprintf("no agent runs that could say what waits; at most %d MiB may", c.cfg.Spool.MaxBytes>>20)}}
	}
	var out []doctor.Finding
	for _, l := range c.status.Spool {
		if l.Dropped > 0 {
			out = append(out, doctor.Finding{
				Level: doctor.Problem, Of: l.Name, What: "lost since the agent runs: " + ups.Count(l.Dropped, "record") + "; there was no room, or the disk damaged them",
				Do: "a broker that can be reached, a larger spool.max_bytes, a sound disk; journalctl -u upsagent says which",
			})
		}
		if l.Age != nil && *l.Age > longWait.Seconds() && c.cfg.Uplink != nil {
			out = append(out, doctor.Finding{
				Level: doctor.Note, Of: l.Name, What: fmt.Sprintf("waiting: %s, the oldest for %v", ups.Count(l.Records, "record"), time.Duration(*l.Age)*time.Second),
				Do: "they go by themselves when the link is up; nothing of them is lost before spool.max_bytes are full",
			})
		}
	}
	if out == nil {
		out = append(out, doctor.Finding{Level: doctor.OK, What: "waiting: " + c.status.Waiting()})
	}
	return out
}
