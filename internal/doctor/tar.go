package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// What a bundle needs of the format ustar (POSIX.1-1988): plain files with short names, of nobody, of no time. The library's writer and reader
// know all dialects of forty years, and are more than half a percent of the whole agent.
const (
	tarBlock  = 512
	tarName   = 100 // bytes from the beginning of a header
	tarMode   = 100 // where it stands, 8 bytes of octal digits each
	tarUID    = 108
	tarGID    = 116
	tarSize   = 124 // 12 bytes
	tarTime   = 136 // 12 bytes
	tarSum    = 148 // 8 bytes
	tarType   = 156
	tarMagic  = 257
	plainFile = '0'
)

// tarHeader is the header of a file.
func tarHeader(name string, size int) []byte {
	h := make([]byte, tarBlock)
	copy(h[:tarName], name)
	copy(h[tarMode:], "0000600\x00")
	copy(h[tarUID:], "0000000\x00")
	copy(h[tarGID:], "0000000\x00")
	copy(h[tarSize:], fmt.Sprintf("%011o\x00", size))
	copy(h[tarTime:], "00000000000\x00")
	h[tarType] = plainFile
	copy(h[tarMagic:], "ustar\x0000")
	copy(h[tarSum:], fmt.Sprintf("%06o\x00 ", tarSumOf(h)))
	return h
}

// tarSumOf is the sum of the bytes of a header, its own field taken for blanks.
func tarSumOf(h []byte) (n int) {
	for i, c := range h {
		if i >= tarSum && i < tarSum+8 {
			c = ' '
		}
		n += int(c)
	}
	return n
}

// writeTar writes a file with its header.
func writeTar(w io.Writer, name string, data []byte) error {
	for _, b := range [][]byte{tarHeader(name, len(data)), data, make([]byte, -len(data)&(tarBlock-1))} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

var errNoTar = errors.New("it is not what this program packs")

// readTar reads the header of the first file.
func readTar(r io.Reader) (name string, size int64, err error) {
	h := make([]byte, tarBlock)
	if _, err := io.ReadFull(r, h); err != nil {
		return "", 0, errNoTar
	}
	sum, err := strconv.ParseInt(strings.TrimRight(string(h[tarSum:tarSum+8]), "\x00 "), 8, 32)
	if err != nil || int(sum) != tarSumOf(h) || h[tarType] != plainFile {
		return "", 0, errNoTar
	}
	if size, err = strconv.ParseInt(strings.TrimRight(string(h[tarSize:tarTime]), "\x00 "), 8, 63); err != nil || size < 0 {
		return "", 0, errNoTar
	}
	return string(bytes.TrimRight(h[:tarName], "\x00")), size, nil
}
