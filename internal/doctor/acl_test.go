package doctor

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// aclBytes are the bytes of a list, as the kernel has them.
func aclBytes(l accessList) []byte {
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range l {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.rights)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

const nobodyNamed = 0xffffffff

// A list as setfacl makes it of a port root:tty 0620 or root:uucp 0660: the named come before the group, and the mask bounds both.
func TestListsOfAccessRights(t *testing.T) {
	const uucp, service, rw = 14, 992, mayRead | mayWrite
	list := func(entries ...accessEntry) accessList {
		return append(accessList{{1, rw, nobodyNamed}, {aclGroupObj, mayWrite, nobodyNamed}, {aclOther, 0, nobodyNamed}}, entries...)
	}
	of := func(uid uint32, groups ...uint32) Person { return Person{UID: uid, Groups: groups} }
	for name, c := range map[string]struct {
		list accessList
		who  Person
		want bool
	}{
		"a group that is named":       {list(accessEntry{aclGroup, rw, service}, accessEntry{aclMask, rw, nobodyNamed}), of(991, service), true},
		"the mask bounds it":          {list(accessEntry{aclGroup, rw, service}, accessEntry{aclMask, mayRead, nobodyNamed}), of(991, service), false},
		"another group":               {list(accessEntry{aclGroup, rw, service}, accessEntry{aclMask, rw, nobodyNamed}), of(991, 20), false},
		"one group of two is enough":  {list(accessEntry{aclGroup, rw, service}, accessEntry{aclMask, rw, nobodyNamed}), of(991, uucp, service), true},
		"the file's group alone":      {list(accessEntry{aclGroup, rw, service}, accessEntry{aclMask, rw, nobodyNamed}), of(991, uucp), false},
		"a user that is named":        {list(accessEntry{aclUser, rw, 991}, accessEntry{aclMask, rw, nobodyNamed}), of(991), true},
		"a user who is shut out":      {list(accessEntry{aclUser, 0, 991}, accessEntry{aclGroup, rw, service}, accessEntry{aclMask, rw, nobodyNamed}), of(991, service), false},
		"others":                      {accessList{{aclOther, rw, nobodyNamed}}, of(991), true},
		"a member is none of others":  {accessList{{aclGroup, 0, service}, {aclOther, rw, nobodyNamed}}, of(991, service), false},
		"a list of nothing":           {nil, of(991), false},
		"as the kernel has the bytes": {parseACL(aclBytes(list(accessEntry{aclGroup, rw, service}))), of(991, service), true},
	} {
		if got := c.list.grants(c.who, uucp, rw); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for _, b := range []string{"", "\x02\x00\x00", "\x01\x00\x00\x00", "\x02\x00\x00\x00\x01"} {
		if l := parseACL([]byte(b)); l != nil {
			t.Errorf("%q is the list %v", b, l)
		}
	}
}

// The package's udev rule opens a port to the group upsagent whatever group has it: that is no problem.
func TestAPortThatTheRuleHasOpened(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a device")
	}
	dir := t.TempDir() // its parents let everybody through only by these modes
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	node := filepath.Join(dir, "ttyX0")
	if err := unix.Mknod(node, unix.S_IFCHR|0o660, int(unix.Mkdev(188, 255))); err != nil {
		t.Skipf("no device can be made: %v", err)
	}
	r := box(t, systemd)
	service, _ := r.Service(r.Unit())
	if err := os.Chown(node, 0, 14); err != nil {
		t.Fatal(err)
	}
	is(t, "before", r.LookAtPorts(on(node), service), Problem, "may not open it")
	const rw = mayRead | mayWrite
	err := unix.Setxattr(node, "system.posix_acl_access", aclBytes(accessList{{1, rw, nobodyNamed}, {aclGroupObj, rw, nobodyNamed}, {aclGroup, rw, 992}, {aclMask, rw, nobodyNamed}, {aclOther, 0, nobodyNamed}}), 0)
	if err != nil {
		t.Skipf("no lists of access rights here: %v", err)
	}
	is(t, "after", r.LookAtPorts(on(node), service), OK, "may open it")
}
