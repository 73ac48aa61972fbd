package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBundle is far above what a support bundle has.
const maxBundle = 16 << 20

// bundle answers with a support bundle, on the socket alone: it says more of the box than the page does, which everybody on the box can ask.
func bundle(make func(context.Context) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := make(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		_, _ = w.Write(data) // the only error is a peer that has gone
	}
}

// AskBundle asks the agent for a support bundle. It fails as Ask does.
func AskBundle(ctx context.Context, socket string) ([]byte, error) {
	resp, err := request(ctx, quick(), socket, http.MethodGet, "/v1/bundle", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBundle))
	if resp.StatusCode == http.StatusInternalServerError {
		return nil, fmt.Errorf("the agent: %s", oneLine(data))
	}
	return data, errors.Join(err, answered(resp))
}

// oneLine is what the agent said.
func oneLine(b []byte) string {
	for i, c := range b {
		if c < ' ' {
			b = b[:i]
			break
		}
	}
	return string(b[:min(len(b), 500)])
}
