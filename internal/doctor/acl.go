package doctor

import (
	"encoding/binary"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// An accessList is the list of access rights of a file beside its mode: the package's udev rule gives serial ports to the agent's group by
// one. Source: acl(5); the bytes as in include/uapi/linux/posix_acl_xattr.h of the kernel, version 2.
type accessList []accessEntry

type accessEntry struct {
	tag, rights uint16
	id          uint32
}

const (
	aclVersion  = 2
	aclUser     = 0x02 // one that is named
	aclGroupObj = 0x04 // the group of the file
	aclGroup    = 0x08 // one that is named
	aclMask     = 0x10 // the most that anybody but the owner and others may have
	aclOther    = 0x20
	mostACL     = 4 << 10 // bytes of the lists that are read: five hundred entries
)

// accessListOf reads the list of a file; nil where it has none, and on file systems without.
func accessListOf(path string) accessList {
	b := make([]byte, mostACL)
	n, err := unix.Getxattr(path, "system.posix_acl_access", b)
	if err != nil {
		return nil
	}
	return parseACL(b[:n])
}

func parseACL(b []byte) (out accessList) {
	if len(b) < 4 || len(b)%8 != 4 || binary.LittleEndian.Uint32(b) != aclVersion {
		return nil
	}
	for e := range slices.Chunk(b[4:], 8) {
		out = append(out, accessEntry{binary.LittleEndian.Uint16(e), binary.LittleEndian.Uint16(e[2:]), binary.LittleEndian.Uint32(e[4:])})
	}
	return out
}

// grants reports whether somebody who does not own the file has all of want; group is the file's.
func (l accessList) grants(p Person, group uint32, want fs.FileMode) bool {
	mask, other := uint16(mayRead|mayWrite|mayEnter), uint16(0)
	for _, e := range l {
		switch e.tag {
		case aclMask:
			mask = e.rights
		case aclOther:
			other = e.rights
		}
	}
	has := func(rights uint16) bool { return fs.FileMode(rights)&want == want }
	member := false
	for _, e := range l {
		if e.tag == aclUser && e.id == p.UID {
			return has(e.rights & mask)
		}
	}
	for _, e := range l {
		if e.tag == aclGroupObj && slices.Contains(p.Groups, group) || e.tag == aclGroup && slices.Contains(p.Groups, e.id) {
			if member = true; has(e.rights & mask) {
				return true
			}
		}
	}
	return !member && has(other)
}
