package fetch

// The reasons that only tests name.
const (
	SkipUnsafe    = skipUnsafe
	SkipLink      = skipLink
	SkipNoSize    = skipNoSize
	SkipParts     = skipParts
	SkipAmbiguous = skipAmbiguous
	SkipBeta      = skipBeta
	SkipRefused   = skipRefused
	SkipSettling  = skipSettling
	SkipVariant   = skipVariant
)
