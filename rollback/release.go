package rollback

// A Version is a version as people write it, such as "7.13.100". This package
// only compares it for equality. The zero Version means that nothing is
// installed.
type Version string

// A Release is one version of one distribution.
type Release struct {
	Version Version `json:"version"`
	SHA256  string  `json:"sha256,omitempty"` // of its installer, in hex
	// VouchedBy names what vouches for the installer: a publisher, a
	// pinned hash. If it is empty the release is unauthenticated.
	VouchedBy string `json:"vouched_by,omitempty"`
}

// String returns the version, and whether the release is unauthenticated.
func (r Release) String() string {
	switch {
	case r.Version == "":
		return "nothing"
	case r.VouchedBy == "":
		return string(r.Version) + " (unauthenticated)"
	}
	return string(r.Version)
}

// same reports whether two releases are the same installer. A hash that one
// side does not know is not compared.
func (r Release) same(o Release) bool {
	return r.Version == o.Version && (r.SHA256 == o.SHA256 || r.SHA256 == "" || o.SHA256 == "")
}

// A Part is one distribution of an update. An update of one distribution has
// one part, a bundle (R4) several, which succeed or are rolled back together.
type Part struct {
	Name string  // the distribution; unique within the update
	From Release // what is installed and committed; zero for a first installation
	To   Release // what to install
	// Setup is what a later rollback to To installs, if not To itself: a
	// first installation runs FullSetup, and every rollback Setup (R3). With
	// a From it is refused: FullSetup would replace the database with the
	// vendor's example.
	Setup Release

	Installer Installer
	Probe     Probe
	// Migrations are carried out once every installer has done its work and the
	// application runs behind the fence; nothing is committed before all are done.
	Migrations []Migration
}

// A Dataset is what must come back with the previous version (R9, R15): a
// database, or a directory such as the application's configuration.
type Dataset struct {
	Name string // unique within the update
	Data Data
}
