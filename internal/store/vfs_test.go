package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A badDisk stands between SQLite and its files, as a VFS in place of the default one. It lets a call fail, and it remembers what a
// power cut would leave: a page that is written and synced is there; one whose sync failed is taken for clean, as the kernel takes
// it, and is there no better after another sync that succeeds.
type badDisk struct {
	mu     sync.Mutex
	dir    string // of the files it cares about, "" for none
	kind   string // of the calls that fail: open, write, truncate, sync, delete
	from   int    // the first call that fails, from 1; 0: none
	to     int    // the first that does not any more
	calls  int    // of the kind
	images map[string]*image
	paths  map[uintptr]string // of open files
}

// An image is what is known of a file.
type image struct {
	now, durable []byte
	dirty        map[int]bool // pages
}

func (m *image) touch(from, to int) {
	for p := from / pageSize; p*pageSize < to; p++ {
		m.dirty[p] = true
	}
}

func (m *image) write(b []byte, off int) {
	if end := off + len(b); end > len(m.now) {
		m.now = append(m.now, make([]byte, end-len(m.now))...)
	}
	copy(m.now[off:], b)
	m.touch(off, off+len(b))
}

func (m *image) truncate(size int) {
	if size < len(m.now) {
		m.now = m.now[:size:size]
		m.touch(size, size+1)
	}
}

func (m *image) sync(well bool) {
	if well {
		size := len(m.now)
		if len(m.durable) < size {
			m.durable = append(m.durable, make([]byte, size-len(m.durable))...)
		}
		m.durable = m.durable[:size]
		for p := range m.dirty {
			if at := p * pageSize; at < size {
				copy(m.durable[at:min(at+pageSize, size)], m.now[at:])
			}
		}
	}
	clear(m.dirty)
}

var theBadDisk = sync.OnceValue(func() *badDisk {
	d := &badDisk{paths: map[uintptr]string{}}
	tls := libc.NewTLS()
	real := sqlite3.Xsqlite3_vfs_find(tls, 0)
	vfs := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	*memory[sqlite3.Tsqlite3_vfs](vfs) = *memory[sqlite3.Tsqlite3_vfs](real)
	v := memory[sqlite3.Tsqlite3_vfs](vfs)
	name, err := libc.CString("bad-disk")
	if err != nil {
		panic(err)
	}
	v.FzName, v.FpNext = name, 0
	v.FxOpen, v.FxDelete = pointer(d.wrapOpen(v.FxOpen)), pointer(d.wrapDelete(v.FxDelete))
	if rc := sqlite3.Xsqlite3_vfs_register(tls, vfs, 1); rc != sqlite3.SQLITE_OK {
		panic(fmt.Sprint("register a vfs: ", rc))
	}
	return d
})

// memory is the memory at an address of the translated C.
func memory[T any](p uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&p))) }

// pointer is a function as the translated C has it, and function the way back.
func pointer(f any) uintptr {
	kept = append(kept, f)
	return (*[2]uintptr)(unsafe.Pointer(&f))[1]
}

var kept []any // functions that only the translated C knows

func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, sync int32) int32
	writeFunc    = func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
)

func (d *badDisk) wrapOpen(p uintptr) openFunc {
	real := function[openFunc](p)
	wrapped := map[uintptr]uintptr{} // methods
	return func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
		path := ""
		if name != 0 {
			path = libc.GoString(name)
		}
		if d.fails(path, "open") {
			*memory[uintptr](file) = 0
			return sqlite3.SQLITE_CANTOPEN
		}
		rc := real(tls, vfs, name, file, flags, out)
		if rc != sqlite3.SQLITE_OK || !d.cares(path) {
			return rc
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		f := memory[sqlite3.Tsqlite3_file](file)
		if wrapped[f.FpMethods] == 0 {
			m := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
			*memory[sqlite3.Tsqlite3_io_methods](m) = *memory[sqlite3.Tsqlite3_io_methods](f.FpMethods)
			d.wrapMethods(memory[sqlite3.Tsqlite3_io_methods](m))
			wrapped[f.FpMethods] = m
		}
		f.FpMethods = wrapped[f.FpMethods]
		d.paths[file] = path
		d.load(path)
		return rc
	}
}

// load takes over what was done to a file behind the back of SQLite.
func (d *badDisk) load(path string) {
	b, _ := os.ReadFile(path)
	m := d.images[path]
	if m == nil {
		m = &image{durable: append([]byte(nil), b...), dirty: map[int]bool{}}
		d.images[path] = m
	}
	m.now = b
	if len(m.durable) > len(b) {
		m.durable = m.durable[:len(b)]
	}
}

func (d *badDisk) wrapDelete(p uintptr) deleteFunc {
	real := function[deleteFunc](p)
	return func(tls *libc.TLS, vfs, name uintptr, sync int32) int32 {
		path := libc.GoString(name)
		if d.fails(path, "delete") {
			return sqlite3.SQLITE_IOERR_DELETE
		}
		rc := real(tls, vfs, name, sync)
		d.mu.Lock()
		defer d.mu.Unlock()
		if rc == sqlite3.SQLITE_OK {
			delete(d.images, path)
		}
		return rc
	}
}

func (d *badDisk) wrapMethods(m *sqlite3.Tsqlite3_io_methods) {
	write, truncate, sync, end := function[writeFunc](m.FxWrite), function[truncateFunc](m.FxTruncate), function[syncFunc](m.FxSync), function[closeFunc](m.FxClose)
	m.FxWrite = pointer(func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
		return d.do(file, "write", sqlite3.SQLITE_IOERR_WRITE, func() int32 { return write(tls, file, buf, n, off) }, func(m *image, well bool) {
			if well {
				m.write(unsafe.Slice(memory[byte](buf), n), int(off))
			}
		})
	})
	m.FxTruncate = pointer(func(tls *libc.TLS, file uintptr, size int64) int32 {
		return d.do(file, "truncate", sqlite3.SQLITE_IOERR_TRUNCATE, func() int32 { return truncate(tls, file, size) }, func(m *image, well bool) {
			if well {
				m.truncate(int(size))
			}
		})
	})
	m.FxSync = pointer(func(tls *libc.TLS, file uintptr, flags int32) int32 {
		return d.do(file, "sync", sqlite3.SQLITE_IOERR_FSYNC, func() int32 { return sync(tls, file, flags) }, (*image).sync)
	})
	m.FxClose = pointer(func(tls *libc.TLS, file uintptr) int32 {
		d.mu.Lock()
		delete(d.paths, file)
		d.mu.Unlock()
		return end(tls, file)
	})
}

// do makes a call of a file, or lets it fail without doing anything.
func (d *badDisk) do(file uintptr, kind string, code int32, call func() int32, then func(m *image, well bool)) int32 {
	d.mu.Lock()
	path := d.paths[file]
	d.mu.Unlock()
	bad := d.fails(path, kind)
	rc := code
	if !bad {
		rc = call()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.images[path]; m != nil {
		then(m, rc == sqlite3.SQLITE_OK)
	}
	return rc
}

func (d *badDisk) cares(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dir != "" && strings.HasPrefix(path, d.dir)
}

func (d *badDisk) fails(path, kind string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" || !strings.HasPrefix(path, d.dir) || kind != d.kind {
		return false
	}
	d.calls++
	return d.from > 0 && d.calls >= d.from && d.calls < d.to
}

// watch begins to care about the files of dir.
func (d *badDisk) watch(t testing.TB, dir string) {
	d.mu.Lock()
	d.dir, d.images = dir, map[string]*image{}
	d.mu.Unlock()
	t.Cleanup(func() {
		d.mu.Lock()
		d.dir = ""
		d.mu.Unlock()
	})
}

// arm lets n calls of a kind fail, from the first-th on; kind "" none.
func (d *badDisk) arm(kind string, first, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kind, d.from, d.to, d.calls = kind, first, first+n, 0
}

func (d *badDisk) reached() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.from > 0 && d.calls >= d.from
}

// cut makes a directory of what a power cut would leave of the one watched.
func (d *badDisk) cut(t testing.TB) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	to := fastDir(t)
	must(t, os.CopyFS(filepath.Join(to, "state"), os.DirFS(d.dir)))
	to = filepath.Join(to, "state")
	for _, name := range []string{fileName, fileName + "-wal", fileName + "-shm"} {
		_ = os.Remove(filepath.Join(to, name))
		if m := d.images[filepath.Join(d.dir, name)]; m != nil {
			must(t, os.WriteFile(filepath.Join(to, name), m.durable, 0o600))
		}
	}
	return to
}
