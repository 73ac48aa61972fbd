package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// mostFiles bounds how many files of a state directory are looked at.
const mostFiles = 500

// LookAtFiles says whether who runs the agent can use the configuration and the state directory, and whether others can.
func (r Root) LookAtFiles(config, stateDir string, who Person) (out []Finding) {
	if fi, err := os.Stat(config); err == nil {
		out = append(out, r.lookAtConfig(config, fi, who)...)
	}
	out = append(out, r.lookAtState(stateDir, who)...)
	if len(out) == 0 {
		out = append(out, Finding{Level: OK, What: fmt.Sprintf("user %s can read %s and write below %s", who.Name, config, stateDir)})
	}
	return out
}

func (r Root) lookAtConfig(config string, fi fs.FileInfo, who Person) (out []Finding) {
	if at, err := who.blocked(config, mayRead); err == nil && at != "" {
		out = append(out, Finding{
			Level: Problem, Of: config, What: fmt.Sprintf("user %s, who runs the agent, may not read it (%s is of %s)", who.Name, at, r.owned(at)),
			Do: fmt.Sprintf("sudo chgrp %s %s; sudo chmod 0640 %[2]s", who.Name, config),
		})
	}
	if fi.Mode().Perm()&0o022 != 0 && r.others(fi) {
		out = append(out, Finding{
			Level: Problem, Of: config, What: "others than root can change it (" + r.owned(config) + "): whoever does decides what the agent obeys", Do: "sudo chmod go-w " + config,
		})
	}
	return out
}

// others reports whether a file may be written by others than its owner: by everybody, or by a group that is not root's.
func (r Root) others(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && (fi.Mode().Perm()&0o002 != 0 || st.Gid != 0 && st.Gid != st.Uid)
}

func (r Root) lookAtState(dir string, who Person) []Finding {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r.lookAbove(dir, who)
	case err != nil:
		return []Finding{{Level: Note, Of: dir, What: "this user may not look into it: what is wrong there is not seen", Do: "sudo upsagent doctor"}}
	case !fi.IsDir():
		return []Finding{{Level: Problem, Of: dir, What: "the state directory is a file", Do: "state_dir names a directory"}}
	}
	mend := fmt.Sprintf("sudo chown -R %s: %s", who.Name, dir)
	if at, err := who.blocked(dir, mayRead|mayWrite|mayEnter); err == nil && at != "" {
		f := Finding{Level: Problem, Of: dir, What: fmt.Sprintf("user %s, who runs the agent, may not write there (%s is of %s)", who.Name, at, r.owned(at)), Do: mend}
		if at != dir {
			f.Do = fmt.Sprintf("sudo chmod a+x %s, or a state_dir elsewhere", at)
		}
		return []Finding{f}
	}
	strange := r.strange(dir, who)
	switch {
	case r.walledOff(dir):
		return []Finding{{Level: Problem, Of: dir, What: "the service may write below its own directories alone, and this is none of them", Do: "sudo systemctl edit upsagent, there [Service] and ReadWritePaths=" + dir + "; then sudo systemctl restart upsagent"}}
	case strange != "":
		return []Finding{{Level: Problem, Of: dir, What: fmt.Sprintf("user %s, who runs the agent, cannot use %s (it is of %s), as when the agent was once run as somebody else", who.Name, strange, r.owned(strange)), Do: mend}}
	case fi.Mode().Perm()&0o077 != 0:
		return []Finding{{Level: Note, Of: dir, What: "others than who runs the agent can look into it (" + r.owned(dir) + ")", Do: "sudo chmod 0700 " + dir}}
	}
	return nil
}

// lookAbove: who runs the agent makes the directory at the first start, if the one above lets them.
func (r Root) lookAbove(dir string, who Person) []Finding {
	above := filepath.Dir(dir)
	for !exists(above) && above != filepath.Dir(above) {
		above = filepath.Dir(above)
	}
	at, err := who.blocked(above, mayWrite|mayEnter)
	if err != nil || at == "" || r.Unit().last("StateDirectory") != "" && filepath.Dir(dir) == r.path("var/lib") { // systemd makes it
		return nil
	}
	return []Finding{{
		Level: Problem, Of: dir, What: fmt.Sprintf("it is not there, and user %s, who runs the agent, may not make it", who.Name),
		Do: fmt.Sprintf("sudo install -d -m 0700 -o %s -g %[1]s %s", who.Name, dir),
	}}
}

// strange is a file of the state directory that who runs the agent cannot use, "" where there is none.
func (r Root) strange(dir string, who Person) (found string) {
	n := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if n++; err != nil || n > mostFiles || found != "" {
			return fs.SkipAll //nolint:nilerr // what this user cannot see is not judged
		}
		if d.IsDir() && d.Name() == "lost+found" { // of a file system of its own: root's, and nobody's business
			return fs.SkipDir
		}
		fi, err := d.Info()
		if err != nil || fi.Mode()&fs.ModeSymlink != 0 {
			return nil //nolint:nilerr // it is gone
		}
		want := fs.FileMode(mayRead | mayWrite)
		if d.IsDir() {
			want |= mayEnter
		}
		if !who.may(want, path, fi) {
			found = path
		}
		return nil
	})
	return found
}

// LookAtSocket says whether this user may ask the running agent, where one runs.
func LookAtSocket(socket string, a Agent) []Finding {
	switch {
	case socket == "":
		return []Finding{{Level: Note, What: "local.socket is empty, so the agent cannot be asked", Do: "local: {socket: /run/upsagent/agent.sock}"}}
	case a.Silent:
		return []Finding{{Level: Note, What: "this user may not ask the running agent, so what it alone knows is not seen", Do: "sudo upsagent doctor; or sudo usermod -aG upsagent $USER and log in again"}}
	}
	return nil
}
