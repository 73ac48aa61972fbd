package main

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// published returns three blocks of one unit as they go over MQTT; the first carries the schema.
func published(t *testing.T) [][]byte {
	t.Helper()
	enc := wire.NewEncoder()
	layout := &ups.Layout{Columns: []ups.Column{{Point: ups.OutputVoltage, Divisor: 64}, {Point: ups.StatusFlags, Divisor: 1}}}
	var out [][]byte
	for i := range 3 {
		block := wire.Block{Unit: "rack-a", Device: "AS2130000001", Sections: []wire.Rows{{
			Tier: ups.TierLive, Layout: layout, At: []int64{1000, 1500}, Raw: []int64{230 * 64, 2, int64(231+i) * 64, 2},
		}}}
		body, err := enc.Encode(nil, &block)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := wire.SampleMessage(nil, "box-7", wire.Record{
			Stream: wire.ID{1}, Lane: wire.Samples, Seq: uint64(i + 1), Class: wire.ClassSamples, Boot: 1, Payload: body,
		})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, msg)
	}
	return out
}

// pictureOfSix returns the picture of event 6, as it goes over MQTT.
func pictureOfSix(t *testing.T) []byte {
	t.Helper()
	layout := &ups.Layout{Columns: []ups.Column{{Point: ups.OutputVoltage, Divisor: 64}}}
	body, err := wire.NewEncoder().EncodeAlone(nil, &wire.Block{Unit: "rack-a", Device: "AS2130000001", Sections: []wire.Rows{{
		Tier: ups.TierLive, Layout: layout, At: []int64{1000}, Raw: []int64{228 * 64},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := wire.SampleMessage(nil, "box-7", wire.Record{
		Stream: wire.ID{1}, Lane: wire.Events, Seq: 7, Class: wire.ClassPicture, Boot: 1, Payload: wire.PicturePayload(6, body),
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestBlockPrintsWhatWentOverMQTT gives the program blocks as files and as a subscriber pipes them, whole and damaged.
func TestBlockPrintsWhatWentOverMQTT(t *testing.T) {
	t.Parallel()
	program, dir := testenv.Build(t, "./cmd/agent"), t.TempDir()
	msgs := published(t)
	damaged := append([]byte(nil), msgs[1]...)
	damaged[len(damaged)/2] ^= 0x10
	lines := ""
	for _, m := range msgs {
		lines += hex.EncodeToString(m) + "\n"
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	raw := []string{file("0.block", msgs[0]), file("1.block", msgs[1]), file("2.block", msgs[2])}
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		out   []string // words of stdout
		words []string // of stderr
	}{
		{"raw files", raw, "", 0, []string{"agent   box-7", "seq     1", "seq     3", `unit    "rack-a"`, "230.0", "231.0", "233.0", "StateOnline"}, nil},
		{"a file of hexadecimal lines", []string{file("all.hex", []byte(lines))}, "", 0, []string{"seq     1", "seq     3", "233.0"}, nil},
		{"lines from a subscriber", nil, lines, 0, []string{"seq     2", "232.0"}, nil},
		{"lines in capitals, the last without its end", []string{"-"}, strings.TrimSpace(strings.ToUpper(lines)), 0, []string{"233.0"}, nil},
		{"a raw block from a pipe", []string{"-"}, string(msgs[0]), 0, []string{"231.0"}, nil},
		{"a picture", []string{file("picture", pictureOfSix(t))}, "", 0, []string{"lane    events", "seq     7", "picture of event 6", "228.0"}, nil},
		{"nothing", nil, "", 0, nil, nil},
		{"a flipped bit", []string{raw[0], file("damaged", damaged), raw[2]}, "", 1, []string{"seq     1", "seq     3"}, []string{"checksum does not fit", "not every block could be read"}},
		{"a block that is cut", []string{file("cut", msgs[0][:20])}, "", 1, nil, []string{"checksum does not fit"}},
		{"without the block that names the columns", []string{raw[1]}, "", 1, []string{"seq     2"}, []string{"was not announced yet", "comes every half hour and after a start of the agent"}},
		{"a line that is no hexadecimal", nil, "abcdefgh\n", 1, nil, []string{"a line is not hexadecimal"}},
		{"another format", []string{file("text", []byte("hello, world"))}, "", 1, nil, []string{"not a samples message"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, append([]string{"block"}, row.args...)...)
			cmd.Stdin = strings.NewReader(row.stdin)
			cmd.Env = append(os.Environ(), hasty)
			var out, words strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &words
			if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			for _, want := range row.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("stdout lacks %q", want)
				}
			}
			for _, want := range row.words {
				if !strings.Contains(words.String(), want) {
					t.Errorf("stderr lacks %q", want)
				}
			}
			if t.Failed() || row.out == nil && out.Len() > 0 || row.words == nil && words.Len() > 0 {
				t.Errorf("stdout:\n%sstderr:\n%s", &out, &words)
			}
		})
	}
}
