package device

import (
	"context"

	"upsedge/internal/cloud/mail"
	"upsedge/internal/cloud/store"
)

// What letters say of how a share ended; of other ends nobody is told, who left knows it.
var endLetters = map[string]string{
	EndRevoked: "is not shared with you any more.",
	EndDevice:  "is no longer available.",
}

// tell writes to who had a share that it has ended (SHARE-7, SHARE-13), without a reason.
func (r *Registry) tell(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error {
	what, some := endLetters[g.Why]
	if !some || r.mail == nil || g.Address == "" {
		return nil
	}
	st, err := StatusOf(ctx, tx, d)
	if err != nil {
		return err
	}
	which := mail.Quote(d.Name)
	if st.Seen != nil && st.Seen.Model != "" {
		which += ", " + mail.Quote(st.Seen.Model)
	}
	serial := []rune(d.Serial)
	which += ", serial number ending in " + mail.Quote(string(serial[max(0, len(serial)-4):]))
	return r.mail.Put(ctx, tx, mail.Message{
		To: g.Address, Kind: "share", Subject: "A device " + what[:len(what)-1],
		Text: "The device\n\n    " + which + "\n\nat " + r.url + "\n" + what + "\n",
	})
}
