package api

// invitedBodyRead is what is read of an answer.
type invitedBodyRead struct {
	Invitation struct {
		ID, Email, State string
		Devices          []struct {
			Device, State string
			Number        int
		}
	}
	Outcomes []outcomeBody
}
