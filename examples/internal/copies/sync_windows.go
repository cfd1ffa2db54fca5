package copies

// syncDir does nothing: NTFS journals names itself.
func syncDir(string) error { return nil }
