package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ServiceUser is whom the package runs the agent as, and who may ask it.
const ServiceUser = "upsagent"

// A Root is where checks look for files of the system: "/" is this box, another directory one that was made to look like a box.
type Root string

func (r Root) path(elem ...string) string {
	return filepath.Join(append([]string{string(r)}, elem...)...)
}

// A Person is who a program runs as.
type Person struct {
	Name   string
	UID    uint32
	Groups []uint32
}

// Myself is who this program runs as.
func (r Root) Myself() Person {
	p := Person{Name: r.nameOf("passwd", uint32(os.Geteuid())), UID: uint32(os.Geteuid()), Groups: []uint32{uint32(os.Getegid())}} //nolint:gosec // ids of Linux have 32 bits
	groups, _ := os.Getgroups()
	for _, g := range groups {
		p.Groups = append(p.Groups, uint32(g)) //nolint:gosec // see above
	}
	return p
}

// Process is who a process runs as; false where there is none.
func (r Root) Process(pid int) (p Person, ok bool) {
	for line := range strings.Lines(string(read(r.path("proc", strconv.Itoa(pid), "status")))) {
		f := strings.Fields(line)
		switch {
		case len(f) > 2 && f[0] == "Uid:":
			p.UID, ok = number(f[2]), true
		case len(f) > 2 && (f[0] == "Gid:"):
			p.Groups = append(p.Groups, number(f[2]))
		case len(f) > 0 && f[0] == "Groups:":
			for _, g := range f[1:] {
				p.Groups = append(p.Groups, number(g))
			}
		}
	}
	p.Name = r.nameOf("passwd", p.UID)
	return p, ok
}

// Service is whom the package's unit runs the agent as, with the groups that the unit adds; false where there is no such user.
func (r Root) Service(unit *ServiceUnit) (p Person, ok bool) {
	name := ServiceUser
	if u := unit.last("User"); u != "" {
		name = u
	}
	return r.user(name, strings.Fields(strings.Join(unit.all("SupplementaryGroups"), " ")))
}

// Owner is whom a file belongs to; false where it cannot be seen.
func (r Root) Owner(path string) (p Person, ok bool) {
	fi, err := os.Stat(path)
	if err != nil {
		return p, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return p, false
	}
	return r.user(r.nameOf("passwd", st.Uid), nil)
}

// user is one of the system, in more groups than it says itself.
func (r Root) user(name string, extra []string) (p Person, ok bool) {
	p.Name = name
	for _, f := range r.table("passwd") {
		if len(f) > 3 && f[0] == name {
			p.UID, p.Groups, ok = number(f[2]), []uint32{number(f[3])}, true
		}
	}
	for _, f := range r.table("group") {
		if len(f) > 3 && (slices.Contains(strings.Split(f[3], ","), name) || slices.Contains(extra, f[0])) {
			p.Groups = append(p.Groups, number(f[2]))
		}
	}
	return p, ok
}

// table reads /etc/passwd or /etc/group.
func (r Root) table(name string) (rows [][]string) {
	for line := range strings.Lines(string(read(r.path("etc", name)))) {
		rows = append(rows, strings.Split(strings.TrimSpace(line), ":"))
	}
	return rows
}

// nameOf is the name of a user (passwd) or group, the number where it has none.
func (r Root) nameOf(table string, id uint32) string {
	for _, f := range r.table(table) {
		if len(f) > 2 && f[2] == strconv.FormatUint(uint64(id), 10) {
			return f[0]
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// The rights of a file, as its mode has them.
const (
	mayRead  = 4
	mayWrite = 2
	mayEnter = 1
)

// may reports whether somebody has all of want on a file: by its list of access rights where it has one, else by its mode.
func (p Person) may(want fs.FileMode, path string, fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || p.UID == 0 {
		return true
	}
	if list := accessListOf(path); list != nil && st.Uid != p.UID {
		return list.grants(p, st.Gid, want)
	}
	mode := fi.Mode().Perm()
	switch {
	case st.Uid == p.UID:
		mode >>= 6
	case slices.Contains(p.Groups, st.Gid):
		mode >>= 3
	}
	return mode&want == want
}

// blocked returns the file on the way to path, path itself included, that keeps somebody from having all of want there; "" where none does. An
// error says that this program cannot see it.
func (p Person) blocked(path string, want fs.FileMode) (at string, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil {
			return "", err
		}
		if !p.may(mayEnter, dir, fi) {
			at = dir // the outermost counts
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	fi, err := os.Stat(real)
	if err == nil && at == "" && !p.may(want, real, fi) {
		at = real
	}
	return at, err
}

// owned says whose a file is: "root:dialout, mode 0660".
func (r Root) owned(path string) string {
	fi, err := os.Stat(path)
	if err != nil {
		return "not there"
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fi.Mode().String()
	}
	return r.nameOf("passwd", st.Uid) + ":" + r.nameOf("group", st.Gid) + ", mode " + octal(fi.Mode())
}

func octal(m fs.FileMode) string {
	s := strconv.FormatUint(uint64(m.Perm()), 8)
	return "0000"[:4-min(len(s), 4)] + s
}

// Blocked returns what keeps somebody from reading a file, "" where nothing does. An error says that this program cannot see it.
func (p Person) Blocked(path string) (at string, err error) { return p.blocked(path, mayRead) }
