package policy

// A Reason is a code that says why something was refused or how it ended (rules, section 14; design, section 7). Codes are part of
// the interfaces: of results on the network and of answers of the HTTP API.
type Reason string

// Given by cloud and agent.
const (
	EmailRequired       Reason = "EMAIL_REQUIRED"
	EmailInvalid        Reason = "EMAIL_INVALID"
	AlreadyInvited      Reason = "ALREADY_INVITED"
	AlreadyShared       Reason = "ALREADY_SHARED"
	SelfShare           Reason = "SELF_SHARE"
	ShareLimit          Reason = "SHARE_LIMIT"
	PlanBasic           Reason = "PLAN_BASIC"
	PlanStandard        Reason = "PLAN_STANDARD"
	CodeUnknown         Reason = "CODE_UNKNOWN"
	CodeExpired         Reason = "CODE_EXPIRED"
	CodeUsed            Reason = "CODE_USED"
	CodeLocked          Reason = "CODE_LOCKED"
	OwnerOnly           Reason = "OWNER_ONLY"
	RoleReadOnly        Reason = "ROLE_READ_ONLY"
	NotFound            Reason = "NOT_FOUND"
	AlreadyRegistered   Reason = "ALREADY_REGISTERED"
	PartnerNotQualified Reason = "PARTNER_NOT_QUALIFIED"
	PartnerNotApproved  Reason = "PARTNER_NOT_APPROVED"
	MFARequired         Reason = "MFA_REQUIRED"
	UnknownAction       Reason = "UNKNOWN_ACTION"
	RateLimit           Reason = "RATE_LIMIT"
	Malformed           Reason = "MALFORMED"
	Expired             Reason = "EXPIRED"
	Cancelled           Reason = "CANCELLED"
)

// Given by the cloud alone.
const (
	Unauthenticated Reason = "UNAUTHENTICATED"
	StepUpRequired  Reason = "STEP_UP_REQUIRED"
	TokenInvalid    Reason = "TOKEN_INVALID"
	Conflict        Reason = "CONFLICT"  // the thing is not in a state for this; an idempotency key was used for another request
	TooLarge        Reason = "TOO_LARGE" // the request has more bytes than any of its kind may have
)

// Given by the agent alone.
const (
	BadSignature   Reason = "BAD_SIGNATURE"
	NotBound       Reason = "NOT_BOUND"
	OutOfOrder     Reason = "OUT_OF_ORDER"
	GrantStale     Reason = "GRANT_STALE"
	LocalPolicy    Reason = "LOCAL_POLICY"
	Busy           Reason = "BUSY"
	SafetyLock     Reason = "SAFETY_LOCK"
	Unsupported    Reason = "UNSUPPORTED"
	UPSRefused     Reason = "UPS_REFUSED"
	UPSUnreachable Reason = "UPS_UNREACHABLE"
)
