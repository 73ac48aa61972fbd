package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"upsedge/internal/wire"
)

const agentName = "agent_id"

// AgentID returns the random name of this agent, 32 hexadecimal digits. It is made at the first call and kept in a file of its
// own: it outlives the database. A file of which neither copy is whole is an error: under another name nobody would know the agent.
func (s *Store) AgentID(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("read the agent id: %w", context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	path := filepath.Join(s.dir, agentName)
	var id wire.ID
	b, err := os.ReadFile(path)
	if err == nil {
		if id, err = parseAgentID(string(b)); err == nil && string(b) != agentText(id) {
			if err := writeFile(path, agentText(id)); err != nil { // of an earlier version, or one copy is damaged
				s.log.Debug("agent id not written anew", "err", err)
			}
		}
	} else if errors.Is(err, os.ErrNotExist) {
		_, _ = rand.Read(id[:]) // never fails
		err = writeFile(path, agentText(id))
	}
	if err != nil {
		return "", fmt.Errorf("agent id in %s: %w", path, asDisk(err))
	}
	return id.String(), nil
}

// agentText is what stands in the file: the name, and in the second line once more with its CRC-32C, so that one damaged bit changes
// nothing.
func agentText(id wire.ID) string {
	return fmt.Sprintf("%v\n%v %08x\n", id, id, crc32.Checksum(id[:], castagnoli))
}

// parseAgentID reads the file. Version 1 wrote the first line alone.
func parseAgentID(text string) (id wire.ID, err error) {
	const digits = 2 * len(id)
	if n := digits + 1; len(text) > n+digits && id.UnmarshalText([]byte(text[n:n+digits])) == nil && text[n:] == agentText(id)[n:] {
		return id, nil
	}
	err = id.UnmarshalText([]byte(strings.TrimSpace(text[:min(digits, len(text))])))
	return id, err
}
