package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Cluster is a private PostgreSQL server: its own directory, a socket in it and no port. It is gone with the test binary, however
// that ends. Its methods Start and Kill are for one goroutine at a time.
type Cluster struct {
	dir  string // of everything
	bin  string
	env  []string
	cred *syscall.Credential // nil: this process's own
	cmd  *exec.Cmd
	done chan struct{}
}

// postgresUser is the server's only role. Who may open the directory may connect.
const postgresUser = "upsedge"

// unprivileged is the user "nobody" of every Linux: the server refuses to run as root.
const unprivileged = 65534

// fast has the server keep its files without waiting for the disk: what it is told survives its own end, and ours, but no power cut.
const fast = `fsync = off
full_page_writes = off
`

var sharedCluster = sync.OnceValues(func() (*Cluster, error) { return newCluster(fast) })

// Postgres returns the server of this test binary, started by the first who asks. It does not wait for the disk. Skips like Command.
func Postgres(t testing.TB) *Cluster {
	t.Helper()
	needPostgres(t)
	c, err := sharedCluster()
	if err != nil {
		t.Fatalf("start postgres: %v", err)
	}
	return c
}

// OwnPostgres starts a server for this test alone, which waits for the disk as in earnest. conf is added to its configuration.
func OwnPostgres(t testing.TB, conf string) *Cluster {
	t.Helper()
	needPostgres(t)
	c, err := newCluster(conf)
	if err != nil {
		t.Fatalf("start postgres: %v", err)
	}
	t.Cleanup(c.Kill)
	return c
}

func needPostgres(t testing.TB) {
	t.Helper()
	if bin, _ := postgresBin(); bin == "" {
		missing(t, "postgres")
	}
}

// postgresBin finds the newest server, the system's own before the unpacked one. Debian keeps it outside the path.
func postgresBin() (dir string, unpacked bool) {
	for i, root := range []string{"/", fetchedRoot()} {
		found, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin/postgres")) // fails on a bad pattern only
		if len(found) > 0 {
			slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
			return filepath.Dir(found[len(found)-1]), i == 1
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), false
	}
	return "", false
}

// DSN names a database of the server.
func (c *Cluster) DSN(database string) string {
	q := url.Values{"host": {c.dir}, "sslmode": {"disable"}}
	return "postgres://" + postgresUser + "@/" + database + "?" + q.Encode()
}

// Socket is the directory of the server's socket, User its role that may do everything, Programs where psql and pg_dump are.
func (c *Cluster) Socket() string { return c.dir }

// User is what Socket says.
func (c *Cluster) User() string { return postgresUser }

// Programs is what Socket says.
func (c *Cluster) Programs() string { return c.bin }

func newCluster(conf string) (_ *Cluster, err error) {
	c := &Cluster{}
	if c.dir, err = os.MkdirTemp("", "upsedge-pg-"); err != nil { // short: a socket's path has 107 characters at most
		return nil, err
	}
	if err := c.prepare(conf); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Cluster) prepare(conf string) error {
	if os.Getuid() == 0 {
		c.cred = &syscall.Credential{Uid: unprivileged, Gid: unprivileged}
		if err := os.Chown(c.dir, unprivileged, unprivileged); err != nil {
			return err
		}
	}
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.sweep(); err != nil {
		return err
	}
	initdb := c.command("initdb", "--pgdata="+c.data(), "--username="+postgresUser, "--auth=trust", "--encoding=UTF8", "--locale=C",
		"--no-sync", "--wal-segsize=1")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	settings := fmt.Sprintf("listen_addresses = ''\nunix_socket_directories = '%s'\nshared_buffers = 32MB\nmax_connections = 200\n%s", c.dir, conf)
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// choose finds a server that its user can run.
func (c *Cluster) choose() error {
	bin, unpacked := postgresBin()
	c.bin, c.env = bin, os.Environ()
	if unpacked {
		c.env = fetchedEnv(c.env, fetchedRoot())
	}
	try := c.command("postgres", "--version")
	try.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	err := try.Run()
	if !unpacked || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// The source tree is in a directory that only its owner may enter. The server finds its other files beside itself.
	root := filepath.Join(c.dir, "root")
	if out, err := exec.Command("cp", "-r", "--preserve=mode,links", fetchedRoot(), root).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	below, err := filepath.Rel(fetchedRoot(), bin)
	c.bin, c.env = filepath.Join(root, below), fetchedEnv(os.Environ(), root)
	return err
}

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	return cmd
}

// sweep has a process of its own remove the directory behind this one's end, which closes the pipe that it reads from.
func (c *Cluster) sweep() error {
	cmd := exec.Command("/bin/sh", "-c", `cat; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && [ ! -e "$1" ] && exit; sleep 1; done`, "sh", c.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not ended by what ends us
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // when the directory was removed by a test that is over
	return nil
}

// Start starts the server again, after Kill.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.start(); err != nil {
		t.Fatalf("restart postgres: %v", err)
	}
}

// Kill ends the server at once (SIGKILL) and waits until it is gone.
func (c *Cluster) Kill() {
	if c.done == nil {
		return
	}
	_ = c.cmd.Process.Kill() // fails only when it is gone already
	<-c.done
	c.done = nil
}

func (c *Cluster) start() error {
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Processes of a killed server go by themselves, and the next one waits for the last of them.
	deadline := time.Now().Add(acceptWithin)
	for {
		c.cmd = c.command("postgres", "-D", c.data())
		c.cmd.Stdout, c.cmd.Stderr = log, log
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
		if c.done, err = Bound(c.cmd); err != nil {
			return err
		}
		if err = c.awaitAccept(deadline); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (c *Cluster) logPath() string { return filepath.Join(c.dir, "log") }

func (c *Cluster) awaitAccept(deadline time.Time) error {
	for time.Now().Before(deadline) {
		if c.ready() {
			return nil
		}
		select {
		case <-c.done:
			time.Sleep(20 * time.Millisecond) // the caller may try again
			text, _ := os.ReadFile(c.logPath())
			return fmt.Errorf("it exited:\n%s", text)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("it does not accept within %v", acceptWithin)
}

// ready asks whether the server serves: it says so in the last line of its file once recovery is over.
func (c *Cluster) ready() bool {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil || !strings.Contains(string(text), "\nready") || !strings.HasPrefix(string(text), fmt.Sprintln(c.cmd.Process.Pid)) {
		return false
	}
	conn, err := net.Dial("unix", filepath.Join(c.dir, ".s.PGSQL.5432"))
	return err == nil && conn.Close() == nil
}
