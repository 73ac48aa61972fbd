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

// Describe says in a letter to somebody else which device is meant: name, model and the last four characters of the serial number (INV-2).
func Describe(ctx context.Context, tx *store.Tx, d *Device) (string, error) {
	st, err := StatusOf(ctx, tx, d)
	if err != nil {
		return "", err
	}
	text := mail.Quote(d.Name)
	if st.Seen != nil && st.Seen.Model != "" {
		text += ", " + mail.Quote(st.Seen.Model)
	}
	serial := []rune(d.Serial)
	return text + ", serial number ending in " + mail.Quote(string(serial[max(0, len(serial)-4):])), nil
}

// tell writes to who had a share that it has ended (SHARE-7, SHARE-13), without a reason.
func (r *Registry) tell(ctx context.Context, tx *store.Tx, d *Device, g *Grant) error {
	what, some := endLetters[g.Why]
	if !some || r.mail == nil || g.Address == "" {
		return nil
	}
	which, err := Describe(ctx, tx, d)
	if err != nil {
		return err
	}
	return r.mail.Put(ctx, tx, mail.Message{
		To: g.Address, Kind: "share", Subject: "A device " + what[:len(what)-1],
		Text: "The device\n\n    " + which + "\n\nat " + r.url + "\n" + what + "\n",
	})
}
